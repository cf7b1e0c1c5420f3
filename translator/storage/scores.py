"""The scores of a test set, as `config.json` and `--json` hold them and as people read them."""

from dataclasses import dataclass
from typing import Any

from translator.config.records import Record

# As sacreBLEU writes them, and the one of the papers on Multi30k.
METRIC_NAMES = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER", "multi30k_bleu": "BLEU, Multi30k"}


@dataclass(frozen=True)
class Score(Record):
    """A corpus score.

    Attributes:
        score: from 0 to 100; TER may be higher.
        signature: sacreBLEU's; how the score was computed.
        interval: the ends of the 95 % interval by bootstrap, if it was computed.
    """

    score: float
    signature: str
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        interval = " ({:.2f} to {:.2f})".format(*self.interval) if self.interval else ""
        return f"{self.score:6.2f}{interval}  {self.signature}"


@dataclass(frozen=True)
class SplitScores(Record):
    """How a system scores on one split.

    Attributes:
        sentences: the number of lines.
        scores: by metric: "bleu", "chrf", "ter", "multi30k_bleu".
        search: the settings of the search, if a model translated.
        seconds, sentences_per_second: how long it took to translate.
    """

    sentences: int
    scores: dict[str, Score]
    search: dict[str, Any] | None = None
    seconds: float | None = None
    sentences_per_second: float | None = None

    @property
    def bleu(self) -> Score:
        return self._score("bleu")

    @property
    def chrf(self) -> Score:
        return self._score("chrf")

    @property
    def ter(self) -> Score:
        return self._score("ter")

    def _score(self, metric: str) -> Score:
        if metric not in self.scores:
            raise AttributeError(f"{metric} was not computed, only {', '.join(self.scores)}")
        return self.scores[metric]

    def __str__(self) -> str:
        width = max([5, *(len(METRIC_NAMES[metric]) for metric in self.scores)])
        lines = [f"  {METRIC_NAMES[m]:{width}} {score}" for m, score in self.scores.items()]
        if self.sentences_per_second is not None:
            lines.append(f"  {self.sentences_per_second:.1f} sentences/s")
        return "\n".join(lines)


@dataclass(frozen=True)
class ConfidenceQuality(Record):
    """How good a model's confidence was on sentences that it was not fitted to.

    Attributes:
        sentences: how many were judged.
        base_rate: the share of them with a good translation.
        auc: the area under the ROC curve; None if all or none were good.
        auc_log_prob: the same of the log-probability alone.
        calibration_error: the expected calibration error, from 0 to 1.
    """

    sentences: int
    auc: float | None
    auc_log_prob: float | None
    calibration_error: float
    base_rate: float | None = None

    def __str__(self) -> str:
        auc, raw = (
            "-" if area is None else f"{area:.3f}" for area in (self.auc, self.auc_log_prob)
        )
        good = "" if self.base_rate is None else f", {self.base_rate:6.1%} good"
        return (
            f"{self.sentences:6,} sentences{good}; AUC {auc} (log-probability: {raw}), "
            f"calibration error {self.calibration_error:.3f}"
        )
