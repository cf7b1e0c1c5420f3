"""Subword regularisation: a sentence is cut into other pieces each time that it is read.

Two ways, one for each type of tokenizer:

- **Unigram sampling** (Kudo 2018, "Subword Regularization", section 3.2): a segmentation x of a
  text X is drawn with P(x | X) proportional to P(x)^alpha, from all that the vocabulary allows.
- **BPE-dropout** (Provilkov, Emelianenko & Voita 2020, algorithm 1): at each step of the merging,
  each possible merge is left out with probability p, and the first of the others is done; when all
  are left out, the word is finished.

SentencePiece has both (its own dropout leaves a merge out for good), but draws from a generator
that cannot be set for one sentence, so that no interrupted run could go on as it would have. Here
what is drawn is a function of the text and the state of `rng`, and of nothing else.

How it is fast: no piece reaches over a word's end, so words are drawn one by one. All choices
within a word are made by one random number u in [0, 1): each choice parts the interval of those u
that lead to it in proportion to the probabilities, and u says which part is taken. Each way to a
segmentation thus has an interval, as wide as it is probable, and one that was drawn is kept with
its interval. A later u that falls into a kept interval needs one look-up; any other u goes the
whole way, with the same result whether or not others are kept. So nothing is approximated by a list
of the n best, and a word of any length can be drawn.
"""

import itertools
import math
import random
from bisect import bisect_right
from typing import Any, Protocol

from translator.config.errors import TranslatorError
from translator.text.tokenizer import Tokenizer

Ids = tuple[int, ...]
# What was drawn, and the interval of all u that give it: low <= u < high. The interval is empty
# where u alone did not do.
Drawn = tuple[Ids, float, float]
# A piece that goes on from a character: where its share of the interval ends (the shares in order
# of size, as parts of the whole), its ids, and the place of the character behind it.
Arc = tuple[float, Ids, int]

# A double has 53 bits: parting an interval narrower than this could be wrong by more than one in
# 2^21. A fresh u is drawn instead, so that long words are exact too.
NARROW = 2.0**-32
WORTH_KEEPING = 1 / 1024  # segmentations less probable would only fill the memory
LONGEST_KEPT = 48  # characters; longer words hardly come again


class _Method(Protocol):
    """A way to draw the segmentation of one word."""

    def prepare(self, word: str) -> tuple[Any, int]:
        """What `draw` needs to know of a word with its mark, and how many cache entries it fills.

        Both are kept with the word.
        """

    def draw(self, form: Any, u: float, rng: random.Random) -> Drawn:
        """A segmentation, chosen by `u`, and by fresh numbers where `u` is used up."""


class _UnigramPaths:
    """Draws paths through a word's lattice (Kudo 2018)."""

    def __init__(self, tokenizer: Tokenizer, alpha: float):
        scores = {piece: tokenizer.score(i) for piece, i in tokenizer.text_pieces.items()}
        self._pieces: dict[str, tuple[float, Ids]] = {
            piece: (alpha * scores[piece], (i,)) for piece, i in tokenizer.text_pieces.items()
        }
        self._longest = max(map(len, scores))
        # SentencePiece's score of a character that is no piece. A path cannot avoid it.
        self._unknown = alpha * (min(scores.values()) - 10)
        self._byte_ids = tokenizer.byte_ids

    def prepare(self, word: str) -> tuple[list[list[Arc]], int]:
        """The lattice: for each character the pieces that begin there.

        `sums[i]` is the logarithm of the sum of P(x)^alpha over all segmentations x of word[i:], so
        that choices made from the front to the back draw from all segmentations of the word.
        """
        lattice: list[list[Arc]] = [[] for _ in word]
        sums = [0.0] * (len(word) + 1)
        for i in reversed(range(len(word))):
            ways = []
            for j in range(i + 1, min(i + self._longest, len(word)) + 1):
                piece = self._pieces.get(word[i:j])
                if piece is not None:
                    ways.append((piece[0] + sums[j], piece[1], j))
                elif j == i + 1:
                    ways.append((self._unknown + sums[j], self._byte_ids(word[i]), j))
            ways.sort(reverse=True)
            top = ways[0][0]
            ends = list(itertools.accumulate(math.exp(weight - top) for weight, _, _ in ways))
            total = ends[-1]
            sums[i] = top + math.log(total)
            ends[-1] = math.inf  # the last takes all that is left, whatever the rounding
            lattice[i] = [
                (end / total, ids, j) for end, (_, ids, j) in zip(ends, ways, strict=True)
            ]
        return lattice, sum(map(len, lattice))

    def draw(self, form: list[list[Arc]], u: float, rng: random.Random) -> Drawn:
        low, high, by_u_alone = 0.0, 1.0, True
        ids: list[int] = []
        at = 0
        while at < len(form):
            if high - low < NARROW:
                u, low, high, by_u_alone = rng.random(), 0.0, 1.0, False
            start, width = low, high - low
            for share, piece, behind in form[at]:
                end = start + share * width
                if u < end:
                    high = min(high, end)
                    ids += piece
                    at = behind
                    break
                low = end
        return tuple(ids), low, high if by_u_alone else low


