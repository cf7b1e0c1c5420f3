"""How far a translation can be trusted: a calibrated probability that it is good.

Good means: its sentence chrF against a reference is at least 60. A log-probability cannot say that,
for it knows neither how long a sentence may be nor what the model never saw. So a few numbers that
one forced pass of the model gives are weighed by a logistic regression, which is fitted to
translations with known references (translator/evaluation/calibration.py) and stored with the model.
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
MOST_DEVIATIONS = 4.0  # from the mean: values further away are clipped, so that no square explodes

# Chosen by cross-validation on Multi30k's validation pairs, spoilt ones and news.
FEATURES = (
    "log_prob",  # mean of the pieces
    "lowest",  # of them
    "improbable",  # share of the pieces below `IMPROBABLE`
    "characters",  # probability of a piece, on average over the translation's characters
    "regret",  # mean of what the likeliest pieces have more than those that were written
    "entropy",  # mean of the distributions
    "coverage",  # mean log of the attention that each source piece got, at most 1
    "attention_entropy",  # mean of the rows of cross-attention
    "attention_end",  # share of it that goes to the end of the source
    "ratio",  # log of target pieces by source pieces
    "length",  # log of source pieces
    "pieces_per_word",  # of the source: how rarely its words are written
    "src_rarity",  # mean score of its pieces in the vocabulary
    "tgt_rarity",  # of the translation's
    "copied",  # share of its words that occur in the source
    "stop",  # does the source end with a mark?
)


_Found = dict[str, Any]
_MARKS = ".,;:!?\"'()"

GOOD_CHRF = 60
EVENT = f"chrF of at least {GOOD_CHRF}"


@dataclass(frozen=True)
class Evidence:
    """What is known of translations before it is judged."""

    table: Tensor  # (N, features), float64
    log_probs: list[float]  # of each translation
    n_pieces: list[int]


@dataclass(frozen=True)
class Calibration:
    """Turns features into a probability. It belongs to the exact weights it was fitted with."""

    mean: tuple[float, ...]  # of each feature
    scale: tuple[float, ...]  # its standard deviation
    weight: tuple[float, ...]  # of the standardised feature
    square: tuple[float, ...]  # of its square
    bias: float
    event: str = EVENT
    features: tuple[str, ...] = FEATURES
    measured: dict[str, Any] = field(default_factory=dict)  # by cross-validation

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
        """As plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """What `to_dict` gave.

        Raises:
            TranslatorError: it is damaged, or made by a program with other features.
        """
        try:
            tuples = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
            found = cls(**{**values, **tuples})
            rows = (found.mean, found.scale, found.weight, found.square)
            numbers = [float(x) for row in rows for x in (*row, found.bias)]
            right = found.features == FEATURES and found.event == EVENT
            if not right or {len(row) for row in rows} != {len(FEATURES)}:
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
    """The calibration of a direction in what a MODEL's `config.json` says, if there is one.

    Raises:
        TranslatorError: it is damaged, or made by a program with other features.
    """
    values = info.get("confidence", {}).get(f"{src}-{tgt}")
    return Calibration.from_dict(values) if values else None


def gather(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    tag: Sequence[int] = (),
    batch_tokens: int | None = None,
) -> Evidence:
    """The features of pairs of a source and its translation, by one forced pass in batches.

    What a pair gets does not depend on the others, but for rounding.

    Args:
        model: its weights may be on any device.
        pairs: any text, each taken as a whole.
        tag: what leads each source, for a model that knows both directions.
        batch_tokens: the model's own if there are none.
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
        attention = attention[..., len(tag) :].double().cpu()  # to the text, not to its tag
        pieces = torch.stack([forced.log_probs, forced.best, forced.entropies]).double().cpu()
        for row, i in enumerate(batch.rows):
            src, tgt = batch.src_ids[row][len(tag) :], batch.tgt_ids[row]
            log_probs, best, entropies = pieces[:, row, : len(tgt)]
            found = {
                **_of_pieces(log_probs, best, entropies, lengths[tgt]),
                **_of_attention(attention[row, : len(tgt), : len(src)]),
                **_of_lengths(len(src), len(tgt)),
                **_of_text(*pairs[i], len(src)),
                "src_rarity": _mean(scores[src[:-1]]),
                "tgt_rarity": _mean(scores[tgt[:-1]]),
            }
            table[i] = torch.tensor([float(found[name]) for name in FEATURES])
            totals[i], n_pieces[i] = float(log_probs.sum()), len(tgt)
    return Evidence(table, totals, n_pieces)


@lru_cache(maxsize=4)
def _piece_table(tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Of each piece `(V,)` its letters and its score; bytes and placeholders are the rarest."""
    scores = {i: tokenizer.score(i) for i in tokenizer.text_pieces.values()}
    lengths = torch.zeros(tokenizer.vocab_size, dtype=torch.float64)
    table = torch.full_like(lengths, min(scores.values()))
    for piece, i in tokenizer.text_pieces.items():
        lengths[i] = len(piece.lstrip("\u2581"))
        table[i] = scores[i]
    return lengths, table


def _mean(values: Tensor) -> Tensor:
    return values.mean() if len(values) else torch.tensor(0.0)


def _of_pieces(log_probs: Tensor, best: Tensor, entropies: Tensor, lengths: Tensor) -> _Found:
    """What the distributions over the pieces `(T,)` say."""
    return {
        "log_prob": log_probs.mean(),
        "lowest": log_probs.min(),
        "improbable": (log_probs < IMPROBABLE).double().mean(),
        "characters": (lengths * log_probs.exp()).sum() / lengths.sum().clamp(min=1),
        "regret": (best - log_probs).mean(),
        "entropy": entropies.mean(),
    }


def _of_attention(weights: Tensor) -> _Found:
    """What the cross-attention `(T, S)` says; the last row and column are EOS's."""
    weights = weights / weights.sum(dim=-1, keepdim=True)
    coverage = weights.sum(dim=0)[:-1] if weights.shape[1] > 1 else weights.sum(dim=0)
    return {
        "coverage": coverage.clamp(1e-3, 1).log().mean(),
        "attention_entropy": torch.special.entr(weights).sum(dim=-1).mean(),
        "attention_end": weights[: max(len(weights) - 1, 1), -1].mean(),
    }


def _of_lengths(n_src: int, n_tgt: int) -> _Found:
    return {"ratio": math.log(n_tgt / n_src), "length": math.log(n_src)}


def _of_text(source: str, translation: str, n_src: int) -> _Found:
    """What can be seen without the model."""
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
    """The confidence in each of the pairs that `gather` looked at.

    Where words became nothing it is 0, where nothing was to be translated and nothing was, 1.
    """
    found = calibration.probabilities(evidence.table)
    for i, (source, translation) in enumerate(pairs):
        if not source.strip() and not translation.strip():
            found[i] = 1.0
        elif is_empty(source, translation):
            found[i] = 0.0
    return found


def line_confidence(segments: Sequence[float]) -> float:
    """The confidence in a line whose segments have these: that of the weakest; of none 1.

    Who trusts a line trusts all of it. The product, the chance that all are good if they had
    nothing to do with each other, would condemn every long line.
    """
    return min(segments, default=1.0)


def expand(standardised: Tensor) -> Tensor:
    """Standardised features `(N, F)` and their squares: `(N, 2F)`."""
    near = standardised.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    return torch.cat([near, near**2], dim=1)


def good(chrf: Sequence[float]) -> list[bool]:
    """Whether translations that have these chrF are good: the event."""
    return [score >= GOOD_CHRF for score in chrf]
