"""The results of an evaluation: scores, comparisons and analyses, each of which prints itself.

`to_dict` returns what `translator evaluate --json` prints. Nothing here knows about models.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from translator.config.records import Record
from translator.storage.scores import METRIC_NAMES, ConfidenceQuality, SplitScores


@dataclass(frozen=True)
class Line(Record):
    """One sentence of a test set.

    Attributes:
        n: its number, from 0.
        source: the source, empty if there are no sources.
        references: one or more correct translations.
        hypothesis: the translation to judge.
        bleu, chrf: sentence scores, from 0 to 100.
        faults: the guards that find a fault in the hypothesis.
        seen: the sides in the training data: "no", "source", "target", or "both sides".
        log_prob: mean log-probability per piece of the hypothesis, in nats.
        confidence: the probability that the hypothesis is good.
    """

    n: int
    source: str
    references: list[str]
    hypothesis: str
    bleu: float
    chrf: float
    faults: list[str]
    seen: str | None = None
    log_prob: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Group(Record):
    """Scores, by metric, of the sentences of one kind."""

    group: str
    sentences: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Breakdown(Record):
    """Scores by one property of the sentences."""

    by: str
    groups: list[Group]


@dataclass(frozen=True)
class SliceScores(Record):
    """Scores, by metric, before and after the sources were changed in one way.

    Attributes:
        slice: the name of the change.
        what: the change in words.
        sentences: how many sentences it changed.
        clean, changed: the scores before and after.
        kept: the share of emoji that were kept.
    """

    slice: str
    what: str
    sentences: int
    clean: dict[str, float]
    changed: dict[str, float]
    kept: float | None = None

    @property
    def change(self) -> dict[str, float]:
        """The changed scores minus the clean ones; below zero is a loss."""
        return {metric: self.changed[metric] - self.clean[metric] for metric in self.clean}


@dataclass(frozen=True)
class FaultRate(Record):
    """The number and the share of sentences in which a guard finds a fault."""

    sentences: int
    share: float


@dataclass(frozen=True)
class Bin(Record):
    """The sentences whose confidence lies between two bounds.

    Attributes:
        low, high: the bounds.
        sentences: how many there are.
        confidence: their mean confidence.
        right: the share of them with a good translation.
    """

    low: float
    high: float
    sentences: int
    confidence: float
    right: float


@dataclass(frozen=True)
class RiskPoint(Record):
    """One point of a risk-coverage curve: keeping only the most confident translations.

    Attributes:
        coverage: the share kept.
        risk: the share of bad ones among the kept ones.
        threshold: the lowest confidence kept.
    """

    coverage: float
    risk: float
    threshold: float


@dataclass(frozen=True)
class Reliability(Record):
    """How reliable confidences are.

    Attributes:
        event: what confidence is the probability of.
        base_rate: the share of sentences with the event.
        auc, auc_log_prob, calibration_error: as in `ConfidenceQuality`.
        bins: by confidence, without empty ones.
        risk_coverage: from few translations kept to all of them.
    """

    event: str
    base_rate: float
    auc: float | None
    auc_log_prob: float | None
    calibration_error: float
    bins: list[Bin]
    risk_coverage: list[RiskPoint]

    def quality(self, sentences: int) -> ConfidenceQuality:
        """The figures without curves, for a number of sentences."""
        figures = (self.auc, self.auc_log_prob, self.calibration_error, self.base_rate)
        return ConfidenceQuality(sentences, *figures)


@dataclass(frozen=True)
class AttentionMap(Record):
    """Cross-attention of one sentence: S source pieces, T target pieces, T rows of S weights."""

    src: list[str]
    tgt: list[str]
    weights: list[list[float]]


@dataclass(frozen=True)
class Analysis(Record):
    """Where a system does well and where it does not.

    Attributes:
        breakdown: scores by kind of sentence.
        guards: by fault, how often it occurs.
        lines: every sentence.
        confidence: reliability of the confidences, if the model has a calibration.
        robustness: scores on changed sources, if there is a model.
        shown: numbers of the lines to show, by the reason for choosing them.
        attention: maps of the shown lines by number, if there is a model.
    """

    breakdown: list[Breakdown]
    guards: dict[str, FaultRate]
    lines: list[Line]
    confidence: Reliability | None = None
    robustness: list[SliceScores] | None = None
    shown: dict[str, list[int]] | None = None
    attention: dict[str, AttentionMap] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The analysis as plain data; for a model without confidence, "confidence" is None."""
        values = super().to_dict()
        return values if self.robustness is None else {"confidence": None, **values}

    def __str__(self) -> str:
        return "\n".join(self._texts())

    def _texts(self) -> Iterator[str]:
        for table in self.breakdown:
            yield f"  by {table.by}"
            for group in table.groups:
                yield f"    {group.group:18}{group.sentences:7} lines{_figures(group.scores)}"
        if self.robustness:
            yield "  on changed sources"
        for row in self.robustness or ():
            kept = "" if row.kept is None else f"  kept {row.kept:.1%}"
            yield f"    {row.slice:18}{row.sentences:7} lines{_figures(row.change, '+')}{kept}"
        if trust := self.confidence:
            areas = "" if trust.auc is None else f", AUC {trust.auc:.3f}"
            if areas and trust.auc_log_prob is not None:
                areas += f" (of the log-probability: {trust.auc_log_prob:.3f})"
            yield (
                f"  confidence: calibration error {trust.calibration_error:.3f}{areas}; "
                f"{trust.base_rate:.1%} have a {trust.event}"
            )
        if self.guards:
            rates = (f"{name} {rate.share:.1%}" for name, rate in self.guards.items())
            yield f"  faults: {', '.join(rates)}"


