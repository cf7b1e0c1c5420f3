"""The measures of confidence against brute force, and where the answer is known."""

import itertools
import random

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from translator.evaluation.reliability import (
    bin_confidences,
    compute_auc,
    compute_calibration_error,
    measure_reliability,
    trace_risk,
)
from translator.evaluation.scores import sentence_chrf
from translator.translation.confidence import GOOD_CHRF, are_good

judged = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.51, 0.99, 1.0]), st.booleans()), min_size=1
)


def columns(items: list[tuple[float, bool]]) -> tuple[list[float], list[bool]]:
    return [p for p, _ in items], [event for _, event in items]


@given(judged)
def test_the_area_is_the_share_of_pairs_in_order(items: list[tuple[float, bool]]) -> None:
    right = [p for p, event in items if event]
    wrong = [p for p, event in items if not event]
    wins = [(a > b) + (a == b) / 2 for a, b in itertools.product(right, wrong)]
    expected = sum(wins) / len(wins) if wins else None
    assert compute_auc(*columns(items)) == pytest.approx(expected)


@given(judged)
def test_every_sentence_is_in_the_bin_that_holds_its_confidence(
    items: list[tuple[float, bool]],
) -> None:
    bins = bin_confidences(*columns(items))
    assert sum(part.sentences for part in bins) == len(items)
    for part in bins:
        last = part.high == 1
        own = [
            (p, event)
            for p, event in items
            if part.low <= p and (p < part.high or (last and p == 1))
        ]
        assert part.sentences == len(own) > 0
        assert part.confidence == pytest.approx(sum(p for p, _ in own) / len(own))
        assert part.right == pytest.approx(sum(event for _, event in own) / len(own))


def test_the_calibration_error_of_known_cases() -> None:
    # Always right at 0.75: off by a quarter; half of them right at 0.5: not at all.
    always = bin_confidences([0.75] * 4, [True] * 4)
    assert compute_calibration_error(always) == pytest.approx(0.25)
    assert compute_calibration_error(bin_confidences([0.5] * 4, [True, False] * 2)) == 0
    both = bin_confidences([0.75] * 4 + [0.5] * 4, [True] * 4 + [True, False] * 2)
    assert compute_calibration_error(both) == pytest.approx(0.125)
    assert compute_calibration_error([]) == 0


def test_calibrated_confidence_has_hardly_any_error() -> None:
    rng = random.Random(1)
    confidences = [rng.random() for _ in range(20_000)]
    events = [rng.random() < p for p in confidences]
    assert compute_calibration_error(bin_confidences(confidences, events)) < 0.02


@given(judged, st.integers(1, 60))
def test_risk_and_coverage_of_each_threshold(
    items: list[tuple[float, bool]], n_points: int
) -> None:
    points = trace_risk(*columns(items), n_points)
    assert 1 <= len(points) <= n_points
    for point in points:
        kept = [event for p, event in items if p >= point.threshold]
        assert point.coverage == pytest.approx(len(kept) / len(items))
        assert point.risk == pytest.approx(kept.count(False) / len(kept))
    assert points[-1].coverage == 1
    thresholds = [point.threshold for point in points]
    assert thresholds == sorted(set(thresholds), reverse=True)


def test_every_threshold_has_a_point_where_there_are_few() -> None:
    assert len(trace_risk([0.1, 0.2, 0.3, 0.3], [True] * 4)) == 3


def test_good_is_what_sacrebleu_says() -> None:
    lines = ["Der Hund rennt.", "Ein Hund läuft.", "Hallo", "", "Der Hund"]
    references = [["Der Hund rennt schnell."] * 5, ["Ein Hund läuft."] * 5]
    expected = [
        sacrebleu.sentence_chrf(line, [refs[i] for refs in references]).score
        for i, line in enumerate(lines)
    ]
    assert sentence_chrf(lines, references) == expected
    assert are_good(expected) == [score >= GOOD_CHRF for score in expected]
    assert are_good([GOOD_CHRF, GOOD_CHRF - 1e-9]) == [True, False]


def test_a_summary_takes_the_better_log_probability() -> None:
    events = [True, True, False, False]
    # By the sum the first short wrong one comes first, by the mean it does not.
    found = measure_reliability(
        [0.9, 0.8, 0.2, 0.1], events, [-4.0, -5.0, -3.0, -2.5], [10, 10, 1, 1]
    )
    assert found.auc_log_prob == found.auc == 1
    assert found.base_rate == 0.5
    assert compute_auc([-4.0, -5.0, -3.0, -2.5], events) == 0


def test_a_single_class_does_not_fail() -> None:
    found = measure_reliability([0.9, 0.8], [True, True], [-1.0, -2.0], [3, 3])
    assert found.auc is None and found.auc_log_prob is None
    assert measure_reliability([0.9], [True]).auc_log_prob is None
    assert measure_reliability([], []).risk_coverage == []
