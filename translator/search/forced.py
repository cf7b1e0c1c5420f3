"""How likely a model finds translations that are given: per token, per sentence, in all.

The distribution is the one that `translator.search` draws on, so that what a search returns and
what is said of it here agree.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.model.batch import CHUNK, pad_right
from translator.model.batching import token_batches
from translator.model.incremental import NEVER
from translator.model.transformer import Transformer
from translator.search.hypothesis import normalised
from translator.storage.model_folder import Model
from translator.text.codec import TextCodec, normalise, target_ids
from translator.text.tokenizer import BOS, EOS, PAD


@dataclass(frozen=True)
class ScoredPair:
    """What a model says of a translation. Logarithms are natural, EOS counts."""

    pieces: list[str]  # of the translation, EOS last
    log_probs: list[float]  # of each piece, given the source and the pieces before it
    log_prob: float  # their sum
    score: float  # normalised by length as a search does, without coverage
    perplexity: float  # exp of minus their mean


@dataclass(frozen=True)
class Total:
    """What a model says of a corpus."""

    log_prob: float
    n_tokens: int  # target pieces, each sentence's EOS included
    perplexity: float  # exp(-log_prob / n_tokens)


@dataclass(frozen=True)
class Forced:
    """What a model does while it is made to write given translations; 0 where these are padded."""

    log_probs: Tensor  # (B, T), of the pieces
    # If asked for:
    best: Tensor  # (B, T), log-probabilities of the likeliest pieces in their places
    entropies: Tensor  # (B, T), of the distributions that they come from, in nats
    weights: list[Tensor]  # cross-attention of each layer, (B, H, T, S)
    memory: Tensor  # (B, D), what the encoder made of the source, on average over its pieces


@torch.inference_mode()
def force(
    model: Transformer,
    src: Tensor,
    tgt: Tensor,
    details: bool = False,
    which: Tensor | None = None,
) -> Forced:
    """Makes a model write given translations (teacher forcing).

    A piece that no translation holds (PAD, UNK, BOS) has probability 0, and so its sentence: -inf.

    Args:
        model: in evaluation mode.
        src: `(B, S)` ids, closed with EOS, padded right.
        tgt: `(B, T)` ids, likewise.
        details: whether more than log-probabilities is wanted.
        which: `(B,)`, the row of `src` that each translation is of; by default each has its own.
    """
    memory, src_mask = model.encode(src)
    if which is not None:
        memory, src_mask = memory[which], src_mask[which]
    tgt_in = torch.cat([torch.full_like(tgt[:, :1], BOS), tgt[:, :-1]], dim=1)
    states, weights = model.decode_states(tgt_in, memory, src_mask, details)  # (B, T, D)
    real = tgt != PAD
    states, targets = states[real], tgt[real]  # (N, D), (N,)
    found = torch.zeros(3, len(targets), device=tgt.device)
    # A chunk at a time, for the logits of a large batch would be larger than all the rest.
    for start in range(0, len(targets), CHUNK):
        rows = slice(start, start + CHUNK)
        logits = model.project(states[rows]).float()  # (N, V)
        logits[:, NEVER] = float("-inf")
        log_probs = logits.log_softmax(dim=-1)
        found[0, rows] = log_probs.gather(1, targets[rows, None])[:, 0]
        if details:
            found[1, rows] = log_probs.amax(dim=-1)
            # Those that are never written have probability 0, and -inf times 0 is none.
            found[2, rows] = -(log_probs.exp() * log_probs.clamp(min=-1e4)).sum(dim=-1)
    padded = torch.zeros(3, *tgt.shape, device=tgt.device)
    padded[:, real] = found
    log_probs, best, entropies = padded
    read = src_mask[:, 0, 0, :, None]  # (B, S, 1)
    mean = (memory * read).sum(dim=1) / read.sum(dim=1)
    return Forced(log_probs, best, entropies, weights, mean)


def token_log_probs(model: Transformer, src: Tensor, tgt: Tensor) -> Tensor:
    """Log-probabilities `(B, T)` of the pieces of given translations, see `force`."""
    return force(model, src, tgt).log_probs


@dataclass(frozen=True)
class PairBatch:
    """Some of the pairs that `pair_batches` was given, as a model reads and writes them."""

    rows: list[int]  # which ones
    src: Tensor  # (B, S), closed with EOS
    tgt: Tensor  # (B, T), likewise
    src_ids: list[list[int]]
    tgt_ids: list[list[int]]


def pair_batches(
    codec: TextCodec,
    pairs: Sequence[tuple[str, str]],
    batch_tokens: int,
    tag: Sequence[int] = (),
    device: torch.device | None = None,
) -> Iterator[PairBatch]:
    """Pairs of a source and its translation, any text, in batches of like length.

    Args:
        codec: that of the model.
        pairs: each is taken as a whole, however long it is.
        batch_tokens: padded pieces in a batch.
        tag: what leads each source, for a model that knows both directions.
        device: where the batches go.
    """
    sources = [codec.encode(normalise(src)) for src, _ in pairs]
    src_rows = [[*tag, *source.ids, EOS] for source in sources]
    tgt_rows = [
        [*target_ids(codec, normalise(tgt), source), EOS]
        for (_, tgt), source in zip(pairs, sources, strict=True)
    ]
    longer = [max(len(src), len(tgt)) for src, tgt in zip(src_rows, tgt_rows, strict=True)]
    order = sorted(range(len(pairs)), key=longer.__getitem__)
    for batch in token_batches([longer[i] for i in order], batch_tokens):
        rows = [order[i] for i in batch]
        src_ids, tgt_ids = [src_rows[i] for i in rows], [tgt_rows[i] for i in rows]
        src, tgt = (pad_right(ids).to(device) for ids in (src_ids, tgt_ids))
        yield PairBatch(rows, src, tgt, src_ids, tgt_ids)


def score_pairs(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    search: SearchConfig | None = None,
    tag: Sequence[int] = (),
) -> list[ScoredPair]:
    """Scores pairs of a source and its translation, each as a whole, however long it is.

    What a pair gets does not depend on the others. Either side may be blank.

    Args:
        model: its weights may be on any device.
        pairs: any text, in the order of the results.
        search: length penalty and batch size; the model's own if there is none.
        tag: what leads each source, for a model that knows both directions.
    """
    search = search or model.config.search
    transformer = model.transformer.eval()
    device = transformer.embedding.weight.device
    codec = TextCodec(model.tokenizer)
    found: dict[int, ScoredPair] = {}
    for batch in pair_batches(codec, pairs, search.batch_tokens, tag, device):
        rows = token_log_probs(transformer, batch.src, batch.tgt).tolist()
        for i, ids, log_probs in zip(batch.rows, batch.tgt_ids, rows, strict=True):
            length = len(ids)
            log_prob = math.fsum(log_probs[:length])
            found[i] = ScoredPair(
                pieces=model.tokenizer.pieces(ids),
                log_probs=log_probs[:length],
                log_prob=log_prob,
                score=normalised(log_prob, length, search),
                perplexity=_perplexity(log_prob, length),
            )
    return [found[i] for i in range(len(pairs))]


def total(scored: Iterable[ScoredPair]) -> Total:
    """The sum over a corpus.

    Raises:
        TranslatorError: the corpus is empty.
    """
    scored = list(scored)
    if not scored:
        raise TranslatorError("There are no lines to score.")
    log_prob = math.fsum(pair.log_prob for pair in scored)
    n_tokens = sum(len(pair.pieces) for pair in scored)
    return Total(log_prob, n_tokens, _perplexity(log_prob, n_tokens))


def _perplexity(log_prob: float, n_tokens: int) -> float:
    try:
        return math.exp(-log_prob / n_tokens)
    except OverflowError:
        return math.inf
