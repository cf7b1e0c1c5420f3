"""What a model shows of translations that are given: the numbers that confidence is judged by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from translator.search.forced import force, pair_batches
from translator.storage.model_folder import Model
from translator.text.codec import TextCodec
from translator.text.tokenizer import Tokenizer
from translator.translation.confidence import FEATURES

IMPROBABLE = math.log(0.3)
MOST_DEVIATIONS = 4.0  # from the mean; values further away are clipped to keep products small
_MARKS = ".,;:!?\"'()"


@dataclass(frozen=True)
class Evidence:
    """The features of translations, before they are judged."""

    table: Tensor  # (N, features), float64
    memory: Tensor  # (N, D), float64: what the encoder made of each source, on average
    log_probs: list[float]  # total of each translation
    n_pieces: list[int]  # target pieces of each translation

    def take(self, rows: Sequence[int]) -> "Evidence":
        """That of some translations."""
        log_probs, n_pieces = [self.log_probs[i] for i in rows], [self.n_pieces[i] for i in rows]
        return Evidence(self.table[rows], self.memory[rows], log_probs, n_pieces)


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
    memory = torch.zeros(len(pairs), model.config.model.d_model, dtype=torch.float64)
    totals, n_pieces = [0.0] * len(pairs), [0] * len(pairs)
    codec = TextCodec(model.tokenizer)
    for batch in pair_batches(codec, pairs, batch_tokens, tag, device):
        forced = force(transformer, batch.src, batch.tgt, details=True)
        memory[batch.rows] = forced.memory.double().cpu()
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
    return Evidence(table, memory, totals, n_pieces)


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


def expand(standardised: Tensor) -> Tensor:
    """Appends to standardised features `(N, F)` their products: `(N, F + F * (F + 1) / 2)`.

    These are of the first feature with each, then of the second with each from itself on, ...
    """
    near = standardised.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    one, other = torch.triu_indices(near.shape[1], near.shape[1])
    return torch.cat([near, near[:, one] * near[:, other]], dim=1)
