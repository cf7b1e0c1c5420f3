"""Subword regularisation: segments a sentence differently each time it is read.

**Unigram sampling** (Kudo 2018, "Subword Regularization", section 3.2): a segmentation x of a text
X is drawn with P(x | X) proportional to P(x)^alpha, from all that the vocabulary allows.

SentencePiece has this too, but its generator cannot be seeded for a single sentence, so a resumed
run would differ from an uninterrupted one. Here the result depends only on the text and the state
of `rng`. No piece crosses the end of a word, so words are drawn one by one.
"""

import itertools
import math
import random
from bisect import bisect_right

from translator.config.errors import TranslatorError
from translator.text.tokenizer import Tokenizer

Ids = tuple[int, ...]
# For each character of a word the pieces that begin there: the cumulative probabilities of choosing
# them, and for each its ids and the place of the character after it.
Lattice = list[tuple[list[float], list[tuple[Ids, int]]]]

MAX_CACHED = 50_000  # lattices of words
LONGEST_CACHED = 48  # characters; longer words hardly occur again


class SegmentSampler:
    """Draws segmentations: `sampler(text, rng)`. Copies in other processes draw the same.

    Args:
        tokenizer: of type unigram.
        alpha: 0 = all segmentations are equally likely, 1 = as likely as the model says. Kudo used
            0.1 to 0.5.

    Raises:
        TranslatorError: the tokenizer is of another type.
    """

    def __init__(self, tokenizer: Tokenizer, alpha: float):
        if tokenizer.model_type != "unigram":
            raise TranslatorError(
                "Sampled segmentations need a unigram tokenizer, and this one is "
                f"{tokenizer.model_type}: set data.unigram_alpha=0."
            )
        self.tokenizer = tokenizer
        scores = {piece: tokenizer.score(i) for piece, i in tokenizer.text_pieces.items()}
        self._pieces: dict[str, tuple[float, Ids]] = {
            piece: (alpha * scores[piece], (i,)) for piece, i in tokenizer.text_pieces.items()
        }
        self._longest = max(map(len, scores))
        # SentencePiece's score of a character that is no piece. A path cannot avoid it.
        self._unknown = alpha * (min(scores.values()) - 10)
        self._lattices: dict[str, Lattice] = {}

    def __call__(self, text: str, rng: random.Random) -> list[int]:
        """A segmentation of `text` as ids, without EOS. `tokenizer.decode` gives `text` back."""
        if not text:
            return self.tokenizer.encode(text)
        ids: list[int] = []
        for word in text.split(" "):
            lattice = self._lattices.get(word) or self._learn(word)
            at = 0
            while at < len(lattice):
                ends, arcs = lattice[at]
                piece, at = arcs[bisect_right(ends, rng.random())]
                ids += piece
        return ids

    def _learn(self, word: str) -> Lattice:
        lattice = self._lattice(self.tokenizer.marked(word))
        if len(word) <= LONGEST_CACHED:
            if len(self._lattices) >= MAX_CACHED:
                self._lattices.clear()
            self._lattices[word] = lattice
        return lattice

    def _lattice(self, word: str) -> Lattice:
        """All ways to cut a word.

        `sums[i]` is the logarithm of the sum of P(x)^alpha over all segmentations x of word[i:], so
        choices made from front to back draw from all segmentations of the word.
        """
        lattice: Lattice = []
        sums = [0.0] * (len(word) + 1)
        for i in reversed(range(len(word))):
            weights, arcs = [], []
            for j in range(i + 1, min(i + self._longest, len(word)) + 1):
                score, ids = self._pieces.get(word[i:j], (self._unknown, ()))
                if ids or j == i + 1:
                    weights.append(score + sums[j])
                    arcs.append((ids or self.tokenizer.byte_ids(word[i]), j))
            top = max(weights)
            ends = list(itertools.accumulate(math.exp(weight - top) for weight in weights))
            sums[i] = top + math.log(ends[-1])
            lattice.append(([end / ends[-1] for end in ends[:-1]], arcs))
        return lattice[::-1]
