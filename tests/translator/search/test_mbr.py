"""Minimum Bayes risk against the double loop over sacreBLEU's own sentence scores."""

import random
from collections.abc import Sequence

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from translator.search.mbr import UTILITIES, choose

SENTENCE_SCORES = {"chrf": sacrebleu.sentence_chrf, "bleu": sacrebleu.sentence_bleu}
CANDIDATES = [
    "Ein Hund läuft am Strand.",
    "Ein Hund rennt am Strand entlang.",
    "Ein Hund rennt den Strand entlang.",
    "Der Hund ist hier.",
    "Hund",
    "",
    "Ein Hund läuft am Strand.",
    "👍 λόγος, 3,5 km ...",
    "läuft am Strand. Ein Hund",
]


def expected_utilities(
    candidates: Sequence[str], weights: Sequence[float], utility: str
) -> list[float]:
    """Of each candidate; equal ones are not merged."""
    sentence_score = SENTENCE_SCORES[utility]
    return [
        sum(
            weight * sentence_score(candidate, [reference]).score
            for reference, weight in zip(candidates, weights, strict=True)
        )
        / sum(weights)
        for candidate in candidates
    ]


def assert_is_plain_loop(candidates: Sequence[str], weights: list[float] | None, utility: str):
    found = choose(candidates, weights, utility)
    expected = expected_utilities(candidates, weights or [1.0] * len(candidates), utility)
    assert sorted(i for i, _ in found) == [candidates.index(c) for c in dict.fromkeys(candidates)]
    assert [value for _, value in found] == pytest.approx([expected[i] for i, _ in found], abs=1e-9)
    values = [value for _, value in found]
    assert values == pytest.approx(sorted(values, reverse=True), abs=1e-9)


@pytest.mark.parametrize("utility", UTILITIES)
@pytest.mark.parametrize("weights", [None, [0.5, 3, 1, 0.25, 2, 7, 1.5, 0, 1]])
def test_it_is_the_plain_loop(utility: str, weights: list[float] | None) -> None:
    assert_is_plain_loop(CANDIDATES, weights, utility)


@settings(max_examples=40)
@given(
    candidates=st.lists(
        st.one_of(st.text("ab c.", max_size=12), st.text(max_size=8)), min_size=1, max_size=6
    ),
    utility=st.sampled_from(list(UTILITIES)),
    data=st.data(),
)
def test_it_is_the_plain_loop_for_any_text(candidates: list[str], utility: str, data) -> None:
    weights = data.draw(
        st.none()
        | st.lists(st.floats(0.01, 10), min_size=len(candidates), max_size=len(candidates))
    )
    assert_is_plain_loop(candidates, weights, utility)


@pytest.mark.parametrize("utility", UTILITIES)
def test_the_majority_wins(utility: str) -> None:
    found = choose(["Die Katze schläft.", *["Ein Hund bellt laut."] * 3, "Hunde"], None, utility)
    assert found[0][0] == 1


def test_a_central_candidate_beats_the_likeliest() -> None:
    """Nobody else says it, but it is the least wrong whoever is right."""
    candidates = ["aaaa bbbb cccc", "aaaa bbbb dddd", "aaaa eeee cccc", "ffff gggg hhhh"]
    found = choose(candidates, [0.2, 0.25, 0.25, 0.3])
    assert [i for i, _ in found][0] == 0


@pytest.mark.parametrize("utility", UTILITIES)
def test_a_weight_is_a_count(utility: str) -> None:
    repeated = [c for c, n in zip(CANDIDATES[:4], (3, 1, 2, 1), strict=True) for _ in range(n)]
    counted = choose(CANDIDATES[:4], [3, 1, 2, 1], utility)
    texts = {CANDIDATES[i]: value for i, value in counted}
    assert {repeated[i]: value for i, value in choose(repeated, None, utility)} == pytest.approx(
        texts
    )


@pytest.mark.parametrize("utility", UTILITIES)
def test_scaled_weights_are_the_same(utility: str) -> None:
    weights = [0.3, 0.1, 0.2, 0.4]
    small = choose(CANDIDATES[:4], [w * 1e-30 for w in weights], utility)
    large = choose(CANDIDATES[:4], weights, utility)
    assert [i for i, _ in small] == [i for i, _ in large]
    assert [v for _, v in small] == pytest.approx([v for _, v in large])


@pytest.mark.parametrize("utility", UTILITIES)
def test_ties_stay_in_the_given_order(utility: str) -> None:
    """Texts that have nothing in common, and so the same utility each."""
    texts = ["aaaaaa", "bbbbbb", "cccccc", "dddddd", "eeeeee", "ffffff", "gggggg"]
    for seed in range(5):
        random.Random(seed).shuffle(texts)
        assert [i for i, _ in choose(texts, None, utility)] == list(range(7))


@pytest.mark.parametrize("n", range(2, 12))
def test_ties_are_not_broken_by_rounding(n: int) -> None:
    """Each has the same utilities, but they are added up in another order."""
    texts = ["xyz" + letter * 4 for letter in "abcdefghijk"[:n]]
    assert [i for i, _ in choose(texts)] == list(range(n))


@pytest.mark.parametrize("utility", UTILITIES)
def test_few_candidates(utility: str) -> None:
    assert choose([], None, utility) == []
    assert choose([], [], utility) == []
    ((index, value),) = choose(["Ein Hund."], None, utility)
    assert index == 0 and value == pytest.approx(100)
    assert choose([""], None, utility) == [(0, 0.0)]
    assert choose(["", ""], [1, 2], utility) == [(0, 0.0)]


def test_an_empty_candidate_loses_even_if_most_say_it() -> None:
    assert choose(["", "", "", "Hund"])[0][0] == 3
