"""What is done to training pairs anew in every epoch.

**Copy placeholders** are how the model learns to carry over what it has never seen. At translation,
spans that the vocabulary cannot spell (emoji, Greek, URLs) stand as `<copy_i>` in the source, and
the model puts `<copy_i>` where it belongs in the target. For that, a share of the training pairs
gets placeholders: beside or in place of words that translate each other, at the very start, or at
the very end. Which words translate each other is learnt from the corpus by IBM Model 1 (Brown et
al. 1993).

**Noise in the text** (data_prep/noise.py) is made of the text of those pairs that it is drawn for;
what cannot be spelt then becomes placeholders as it does at translation.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from data_prep.corpora import TextPair
from data_prep.noise import Noise, Whole, draw
from data_prep.segment import SegmentSampler
from translator.config import DataConfig, NoiseConfig
from translator.data import IdPair, Stretch, derive_seed
from translator.scoring import target_ids
from translator.text import TextCodec
from translator.tokenizer import N_COPY, Tokenizer

Span = tuple[int, int]  # start and end in a list of ids
Anchor = tuple[Span, Span]  # a source word and the target word that translates it
Word = tuple[int, ...]  # its pieces
# Possible links of source with target words that a lexicon is learnt from: all of Multi30k. More
# would take gigabytes.
LINKS = 8_000_000
RARE = 1e-3  # less likely translations are forgotten


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


class WordLexicon:
    """Which words translate each other: IBM Model 1, by expectation-maximisation over all word
    links of a sample of the corpus at once.

    Args:
        pairs: the corpus, without tags.
        tokenizer: says where words begin.
        rounds: of expectation-maximisation.
    """

    def __init__(self, pairs: Iterable[IdPair], tokenizer: Tokenizer, rounds: int = 5):
        self._tokenizer = tokenizer
        # Words as numbers by side, the same number for the same pieces.
        self._numbers: tuple[dict[Word, int], dict[Word, int]] = ({}, {})
        # One row per possible link: where its target word stands (numbered over the corpus), and
        # which words it links.
        places, sources, targets = [], [], []
        total = 0
        for pair in pairs:
            src, tgt = (
                torch.tensor([known.setdefault(word, len(known)) for word in self._words(ids)])
                for ids, known in zip(pair, self._numbers, strict=True)
            )
            places.append((total + torch.arange(len(tgt))).repeat(len(src)))
            sources.append(src.repeat_interleave(len(tgt)))
            targets.append(tgt.repeat(len(src)))
            total += len(tgt)
        n_src, self._n_tgt = map(len, self._numbers)
        place, source = torch.cat(places), torch.cat(sources)
        kinds, link = torch.unique(source * self._n_tgt + torch.cat(targets), return_inverse=True)
        source_of_kind = kinds // max(self._n_tgt, 1)
        probability = torch.ones(len(kinds))  # t(target word | source word)
        for _ in range(rounds):
            weight = probability[link]
            posterior = weight / torch.zeros(total).index_add_(0, place, weight)[place]
            counts = torch.zeros(len(kinds)).index_add_(0, link, posterior)
            totals = torch.zeros(n_src).index_add_(0, source_of_kind, counts)
            probability = counts / totals[source_of_kind]
        likely = probability > RARE
        self._probability = dict(
            zip(kinds[likely].tolist(), probability[likely].tolist(), strict=True)
        )

    def _words(self, ids: Sequence[int]) -> list[Word]:
        return [tuple(ids[start:end]) for start, end in word_spans(ids, self._tokenizer)]

    def anchors(self, pair: IdPair, sure: float = 0.5) -> list[Anchor]:
        """The words of a pair that translate each other, in the order of the source.

        Each is the other's best choice, and its posterior is above `sure`. Marks are left out.
        """
        src_spans, tgt_spans = (word_spans(ids, self._tokenizer) for ids in pair)
        sources, targets = (
            [known.get(tuple(ids[start:end]), -1) for start, end in spans]
            for ids, known, spans in zip(pair, self._numbers, (src_spans, tgt_spans), strict=True)
        )
        if not (sources and targets):
            return []
        find = self._probability.get
        table = torch.tensor(
            [
                [find(s * self._n_tgt + t, 0.0) if min(s, t) >= 0 else 0.0 for t in targets]
                for s in sources
            ]
        )  # (source words, target words)
        posterior = table / table.sum(0).clamp(min=1e-9)
        best = (posterior == posterior.amax(0)) & (posterior == posterior.amax(1, keepdim=True))
        links = (best & (posterior > sure)).nonzero().tolist()
        is_mark = self._tokenizer.is_mark
        return [
            (src_spans[i], tgt_spans[j]) for i, j in links if not is_mark[pair[0][src_spans[i][0]]]
        ]


def learn_lexicon(pairs: Sequence[IdPair], tokenizer: Tokenizer) -> WordLexicon:
    """From as many pairs, spread over the corpus, as have `LINKS` links of pieces."""
    some = pairs[:: max(len(pairs) // 1000, 1)]
    links = sum(len(src) * len(tgt) for src, tgt in some) * len(pairs) // len(some)
    every = range(0, len(pairs), max(1, -(-links // LINKS)))
    return WordLexicon((_split_tag(pairs[i], tokenizer)[1] for i in every), tokenizer)


@dataclass(frozen=True)
class CopyNoise:
    """Puts placeholders into a share `rate` of the pairs, anew in every epoch."""

    lexicon: WordLexicon
    copy_ids: Sequence[int]
    rate: float

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        """The pair with or without placeholders: a pure function of its arguments."""
        rng = random.Random(derive_seed(seed, "copy", epoch, index))
        if rng.random() >= self.rate:
            return pair
        edits = sorted(self._choose(pair, self.lexicon.anchors(pair), rng))
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


@lru_cache(maxsize=64)
def _key(seed: int, what: str, epoch: int) -> int:
    return derive_seed(seed, what, epoch)


@dataclass(frozen=True)
class TextNoise:
    """Changes the text of the pairs that `noise` chooses, anew in every epoch.

    A pair stays as it is if noise would make it longer than `max_length`, or give its source a
    placeholder that its target has not. `n_forward` parts the two directions.
    """

    noise: Noise
    codec: TextCodec
    pairs: Sequence[IdPair]
    n_forward: int
    max_length: int

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        """The pair, whose source is without tags, with or without noise; a pure function."""
        kinds = self.noise.choose(self._draws(index, epoch, seed))
        if not kinds:
            return pair
        rng = random.Random(derive_seed(seed, "noise", epoch, index))
        before = self._text(index)
        after = self.noise.apply(kinds, before, lambda: self._others(index, epoch, seed), rng)
        if after == before:
            return pair
        return self._encode(*after) or pair

    def _draws(self, index: Whole, epoch: int, seed: int) -> Iterator[Whole]:
        return (draw(_key(seed, row[0][0], epoch), index) for row in self.noise.rows)

    def _text(self, index: int) -> TextPair:
        """The normalised text of a pair; tags are no part of it."""
        src, tgt = self.pairs[index]
        return self.codec.tokenizer.decode(src), self.codec.tokenizer.decode(tgt)

    def _encode(self, src_text: str, tgt_text: str) -> IdPair | None:
        """The text as ids, with placeholders on both sides; None where that cannot be."""
        source = self.codec.encode(src_text)
        src, tgt = source.ids, target_ids(self.codec, tgt_text, source)
        copies = [i for i in src if i in self.codec.tokenizer.copy_ids]
        whole = len(set(copies)) == len(copies) and set(copies) <= set(tgt)
        return (src, tgt) if whole and max(len(src), len(tgt)) <= self.max_length else None

    def _partners(self, index: Whole, start: Whole, n: Whole, key: int) -> tuple[Whole, Whole]:
        """What is joined to a pair: one of the `n` from `start` on, and perhaps, where that is not
        -1, a second one."""
        first, second, both = (draw(key + k, index) for k in range(3))
        return start + (first * n >> 32), (start + (second * n >> 32) + 1) * (both & 1) - 1

    def _others(self, index: int, epoch: int, seed: int) -> list[TextPair]:
        """One or two other pairs of the same direction; as many as fit, of the same kind."""
        n = self.n_forward
        start, n = (0, n) if index < n else (n, len(self.pairs) - n)
        src, tgt = self.pairs[index]
        lengths = len(src), len(tgt)
        tag = [self.codec.tokenizer.bt_id]
        found = []
        for other in self._partners(index, start, n, _key(seed, "partners", epoch)):
            if other < 0:
                continue
            other_src, other_tgt = self.pairs[other]
            longer = lengths[0] + len(other_src), lengths[1] + len(other_tgt)
            # A synthetic text is joined to its like, and is nothing that one should learn to write.
            alike = (other_src[:1] == tag) == (src[:1] == tag) and other_tgt[:1] != tag
            if alike and max(longer) <= self.max_length:
                found.append(self._text(other))
                lengths = longer
        return found

    def lengths(self, plain: Tensor, epoch: int, seed: int) -> Tensor:
        """About how long all pairs are in an epoch, so that like lengths can be put together.

        Joined pairs are as long as they will be, and others as their kind of noise makes pairs on
        average. Without this a batch would be as wide as the one pair in it that stands in
        capitals, which are three times as many pieces in a vocabulary that has seen few.

        Args:
            plain: `(2, N)`, the lengths without noise.
        """
        plain = plain.long()
        longest = max(self.max_length, int(plain.max()))
        draws = self._draws(torch.arange(plain.shape[1]), epoch, seed)
        sizes = plain
        for row, x in zip(self.noise.rows, draws, strict=True):
            for kind, low, high in row:
                at = ((low <= x) & (x < high)).nonzero().flatten()
                if kind == "join":
                    for more in self._joined(at, plain, epoch, seed):
                        longer = sizes.index_add(1, at, more)
                        sizes = torch.where(longer.amax(0) <= longest, longer, sizes)
                elif len(at):
                    longer = (sizes[:, at] * self._growth(kind)).round().long()
                    fits = longer.amax(0) <= longest
                    sizes = sizes.index_copy(1, at[fits], longer[:, fits])
        return sizes

    def _joined(self, at: Tensor, plain: Tensor, epoch: int, seed: int) -> Iterator[Tensor]:
        """How much longer `(2, M)` the pairs at `at` become by a first and by a second partner."""
        back = at >= self.n_forward
        n = torch.where(back, plain.shape[1] - self.n_forward, self.n_forward)
        key = _key(seed, "partners", epoch)
        for partner in self._partners(at, back * self.n_forward, n, key):
            yield plain[:, partner] * (partner >= 0)

    def _growth(self, kind: str, sample: int = 200) -> Tensor:
        """By what factor `(2, 1)` a kind of noise makes source and target longer on average."""
        rng = random.Random(0)
        sums = torch.ones(2, 2)  # (before and after, side)
        for index in range(0, len(self.pairs), max(1, len(self.pairs) // sample)):
            changed = self._encode(*self.noise.apply([kind], self._text(index), list, rng))
            if changed:
                sums += torch.tensor([[*map(len, pair)] for pair in (self.pairs[index], changed)])
        return (sums[1] / sums[0])[:, None]


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training pair anew in every epoch, a pure function.

    It gets noise, or else perhaps placeholders; without placeholders it is cut into other pieces;
    then the direction's tag leads its source. The second half of the pairs goes the other way where
    there are two `tags`. The tag of a synthetic source stays before it, behind the direction's.
    """

    tokenizer: Tokenizer
    copies: CopyNoise | None
    noise: TextNoise | None
    segments: SegmentSampler | None
    tags: Sequence[int]
    n_forward: int

    @property
    def stretch(self) -> Stretch | None:
        """What is done to the lengths of pairs, if that is much."""
        return self.noise.lengths if self.noise else None

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        lead, pair = _split_tag(pair, self.tokenizer)
        found = self.noise(pair, index, epoch, seed) if self.noise else pair
        if self.copies is not None and found is pair:
            found = self.copies(pair, index, epoch, seed)
        if self.segments is not None and not set(found[0]).intersection(self.tokenizer.copy_ids):
            rng = random.Random(derive_seed(seed, "segments", epoch, index))
            src, tgt = (self.segments(self.tokenizer.decode(side), rng) for side in found)
            found = src, tgt
        if self.tags:
            lead = [self.tags[index >= self.n_forward], *lead]
        return ([*lead, *found[0]], found[1]) if lead else found


