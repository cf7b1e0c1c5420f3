"""Changes training pairs, differently in every epoch.

**Copy placeholders** teach the model to copy what it has never seen. In translation, `<copy_i>`
replaces spans of the source that the vocabulary cannot spell (emoji, Greek, URLs), and the model
puts `<copy_i>` where it belongs in the target. So a share of the training pairs gets placeholders:
beside or in place of words that translate each other, at the very start, or at the very end. Which
words translate each other is learnt from the corpus by IBM Model 1 (Brown et al. 1993).

**Noise in the text** (noise.py, beside this file) changes the text of randomly drawn pairs; what
cannot be spelled then becomes placeholders, as in translation.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from data_prep.augmentation.copy_placeholders import CopyNoise, learn_lexicon, split_tag
from data_prep.augmentation.noise import Noise, Whole, draw
from data_prep.augmentation.subword_sampling import SegmentSampler
from translator.config.schema import DataConfig, NoiseConfig
from translator.system.seeds import derive_seed
from translator.text.codec import TextCodec, target_ids
from translator.text.lines import TextPair
from translator.text.tokenizer import IdPair, Tokenizer

# (lengths, epoch, seed) -> the lengths in this epoch, `(2, N)` both.
Stretch = Callable[[Tensor, int, int], Tensor]


@lru_cache(maxsize=64)
def _key(seed: int, what: str, epoch: int) -> int:
    return derive_seed(seed, what, epoch)


@dataclass(frozen=True)
class TextNoise:
    """Changes the text of the pairs that `noise` chooses, differently in every epoch.

    A pair stays as it is if noise would make it longer than `max_length`, or give its source a
    placeholder that its target lacks. The first `n_forward` pairs are of the first direction.
    """

    noise: Noise
    codec: TextCodec
    pairs: Sequence[IdPair]
    n_forward: int
    max_length: int

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        """The pair with or without noise: a pure function. Its source must not have tags."""
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
        """The normalised text of a pair, without tags."""
        src, tgt = self.pairs[index]
        return self.codec.tokenizer.decode(src), self.codec.tokenizer.decode(tgt)

    def _encode(self, src_text: str, tgt_text: str) -> IdPair | None:
        """The text as ids, with placeholders on both sides; None if they do not match or fit."""
        source = self.codec.encode(src_text)
        src, tgt = source.ids, target_ids(self.codec, tgt_text, source)
        copies = [i for i in src if i in self.codec.tokenizer.copy_ids]
        whole = len(set(copies)) == len(copies) and set(copies) <= set(tgt)
        return (src, tgt) if whole and max(len(src), len(tgt)) <= self.max_length else None

    def _partners(self, index: Whole, start: Whole, n: Whole, key: int) -> tuple[Whole, Whole]:
        """The partners to join to a pair, from the `n` pairs after `start`; the second may be -1,
        which means none."""
        first, second, both = (draw(key + k, index) for k in range(3))
        return start + (first * n >> 32), (start + (second * n >> 32) + 1) * (both & 1) - 1

    def _others(self, index: int, epoch: int, seed: int) -> list[TextPair]:
        """One or two other pairs of the same direction and kind, if they fit."""
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
            # Join synthetic text only to synthetic text, and never as a target: the model should
            # not learn to write it.
            alike = (other_src[:1] == tag) == (src[:1] == tag) and other_tgt[:1] != tag
            if alike and max(longer) <= self.max_length:
                found.append(self._text(other))
                lengths = longer
        return found

    def lengths(self, plain: Tensor, epoch: int, seed: int) -> Tensor:
        """Estimates the lengths of all pairs in an epoch, so that similar ones share a batch.

        Joined pairs get their exact length, others the average growth of their kind of noise.
        Otherwise a single pair in capitals, which take three times as many pieces in a vocabulary
        that has seen few, would determine the width of its batch.

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
        """By how much `(2, M)` the first and the second partner lengthen the pairs at `at`."""
        back = at >= self.n_forward
        n = torch.where(back, plain.shape[1] - self.n_forward, self.n_forward)
        key = _key(seed, "partners", epoch)
        for partner in self._partners(at, back * self.n_forward, n, key):
            yield plain[:, partner] * (partner >= 0)

    def _growth(self, kind: str, sample: int = 200) -> Tensor:
        """The factor `(2, 1)` by which a kind of noise lengthens source and target on average."""
        rng = random.Random(0)
        sums = torch.ones(2, 2)  # (before and after, side)
        for index in range(0, len(self.pairs), max(1, len(self.pairs) // sample)):
            changed = self._encode(*self.noise.apply([kind], self._text(index), list, rng))
            if changed:
                sums += torch.tensor([[*map(len, pair)] for pair in (self.pairs[index], changed)])
        return (sums[1] / sums[0])[:, None]


@dataclass(frozen=True)
class Augmentation:
    """Changes a training pair, differently in every epoch: a pure function.

    A pair gets noise, or else perhaps placeholders. Without placeholders it is segmented again.
    Then the tag of its direction precedes its source; with two `tags`, the second half of the pairs
    is of the other direction. The tag of a synthetic source follows the tag of the direction.
    """

    tokenizer: Tokenizer
    copies: CopyNoise | None
    noise: TextNoise | None
    segments: SegmentSampler | None
    tags: Sequence[int]
    n_forward: int

    @property
    def stretch(self) -> Stretch | None:
        """Estimates the lengths of changed pairs; None if they hardly change."""
        return self.noise.lengths if self.noise else None

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        lead, pair = split_tag(pair, self.tokenizer)
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


def build_augmentation(
    config: DataConfig,
    pairs: Sequence[IdPair],
    tokenizer: Tokenizer,
    noise_config: NoiseConfig | None = None,
) -> Augmentation | None:
    """Builds the augmentation that the settings ask for; None if they ask for nothing."""
    copies = noise = segments = None
    n_forward = len(pairs) // 2 if config.bidirectional else len(pairs)
    if config.copy_rate > 0:
        copies = CopyNoise(learn_lexicon(pairs, tokenizer), tokenizer.copy_ids, config.copy_rate)
    if kinds := Noise(noise_config or NoiseConfig()):
        noise = TextNoise(kinds, TextCodec(tokenizer), pairs, n_forward, config.max_length)
    if config.unigram_alpha > 0:
        segments = SegmentSampler(tokenizer, config.unigram_alpha)
    tags = [tokenizer.tag(t) for t in (config.tgt, config.src)] if config.bidirectional else []
    if not (copies or noise or segments or tags):
        return None
    return Augmentation(tokenizer, copies, noise, segments, tags, n_forward)
