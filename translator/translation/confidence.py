"""How far a translation can be trusted: a calibrated probability that it is good.

Good means: its sentence chrF against a reference is at least 60. A log-probability cannot tell, as
it depends on the length and knows nothing of what the model has never seen. A logistic regression
therefore weighs a few numbers from one forced pass of the model. It is fitted to translations with
known references (translator/evaluation/calibration.py) and stored with the model.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.search.forced import force, pair_batches
from translator.storage.model_folder import Model
from translator.text.codec import TextCodec
from translator.text.tokenizer import Tokenizer
from translator.translation.faults import is_empty

IMPROBABLE = math.log(0.3)
MOST_DEVIATIONS = 4.0  # from the mean; values further away are clipped to keep squares small

# Chosen by cross-validation on Multi30k's validation pairs, corrupted ones and news.
FEATURES = (
    "log_prob",  # mean log-probability of the target pieces
    "lowest",  # their lowest log-probability
    "improbable",  # share of target pieces below `IMPROBABLE`
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

_MARKS = ".,;:!?\"'()"

GOOD_CHRF = 60
EVENT = f"chrF of at least {GOOD_CHRF}"


@dataclass(frozen=True)
class Evidence:
    """The features of translations, before they are judged."""

    table: Tensor  # (N, features), float64
    log_probs: list[float]  # total of each translation
    n_pieces: list[int]  # target pieces of each translation


@dataclass(frozen=True)
class Calibration:
    """Turns features into a probability; valid only for the exact weights it was fitted with."""

    mean: tuple[float, ...]  # of each feature
    scale: tuple[float, ...]  # standard deviation of each feature
    weight: tuple[float, ...]  # of each standardised feature
    square: tuple[float, ...]  # weight of its square
    bias: float
    event: str = EVENT
    features: tuple[str, ...] = FEATURES
    measured: dict[str, Any] = field(default_factory=dict)  # its quality, by cross-validation

    def probabilities(self, table: Tensor) -> list[float]:
        """The probability of the event for each row of features `(N, features)`."""
        mean, scale, weight = (
            torch.tensor(values, dtype=torch.float64)
            for values in (self.mean, self.scale, self.weight + self.square)
        )
        logits = expand((table - mean) / scale) @ weight + self.bias
        found: list[float] = logits.sigmoid().tolist()
        return found

    def to_dict(self) -> dict[str, Any]:
        """The calibration as plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Reads the result of `to_dict`.

        Raises:
            TranslatorError: it is damaged, or another version with other features wrote it.
        """
        try:
            tuples = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
            found = cls(**{**values, **tuples})
            rows = (found.mean, found.scale, found.weight, found.square)
            numbers = [float(x) for row in rows for x in (*row, found.bias)]
            same = found.features == FEATURES and found.event == EVENT
            if not same or {len(row) for row in rows} != {len(FEATURES)}:
                raise ValueError
            if not all(map(math.isfinite, numbers)) or min(found.scale) <= 0:
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


def gather(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    tag: Sequence[int] = (),
    batch_tokens: int | None = None,
) -> Evidence:
    """Computes the features of (source, translation) pairs by one forced pass in batches.

    Except for rounding, a pair's features do not depend on the other pairs.

    Args:
        model: a model on any device.
        pairs: any text; each side is read as a whole.
        tag: ids that lead each source, for a model of both directions.
        batch_tokens: the most padded tokens per batch; None = the model's own.
    """
    transformer = model.transformer.eval()
    device = transformer.embedding.weight.device
    batch_tokens = batch_tokens or model.config.search.batch_tokens
    lengths, scores = _piece_table(model.tokenizer)
    table = torch.zeros(len(pairs), len(FEATURES), dtype=torch.float64)
    totals, n_pieces = [0.0] * len(pairs), [0] * len(pairs)
    codec = TextCodec(model.tokenizer)
    for batch in pair_batches(codec, pairs, batch_tokens, tag, device):
        forced = force(transformer, batch.src, batch.tgt, details=True)
        attention = torch.stack([w.mean(dim=1) for w in forced.weights]).mean(dim=0)  # (B, T, S)
        attention = attention[..., len(tag) :].double().cpu()  # without the tag
        pieces = torch.stack([forced.log_probs, forced.best, forced.entropies]).double().cpu()
        for row, i in enumerate(batch.rows):
            src, tgt = batch.src_ids[row][len(tag) :], batch.tgt_ids[row]
            log_probs, best, entropies = pieces[:, row, : len(tgt)]
            found = {
                **_describe_pieces(log_probs, best, entropies, lengths[tgt]),
                **_describe_attention(attention[row, : len(tgt), : len(src)]),
                **_describe_text(*pairs[i], len(src)),
                "ratio": math.log(len(tgt) / len(src)),
                "length": math.log(len(src)),
                "src_rarity": _mean(scores[src[:-1]]),
                "tgt_rarity": _mean(scores[tgt[:-1]]),
            }
            table[i] = torch.tensor([float(found[name]) for name in FEATURES])
            totals[i], n_pieces[i] = float(log_probs.sum()), len(tgt)
    return Evidence(table, totals, n_pieces)


@lru_cache(maxsize=4)
def _piece_table(tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Characters and score of each piece, both `(V,)`; bytes and placeholders score lowest."""
    scores = {i: tokenizer.score(i) for i in tokenizer.text_pieces.values()}
    lengths = torch.zeros(tokenizer.vocab_size, dtype=torch.float64)
    table = torch.full_like(lengths, min(scores.values()))
    for piece, i in tokenizer.text_pieces.items():
        lengths[i] = len(piece.lstrip("\u2581"))
        table[i] = scores[i]
    return lengths, table