class _DroppedMerges:
    """Merges a word's characters and leaves some merges out (Provilkov et al. 2020)."""

    def __init__(self, tokenizer: Tokenizer, dropout: float):
        self._dropout = dropout
        self._scores = {piece: tokenizer.score(i) for piece, i in tokenizer.text_pieces.items()}
        self._ids: dict[str, Ids] = {piece: (i,) for piece, i in tokenizer.text_pieces.items()}
        self._byte_ids = tokenizer.byte_ids

    def prepare(self, word: str) -> tuple[str, int]:
        return word, 1

    def draw(self, form: str, u: float, rng: random.Random) -> Drawn:
        """Merges until nothing can be merged, or all that can be is left out.

        Of the n merges possible, by priority, the first that is not left out is done: merge k
        (from 0) with probability p^k (1 - p), none with p^n.
        """
        dropout, scores, impossible = self._dropout, self._scores, -math.inf
        low, high, by_u_alone = 0.0, 1.0, True
        parts = list(form)
        # The priority of merging each part with the next one.
        merges = [scores.get(a + b, impossible) for a, b in itertools.pairwise(parts)]
        while merges and (best := max(merges)) > impossible:
            if high - low < NARROW:
                u, low, high, by_u_alone = rng.random(), 0.0, 1.0, False
            start, width = low, high - low
            end = start + (1 - dropout) * width
            if u < end:
                at = merges.index(best)  # the leftmost of equals, as SentencePiece does it
            else:
                order = sorted(range(len(merges)), key=merges.__getitem__, reverse=True)  # stable
                n_possible = len(merges) - merges.count(impossible)
                left_out, k = dropout, 0
                while u >= end and k < n_possible:
                    low, k = end, k + 1
                    left_out *= dropout
                    end = start + (1 - left_out) * width
                if k == n_possible:
                    break
                at = order[k]
            high = min(high, end)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
            del merges[at]
            if at > 0:
                merges[at - 1] = scores.get(parts[at - 1] + parts[at], impossible)
            if at < len(merges):
                merges[at] = scores.get(parts[at] + parts[at + 1], impossible)
        ids: list[int] = []
        for part in parts:
            ids += self._ids.get(part) or self._byte_ids(part)
        return tuple(ids), low, high if by_u_alone else low


