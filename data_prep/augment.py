"""Copy placeholders: how the model learns to carry over what it has never seen.

At translation, spans that the vocabulary cannot spell (emoji, Greek, URLs) stand as `<copy_i>` in
the source, and the model puts `<copy_i>` where it belongs in the target. For that, a share of the
training pairs gets placeholders: beside or in place of words that translate each other, at the very
start, or at the very end. Which words translate each other is learnt from the corpus by IBM Model 1
(Brown et al. 1993).
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_prep.segment import SegmentSampler
from translator.config import DataConfig
from translator.data import IdPair, derive_seed
from translator.tokenizer import N_COPY, Tokenizer

Span = tuple[int, int]  # start and end in a list of ids
Anchor = tuple[Span, Span]  # a source word and the target word that translates it


def word_spans(ids: Sequence[int], tokenizer: Tokenizer) -> list[Span]:
    """The words of a sentence: spans of pieces; punctuation marks are words of their own."""
    starts = [
        i
        for i, piece in enumerate(ids)
        if i == 0
        or tokenizer.starts_word[piece]
        or tokenizer.is_mark[piece] != tokenizer.is_mark[ids[i - 1]]
    ]
    return list(itertools.pairwise([*starts, len(ids)]))


def _word_ids(sentences: Sequence[Sequence[int]], spans: Sequence[Sequence[Span]]) -> list[Tensor]:
    """Each word as a number, the same number for the same pieces."""
    numbers: dict[tuple[int, ...], int] = {}
    return [
        torch.tensor([numbers.setdefault(tuple(ids[a:b]), len(numbers)) for a, b in words])
        for ids, words in zip(sentences, spans, strict=True)
    ]


def word_anchors(
    pairs: Sequence[IdPair], tokenizer: Tokenizer, rounds: int = 5, sure: float = 0.5
) -> list[list[Anchor]]:
    """For each pair the words that translate each other, each one the other's best choice.

    IBM Model 1 by expectation-maximisation over all word links of the corpus at once; a link holds
    where its posterior is above `sure` and the highest of its row and of its column.
    """
    src_spans = [word_spans(src, tokenizer) for src, _ in pairs]
    tgt_spans = [word_spans(tgt, tokenizer) for _, tgt in pairs]
    src_words = _word_ids([src for src, _ in pairs], src_spans)
    tgt_words = _word_ids([tgt for _, tgt in pairs], tgt_spans)
    # One row per possible link: where its words stand (numbered over the corpus), which they are.
    src_place, tgt_place, src_word, tgt_word = [], [], [], []
    src_total = tgt_total = 0
    for src, tgt in zip(src_words, tgt_words, strict=True):
        n_src, n_tgt = len(src), len(tgt)
        src_place.append((src_total + torch.arange(n_src)).repeat_interleave(n_tgt))
        tgt_place.append((tgt_total + torch.arange(n_tgt)).repeat(n_src))
        src_word.append(src.repeat_interleave(n_tgt))
        tgt_word.append(tgt.repeat(n_src))
        src_total, tgt_total = src_total + n_src, tgt_total + n_tgt
    src_at, tgt_at, source = torch.cat(src_place), torch.cat(tgt_place), torch.cat(src_word)
    target = torch.cat(tgt_word)
    kinds, link = torch.unique(source * (int(target.max()) + 1) + target, return_inverse=True)
    source_of_kind = kinds // (int(target.max()) + 1)

    probability = torch.ones(len(kinds))  # t(target word | source word)
    for _ in range(rounds + 1):
        weight = probability[link]
        posterior = weight / torch.zeros(tgt_total).index_add_(0, tgt_at, weight)[tgt_at]
        counts = torch.zeros(len(kinds)).index_add_(0, link, posterior)
        totals = torch.zeros(int(source.max()) + 1).index_add_(0, source_of_kind, counts)
        probability = counts / totals[source_of_kind]

    best_src = torch.zeros(src_total).scatter_reduce_(0, src_at, posterior, "amax")
    best_tgt = torch.zeros(tgt_total).scatter_reduce_(0, tgt_at, posterior, "amax")
    held = (posterior > sure) & (posterior == best_src[src_at]) & (posterior == best_tgt[tgt_at])
    links = torch.stack([src_at[held], tgt_at[held]], dim=1).tolist()

    anchors: list[list[Anchor]] = [[] for _ in pairs]
    # The words of all sentences in one row, as the links count them.
    all_src = [(i, span) for i, spans in enumerate(src_spans) for span in spans]
    all_tgt = [span for spans in tgt_spans for span in spans]
    for src_number, tgt_number in links:
        i, span = all_src[src_number]
        if not tokenizer.is_mark[pairs[i][0][span[0]]]:
            anchors[i].append((span, all_tgt[tgt_number]))
    return anchors


@dataclass(frozen=True)
class CopyNoise:
    """Puts placeholders into a share `rate` of the pairs that have anchors, anew in every epoch."""

    anchors: Sequence[Sequence[Anchor]]
    copy_ids: Sequence[int]
    rate: float

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        """The pair with or without placeholders: a pure function of its arguments."""
        rng = random.Random(derive_seed(seed, "copy", epoch, index))
        if index >= len(self.anchors) or rng.random() >= self.rate:
            return pair
        edits = sorted(self._choose(pair, self.anchors[index], rng))
        # Numbered in the order of the source, from a random number on, so that all are learnt.
        first = rng.randint(0, N_COPY - len(edits))
        src, tgt = list(pair[0]), list(pair[1])
        for side, ids in enumerate((src, tgt)):
            places = sorted((edit[side], self.copy_ids[first + i]) for i, edit in enumerate(edits))
            for (start, end), placeholder in reversed(places):  # from the right: indices hold
                ids[start:end] = [placeholder]
        return src, tgt

    def _choose(self, pair: IdPair, anchors: Sequence[Anchor], rng: random.Random) -> list[Anchor]:
        """One to three places: before all, behind all, or a word's. An empty span inserts."""
        src, tgt = pair
        n_places = rng.choices((1, 2, 3), (6, 3, 1))[0]
        picked = rng.sample(range(-2, len(anchors)), min(n_places, len(anchors) + 2))
        edits: list[Anchor] = []
        for k in picked:
            if k == -2:
                edits.append(((0, 0), (0, 0)))
            elif k == -1:
                edits.append(((len(src), len(src)), (len(tgt), len(tgt))))
            elif rng.random() < 0.5:  # behind the word
                (_, src_end), (_, tgt_end) = anchors[k]
                edits.append(((src_end, src_end), (tgt_end, tgt_end)))
            else:  # in its place, or in that of two words, as a name stands for "the man"
                (src_start, src_end), (tgt_start, tgt_end) = anchors[k]
                if k > 0 and k - 1 not in picked and rng.random() < 0.4:
                    before_src, before_tgt = anchors[k - 1]
                    if (before_src[1], before_tgt[1]) == (src_start, tgt_start):
                        src_start, tgt_start = before_src[0], before_tgt[0]
                edits.append(((src_start, src_end), (tgt_start, tgt_end)))
        return edits


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training pair anew in every epoch, a pure function.

    It gets placeholders, or else is cut into other pieces; then the direction's tag leads its
    source. The second half of the pairs goes the other way where there are two `tags`.
    """

    tokenizer: Tokenizer
    noise: CopyNoise | None
    segments: SegmentSampler | None
    tags: Sequence[int]
    n_forward: int

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        found = self.noise(pair, index, epoch, seed) if self.noise else pair
        if self.segments is not None and found is pair:
            rng = random.Random(derive_seed(seed, "segments", epoch, index))
            src, tgt = (self.segments(self.tokenizer.decode(side), rng) for side in pair)
            found = src, tgt
        if self.tags:
            return [self.tags[index >= self.n_forward], *found[0]], found[1]
        return found


def build_augmentation(
    config: DataConfig, pairs: Sequence[IdPair], tokenizer: Tokenizer
) -> Augmentation | None:
    """What the settings ask for; None if nothing. Anchors are learnt from the first 100,000."""
    noise = segments = None
    if config.copy_rate > 0:
        anchors = word_anchors(pairs[:100_000], tokenizer)
        noise = CopyNoise(anchors, tokenizer.copy_ids, config.copy_rate)
    if config.unigram_alpha > 0:
        segments = SegmentSampler(tokenizer, alpha=config.unigram_alpha)
    elif config.bpe_dropout > 0:
        segments = SegmentSampler(tokenizer, bpe_dropout=config.bpe_dropout)
    tags = [tokenizer.tag(t) for t in (config.tgt, config.src)] if config.bidirectional else []
    if not (noise or segments or tags):
        return None
    n_forward = len(pairs) // 2 if config.bidirectional else len(pairs)
    return Augmentation(tokenizer, noise, segments, tags, n_forward)
