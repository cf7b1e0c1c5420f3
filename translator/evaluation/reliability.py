"""Is a confidence right as often as it says? The event it is about, and measures of it."""

import math
from collections.abc import Sequence

import torch

from translator.report.results import Bin, Reliability, RiskPoint
from translator.translation.confidence import EVENT


def area_under_curve(scores: Sequence[float], events: Sequence[bool]) -> float | None:
    """The chance that a score where the event happened is above one where it did not.

    That is the area under the ROC curve; of equal scores half counts. None if there are not both.
    """
    values = torch.tensor(scores, dtype=torch.float64)
    happened = torch.tensor(events, dtype=torch.bool)
    above, below = values[happened], values[~happened].sort().values
    if not len(above) or not len(below):
        return None
    less, at_most = (torch.searchsorted(below, above, right=right) for right in (False, True))
    return float((less + at_most).double().mean() / 2 / len(below))


def calibration_bins(
    confidences: Sequence[float], events: Sequence[bool], n_bins: int = 10
) -> list[Bin]:
    """The equal parts of [0, 1] that have any sentences."""
    parts: dict[int, list[tuple[float, bool]]] = {}
    for confidence, event in zip(confidences, events, strict=True):
        part = min(int(confidence * n_bins), n_bins - 1)
        parts.setdefault(part, []).append((confidence, event))
    return [
        Bin(
            low=part / n_bins,
            high=(part + 1) / n_bins,
            sentences=len(members),
            confidence=sum(confidence for confidence, _ in members) / len(members),
            right=sum(event for _, event in members) / len(members),
        )
        for part, members in sorted(parts.items())
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """How far confidence and events are apart in the bins, on average over the sentences.

    The expected calibration error (Naeini et al. 2015).
    """
    total = sum(part.sentences for part in bins)
    gaps = (part.sentences * abs(part.confidence - part.right) for part in bins)
    return math.fsum(gaps) / max(total, 1)


def risk_coverage(
    confidences: Sequence[float], events: Sequence[bool], n_points: int = 50
) -> list[RiskPoint]:
    """At most `n_points` points of the risk-coverage curve (El-Yaniv & Wiener 2010).

    They go from high thresholds, which keep few translations, to low ones.
    """
    ranked = sorted(zip(confidences, events, strict=True), key=lambda item: -item[0])
    points: list[RiskPoint] = []
    wrong = 0
    for kept, (confidence, event) in enumerate(ranked, start=1):
        wrong += not event
        last_of_equals = kept == len(ranked) or ranked[kept][0] < confidence
        due = kept * n_points // len(ranked) > len(points)
        if last_of_equals and due:
            points.append(RiskPoint(kept / len(ranked), wrong / kept, confidence))
    return points


def summarise(
    confidences: Sequence[float],
    events: Sequence[bool],
    log_probs: Sequence[float] = (),
    n_pieces: Sequence[int] = (),
) -> Reliability:
    """All measures of some sentences.

    Args:
        confidences: of each sentence.
        events: whether its translation is good.
        log_probs, n_pieces: of each sentence, for the area under the curve of the raw
            log-probability: that of the sum or of the mean per piece, whichever is larger.
    """
    bins = calibration_bins(confidences, events)
    per_piece = [log_prob / n for log_prob, n in zip(log_probs, n_pieces, strict=True)]
    raw = [area_under_curve(scores, events) for scores in (log_probs, per_piece) if scores]
    return Reliability(
        event=EVENT,
        base_rate=sum(events) / max(len(events), 1),
        auc=area_under_curve(confidences, events),
        auc_log_prob=max((area for area in raw if area is not None), default=None),
        calibration_error=calibration_error(bins),
        bins=bins,
        risk_coverage=risk_coverage(confidences, events),
    )