class _Word:
    """What is kept of a word: its form for the method, and the segmentations drawn so far.

    `bounds` part [0, 1); `leaves` are the ids in the parts, one more than bounds. None = not yet
    drawn.
    """

    __slots__ = ("bounds", "form", "leaves")

    def __init__(self, form: Any):
        self.form = form
        self.bounds: list[float] = []
        self.leaves: list[Ids | None] = [None]

    def keep(self, ids: Ids, low: float, high: float) -> None:
        """Notes that all u with low <= u < high give `ids`; none of them did before."""
        k = bisect_right(self.bounds, low)
        starts_gap = low == (self.bounds[k - 1] if k else 0.0)
        ends_gap = high == (self.bounds[k] if k < len(self.bounds) else 1.0)
        self.leaves[k : k + 1] = [*[None] * (not starts_gap), ids, *[None] * (not ends_gap)]
        self.bounds[k:k] = [*[low] * (not starts_gap), *[high] * (not ends_gap)]


class SegmentSampler:
    """Draws segmentations: `sampler(text, rng)`.

    What is drawn depends on `text` and the state of `rng` alone, not on what was drawn before. One
    object is for one thread; copies in other processes draw the same.

    Args:
        tokenizer: of type unigram for `alpha`, bpe for `bpe_dropout`.
        alpha: 0 = all segmentations alike, 1 = as probable as the model takes them to be, infinity
            = always the best. Kudo took 0.1 to 0.5.
        bpe_dropout: 0 = always the best, 1 = characters. Provilkov et al. took 0.1.
        cache_size: how many arcs and segmentations are kept, of about 160 bytes each. When it is
            full, the cache is emptied.

    Raises:
        TranslatorError: neither or both are given, one is out of range or for another tokenizer.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        alpha: float | None = None,
        bpe_dropout: float | None = None,
        cache_size: int = 1_000_000,
    ):
        self.tokenizer, self.alpha, self.bpe_dropout = tokenizer, alpha, bpe_dropout
        self._method: _Method
        if alpha is not None and bpe_dropout is None:
            if tokenizer.model_type != "unigram":
                raise TranslatorError(
                    "Sampling by alpha needs a unigram tokenizer, and this one is bpe: "
                    "use BPE-dropout, or train a unigram tokenizer."
                )
            if not alpha >= 0:
                raise TranslatorError(f"The sampling's alpha must be 0 or more, not {alpha}.")
            self._method = _UnigramPaths(tokenizer, alpha)
        elif bpe_dropout is not None and alpha is None:
            if tokenizer.model_type != "bpe":
                raise TranslatorError(
                    "BPE-dropout needs a bpe tokenizer, and this one is unigram: "
                    "sample by alpha, or train a bpe tokenizer."
                )
            if not 0 <= bpe_dropout <= 1:
                raise TranslatorError(f"BPE-dropout must be in [0, 1], not {bpe_dropout}.")
            self._method = _DroppedMerges(tokenizer, bpe_dropout)
        else:
            raise TranslatorError("Segmentations are sampled by alpha or by BPE-dropout: give one.")
        self._words: dict[str, _Word] = {}
        self._cache_size = self._room = cache_size

    def __call__(self, text: str, rng: random.Random) -> list[int]:
        """A segmentation of `text` as ids, without EOS. `tokenizer.decode` gives `text` back."""
        if self.alpha == math.inf or not text:
            return self.tokenizer.encode(text)
        words, next_number = self._words, rng.random
        ids: list[int] = []
        for written in text.split(" "):
            u = next_number()
            word = words.get(written) or self._learn(written)
            ids += word.leaves[bisect_right(word.bounds, u)] or self._draw(word, u, rng)
        return ids

    def _learn(self, written: str) -> _Word:
        form, size = self._method.prepare(self.tokenizer.marked(written))
        word = _Word(form)
        if len(written) <= LONGEST_KEPT:
            self._take_room(size)
            self._words[written] = word
        return word

    def _draw(self, word: _Word, u: float, rng: random.Random) -> Ids:
        """Draws a segmentation by `u`, and keeps it where that promises to save time."""
        ids, low, high = self._method.draw(word.form, u, rng)
        if high - low >= WORTH_KEEPING:
            self._take_room(1)
            word.keep(ids, low, high)
        return ids

    def _take_room(self, size: int) -> None:
        if size > self._room:
            self._words.clear()
            self._room = self._cache_size
        self._room -= size
