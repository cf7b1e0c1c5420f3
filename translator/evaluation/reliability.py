"""How reliable confidences are: whether translations are good as often as predicted."""

import math
from collections.abc import Sequence

import torch

from translator.report.results import Bin, Reliability, RiskPoint
from translator.translation.confidence import EVENT


def compute_auc(scores: Sequence[float], events: Sequence[bool]) -> float | None:
    """The chance that a score with the event is higher than a score without it.

    This is the area under the ROC curve; ties count half. None if either kind is missing.
    """
    values = torch.tensor(scores, dtype=torch.float64)
    happened = torch.tensor(events, dtype=torch.bool)
    above, below = values[happened], values[~happened].sort().values
    if not len(above) or not len(below):
        return None
    less, at_most = (torch.searchsorted(below, above, right=right) for right in (False, True))
    return float((less + at_most).double().mean() / 2 / len(below))


def bin_confidences(
    confidences: Sequence[float], events: Sequence[bool], n_bins: int = 10
) -> list[Bin]:
    """[0, 1] in `n_bins` equal parts, without empty ones."""
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


def compute_calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error (Naeini et al. 2015).

    The gap between mean confidence and share of events in each bin, averaged over the sentences.
    """
    total = sum(part.sentences for part in bins)
    gaps = (part.sentences * abs(part.confidence - part.right) for part in bins)
    return math.fsum(gaps) / max(total, 1)


def trace_risk(
    confidences: Sequence[float], events: Sequence[bool], n_points: int = 50
) -> list[RiskPoint]:
    """The risk-coverage curve (El-Yaniv & Wiener 2010) in at most `n_points` points.

    They start at high thresholds, which keep few translations, and end at low ones.
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


def measure_reliability(
    confidences: Sequence[float],
    events: Sequence[bool],
    log_probs: Sequence[float] = (),
    n_pieces: Sequence[int] = (),
) -> Reliability:
    """Every measure of reliability for a set of sentences.

    Args:
        confidences: one per sentence, from 0 to 1.
        events: whether each translation is good.
        log_probs: total log-probability of each translation; its AUC is computed for the sum and
            for the mean per piece, and the larger one is kept.
        n_pieces: target pieces of each translation.
    """
    bins = bin_confidences(confidences, events)
    per_piece = [log_prob / n for log_prob, n in zip(log_probs, n_pieces, strict=True)]
    raw = [compute_auc(scores, events) for scores in (log_probs, per_piece) if scores]
    return Reliability(
        event=EVENT,
        base_rate=sum(events) / max(len(events), 1),
        auc=compute_auc(confidences, events),
        auc_log_prob=max((area for area in raw if area is not None), default=None),
        calibration_error=compute_calibration_error(bins),
        bins=bins,
        risk_coverage=trace_risk(confidences, events),
    )