def _figures(scores: dict[str, float], sign: str = "") -> str:
    return "".join(f"  {METRIC_NAMES[name]} {score:{sign}6.2f}" for name, score in scores.items())


@dataclass(frozen=True)
class TrainingSummary(Record):
    """How long a model was trained."""

    steps: int
    target_tokens: int
    minutes: float


@dataclass(frozen=True)
class SystemDescription(Record):
    """The evaluated system; for a file of translations only the name is known.

    Attributes:
        name: the model's folder, or the file.
        parameters: total over all models of an ensemble.
        direction: source and target language.
        training: for a single model.
    """

    name: str
    parameters: int | None = None
    direction: list[str] | None = None
    training: TrainingSummary | None = None


@dataclass(frozen=True)
class SystemResult(SplitScores):
    """How a system scores on one split, and why.

    Attributes:
        model: a description of the system, if it was analysed.
        analysis: the analysis, if there is one.
    """

    model: SystemDescription | None = None
    analysis: Analysis | None = None


@dataclass(frozen=True)
class Delta(Record):
    """How two systems differ in one metric.

    Attributes:
        delta: the first one's score minus the second one's.
        p: the probability of so large a difference, of either sign, by chance; None = not tested.
    """

    delta: float
    p: float | None


@dataclass(frozen=True)
class Comparison(SystemResult):
    """The system to compare with.

    Attributes:
        name: its folder or file.
        delta: the difference by metric.
    """

    name: str = ""
    delta: dict[str, Delta] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"  against {self.name}"]
        for metric, found in self.delta.items():
            chance = "" if found.p is None else f", p = {found.p:.3f}"
            lines.append(
                f"    {METRIC_NAMES[metric]:15} {found.delta:+6.2f} "
                f"(it has {self.scores[metric].score:.2f}){chance}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class SplitResult(SystemResult):
    """Everything that `translator evaluate` prints for one split.

    Attributes:
        split: its name.
        clean_part: scores of the lines that the training data do not contain, even approximately.
        compare: the other system, if there is one.
    """

    split: str = "test"
    clean_part: SplitScores | None = None
    compare: Comparison | None = None

    @property
    def systems(self) -> list[SystemResult]:
        """The system, and the one to compare with if there is one."""
        return [self, *([self.compare] if self.compare else [])]

    def __str__(self) -> str:
        parts = [f"{self.split} ({self.sentences} sentences)", super().__str__()]
        if clean := self.clean_part:
            if clean.sentences == self.sentences:
                parts.append("  None of these lines is in the training data, even approximately.")
            else:
                what = f"{self.split}, without what is in the training data"
                parts += [f"{what} ({clean.sentences} sentences)", str(clean)]
        parts += [str(part) for part in (self.compare, self.analysis) if part]
        return "\n".join(part for part in parts if part)
