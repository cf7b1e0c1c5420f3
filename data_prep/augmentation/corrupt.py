"""Corrupted inputs, unlike the corpus: from these a model learns when its answers are not good.

Each kind is a pure function `kind(pair, other, rng) -> (src, tgt)` of two normalised pairs. The
target remains that of the first pair if it still is a good translation of the corrupted source, or
if there is no good translation at all: then no output comes near it. Unlike noise (noise.py), some
kinds of which are used here too, this is not for training the weights.
"""

import functools
import random
from collections.abc import Callable, Sequence

from data_prep.augmentation import noise
from translator.text.codec import normalise
from translator.text.lines import TextPair

Kind = Callable[[TextPair, TextPair, random.Random], TextPair]
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


def shuffled(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """The words of the source in random order."""
    words = pair[0].split()
    return " ".join(rng.sample(words, len(words))), pair[1]


def mixed(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """Half of the source's words, each replaced by one of the other pair's."""
    words, strange = pair[0].split(), other[0].split()
    for i in rng.sample(range(len(words)), -(-len(words) // 2)):
        words[i] = rng.choice(strange)
    return " ".join(words), pair[1]


def cut_off(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """The first words of the source, at least one and not all of them."""
    words = pair[0].split()
    return " ".join(words[: rng.randint(1, max(1, len(words) - 1))]), pair[1]


def single_words(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """One to three random words of the source, without punctuation, sometimes capitalised."""
    words = [word.strip(".,;:!?\"'()") for word in pair[0].split()]
    chosen = " ".join(rng.choices(words, k=rng.randint(1, 3)))
    return rng.choice((str, str.capitalize, str.title))(chosen), pair[1]


def foreign(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """The source in no language: vowels are permuted, and so are consonants."""
    exchanged = "".join("".join(rng.sample(x, len(x))) for x in (_VOWELS, _CONSONANTS))
    letters = _VOWELS + _CONSONANTS
    table = str.maketrans(letters + letters.upper(), exchanged + exchanged.upper())
    return pair[0].translate(table), pair[1]


def target_language(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """The target as the source; it is its own best translation."""
    return pair[1], pair[1]


def joined(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """Both pairs in one line."""
    return noise.join([pair, other])


def typos(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
    """Typing errors, twice as many as in noise."""
    return noise.typos(*noise.typos(*pair, rng), rng)


def _noisy(change: Callable[[str, str, random.Random], TextPair]) -> Kind:
    """A kind of noise, which needs no other pair, as a kind here."""

    @functools.wraps(change)
    def corrupted(pair: TextPair, other: TextPair, rng: random.Random) -> TextPair:
        return change(*pair, rng)

    return corrupted


KINDS: tuple[Kind, ...] = (
    *(shuffled, mixed, cut_off, single_words, foreign, target_language, joined, typos),
    *map(_noisy, (noise.capitals, noise.title_case, noise.lower_case, noise.inline)),
)


def corrupt_pairs(pairs: Sequence[TextPair], n: int, seed: int = 1) -> list[TextPair]:
    """`n` corrupted pairs, equally many of each kind; a pure function of its arguments."""
    rng = random.Random(seed)
    clean = [pair for pair in ((normalise(s), normalise(t)) for s, t in pairs) if all(pair)]
    if not clean:
        return []
    found = []
    for i in range(n):
        src, tgt = KINDS[i % len(KINDS)](rng.choice(clean), rng.choice(clean), rng)
        found.append((normalise(src), normalise(tgt)))
    return found
