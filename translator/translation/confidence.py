"""How far a translation can be trusted: a calibrated probability that it is good.

Good means: its sentence chrF against a reference is at least 60. A log-probability cannot tell, as
it depends on the length and knows nothing of what the model has never seen. A logistic regression
therefore weighs a few numbers from one forced pass of the model. It is fitted to translations with
known references (translator/evaluation/calibration.py) and stored with the model. The numbers are
in evidence.py. A linear function of the encoder's mean state is added to its logit: it knows that
news is harder than a greeting.
"""

from __future__ import annotations

import base64
import itertools
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError
from translator.translation.faults import is_empty

if TYPE_CHECKING:
    from torch import Tensor

    from translator.translation.evidence import Evidence

# Chosen by cross-validation on Multi30k's validation pairs, corrupted ones and news.
FEATURES = (
    "log_prob",  # mean log-probability of the target pieces
    "lowest",  # their lowest log-probability
    "improbable",  # share of target pieces below `IMPROBABLE` (evidence.py)
    "characters",  # probability of the pieces, averaged over the characters of the translation
    "regret",  # mean log-probability of the likeliest pieces minus that of the written ones
    "entropy",  # mean entropy of the distributions
    "coverage",  # mean log of the attention that each source piece received, at most 1
    "attention_entropy",  # mean entropy of the rows of cross-attention
    "attention_end",  # share of cross-attention on the end of the source
    "ratio",  # log of target pieces per source piece
    "length",  # log of the number of source pieces
    "pieces_per_word",  # in the source: rare words have many
    "src_rarity",  # mean score of the source pieces in the vocabulary
    "tgt_rarity",  # mean score of the target pieces
    "copied",  # share of target words that occur in the source
    "stop",  # whether the source ends with a mark
)

GOOD_CHRF = 60
EVENT = f"chrF of at least {GOOD_CHRF}"


@dataclass(frozen=True)
class Calibration:
    """Turns evidence into a probability; valid only for the exact weights it was fitted with."""

    mean: tuple[float, ...]  # of each feature
    scale: tuple[float, ...]  # standard deviation of each feature
    weight: tuple[float, ...]  # of each standardised feature
    product: tuple[float, ...]  # of each product of two of them, a square too; see `expand`
    bias: float
    event: str = EVENT
    features: tuple[str, ...] = FEATURES
    readout: tuple[float, ...] = ()  # (D,): weights of the encoder's state, in single precision
    measured: dict[str, Any] = field(default_factory=dict)  # its quality, by cross-validation

    def logits(self, evidence: Evidence) -> Tensor:
        """The logit of the event for each translation, `(N,)`."""
        from translator.translation.evidence import expand

        table, memory = evidence.table, evidence.memory
        mean, scale, weight = (
            table.new_tensor(values)
            for values in (self.mean, self.scale, self.weight + self.product)
        )
        logits = expand((table - mean) / scale) @ weight + self.bias
        return logits + memory @ memory.new_tensor(self.readout) if self.readout else logits

    def probabilities(self, evidence: Evidence) -> list[float]:
        """The probability of the event for each translation."""
        found: list[float] = self.logits(evidence).sigmoid().tolist()
        return found

    def to_dict(self) -> dict[str, Any]:
        """The calibration as plain data, for JSON; the read-out is base64 of its bytes."""
        readout = base64.b64encode(array("f", self.readout).tobytes()).decode()
        return {**asdict(self), "readout": readout}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Reads the result of `to_dict`.

        Raises:
            TranslatorError: it is damaged, or another version with other features wrote it.
        """
        try:
            given: dict[str, Any] = dict(values)
            given |= {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
            if "square" in given:  # of an earlier version, which had no other products
                squares = dict(zip(FEATURES, given.pop("square"), strict=True))
                given["product"] = tuple(
                    squares[a] if a == b else 0.0
                    for a, b in itertools.combinations_with_replacement(FEATURES, 2)
                )
            given["readout"] = tuple(array("f", base64.b64decode(given.get("readout", ""))))
            found = cls(**given)
            rows = (found.mean, found.scale, found.weight, found.product)
            numbers = [float(x) for row in rows for x in (*row, found.bias)]
            same = found.features == FEATURES and found.event == EVENT
            n = len(FEATURES)
            if not same or [len(row) for row in rows] != [n, n, n, n * (n + 1) // 2]:
                raise ValueError
            if not all(map(math.isfinite, (*numbers, *found.readout))) or min(found.scale) <= 0:
                raise ValueError
        except (TypeError, ValueError, AttributeError):
            raise TranslatorError(
                "The model's calibration does not fit this program: fit it again with "
                "`translator calibrate MODEL --data CORPUS`."
            ) from None
        return found


def find_calibration(info: Mapping[str, Any], src: str, tgt: str) -> Calibration | None:
    """The calibration of one direction in a model's description `info`, or None.

    Raises:
        TranslatorError: it is damaged, or another version with other features wrote it.
    """
    values = info.get("confidence", {}).get(f"{src}-{tgt}")
    return Calibration.from_dict(values) if values else None


def judge(
    calibration: Calibration, evidence: Evidence, pairs: Sequence[tuple[str, str]]
) -> list[float]:
    """The confidence in each (source, translation) pair, from its evidence (evidence.py).

    It is 0 if words became nothing, and 1 if source and translation are both blank.
    """
    found = calibration.probabilities(evidence)
    for i, (source, translation) in enumerate(pairs):
        if not source.strip() and not translation.strip():
            found[i] = 1.0
        elif is_empty(source, translation):
            found[i] = 0.0
    return found


def combine_confidences(segments: Sequence[float]) -> float:
    """The confidence in a line: that of its weakest segment, or 1 if it has none.

    Trusting a line means trusting all of it. The product, which is the chance that all segments are
    good if they were independent, would condemn every long line.
    """
    return min(segments, default=1.0)


def are_good(chrf: Sequence[float]) -> list[bool]:
    """Whether the event has happened, by the sentence chrF of each translation."""
    return [score >= GOOD_CHRF for score in chrf]