def _mean(values: Tensor) -> Tensor:
    return values.mean() if len(values) else torch.tensor(0.0)


def _describe_pieces(
    log_probs: Tensor, best: Tensor, entropies: Tensor, lengths: Tensor
) -> dict[str, Any]:
    """Features of the distributions at the target pieces, each argument `(T,)`."""
    return {
        "log_prob": log_probs.mean(),
        "lowest": log_probs.min(),
        "improbable": (log_probs < IMPROBABLE).double().mean(),
        "characters": (lengths * log_probs.exp()).sum() / lengths.sum().clamp(min=1),
        "regret": (best - log_probs).mean(),
        "entropy": entropies.mean(),
    }


def _describe_attention(weights: Tensor) -> dict[str, Any]:
    """Features of the cross-attention `(T, S)`, whose last row and column are EOS's."""
    weights = weights / weights.sum(dim=-1, keepdim=True)
    coverage = weights.sum(dim=0)[:-1] if weights.shape[1] > 1 else weights.sum(dim=0)
    return {
        "coverage": coverage.clamp(1e-3, 1).log().mean(),
        "attention_entropy": torch.special.entr(weights).sum(dim=-1).mean(),
        "attention_end": weights[: max(len(weights) - 1, 1), -1].mean(),
    }


def _describe_text(source: str, translation: str, n_src: int) -> dict[str, Any]:
    """Features of the text, which need no model."""
    src_words, words = (
        [word.strip(_MARKS) for word in text.split()] for text in (source, translation)
    )
    return {
        "pieces_per_word": (n_src - 1) / max(len(src_words), 1),
        "copied": sum(word in set(src_words) for word in words) / max(len(words), 1),
        "stop": source.rstrip().endswith((".", "!", "?")),
    }


def judge(
    calibration: Calibration, evidence: Evidence, pairs: Sequence[tuple[str, str]]
) -> list[float]:
    """The confidence in each (source, translation) pair, from the evidence that `gather` returned.

    It is 0 if words became nothing, and 1 if source and translation are both blank.
    """
    found = calibration.probabilities(evidence.table)
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


def expand(standardised: Tensor) -> Tensor:
    """Appends to standardised features `(N, F)` their squares: `(N, 2F)`."""
    near = standardised.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    return torch.cat([near, near**2], dim=1)


def are_good(chrf: Sequence[float]) -> list[bool]:
    """Whether the event has happened, by the sentence chrF of each translation."""
    return [score >= GOOD_CHRF for score in chrf]