def _split_tag(pair: IdPair, tokenizer: Tokenizer) -> tuple[list[int], IdPair]:
    """[`<bt>`] and the pair without it, for a synthetic source; else [] and the pair itself."""
    src, tgt = pair
    return ([tokenizer.bt_id], (src[1:], tgt)) if src[:1] == [tokenizer.bt_id] else ([], pair)


def build_augmentation(
    config: DataConfig,
    pairs: Sequence[IdPair],
    tokenizer: Tokenizer,
    noise_config: NoiseConfig | None = None,
) -> Augmentation | None:
    """What the settings ask for; None if nothing."""
    copies = noise = segments = None
    n_forward = len(pairs) // 2 if config.bidirectional else len(pairs)
    if config.copy_rate > 0:
        copies = CopyNoise(learn_lexicon(pairs, tokenizer), tokenizer.copy_ids, config.copy_rate)
    if kinds := Noise(noise_config or NoiseConfig()):
        noise = TextNoise(kinds, TextCodec(tokenizer), pairs, n_forward, config.max_length)
    if config.unigram_alpha > 0:
        segments = SegmentSampler(tokenizer, alpha=config.unigram_alpha)
    elif config.bpe_dropout > 0:
        segments = SegmentSampler(tokenizer, bpe_dropout=config.bpe_dropout)
    tags = [tokenizer.tag(t) for t in (config.tgt, config.src)] if config.bidirectional else []
    if not (copies or noise or segments or tags):
        return None
    return Augmentation(tokenizer, copies, noise, segments, tags, n_forward)
