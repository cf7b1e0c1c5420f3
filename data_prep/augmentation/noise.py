"""Noise in the text of training pairs, so that a model copes with what users write.

Each kind is a pure function `kind(src, tgt, rng) -> (src, tgt)` of normalised text, named like its
rate in the settings' section `noise`. Styles (capitals, a missing full stop) and text without a
language (an emoji, an address) go to both sides, so that a translation keeps them. Slips (typos,
missing capitals) go only to the source: the target stays correct.

The kinds, after OpusTrainer (Bogoychev et al. 2023, arXiv:2311.14838), in the order in which they
are applied, at most one of each row:

    join
    no_final_stop, final_stop         of the last sentence
    typos
    capitals, title_case, lower_case  so that typos change letters as they were typed
    inline                            last, so that nothing changes it
"""

import itertools
import random
import re
import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from torch import Tensor

from translator.config.schema import NoiseConfig
from translator.text.codec import normalise
from translator.text.lines import TextPair
from translator.text.sentences import split_sentences

Whole = TypeVar("Whole", int, Tensor)

_ADDRESS = re.compile(r"://|www\.|@")  # in a web or mail address, which stays unchanged
_INITIAL = re.compile(r"[^\w\s]*[^\W\d_]")  # a word's first letter, with the marks before it
# A word of four letters or more within punctuation marks; neither a number nor a hashtag.
_LETTERS = re.compile(r"([\"'“”„‘‚«»(\[]*)([^\W\d_]{4,})([.,;:!?…\"'“”’‘«»)\]]*)")

_KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm")  # QWERTY, QWERTZ
_NEIGHBOURS: dict[str, str] = defaultdict(str)


for _row in _KEY_ROWS:
    for _one, _other in itertools.pairwise(_row):
        _NEIGHBOURS[_one] += _other
        _NEIGHBOURS[_other] += _one


# One code point each, or several: with a skin tone, a selector, a joiner, a pair of letters.
EMOJI = [*"😀😂😉😎😢😡🤔👍👏🙏💪💔🔥🎉✨⭐✅❌⚽🐶🍕🚀", "👍🏽", "❤️", "👩\u200d💻", "🇩🇪"]


def _change_words(change: Callable[[str], str], text: str) -> str:
    return " ".join(w if _ADDRESS.search(w) else change(w) for w in text.split(" "))


def no_final_stop(src: str, tgt: str, rng: random.Random) -> TextPair:
    """Removes the ".", "!" or "?" that both sides end with."""
    marks = ".!?"
    if src[-1:] == tgt[-1:] and src.endswith(tuple(marks)):
        shorter = src[:-1], tgt[:-1]
        if all(side and side[-1] not in f"{marks}… " for side in shorter):
            return shorter
    return src, tgt


def final_stop(src: str, tgt: str, rng: random.Random) -> TextPair:
    """Adds a full stop to both sides, if both end with a letter or digit."""
    if src[-1:].isalnum() and tgt[-1:].isalnum():
        return f"{src}.", f"{tgt}."
    return src, tgt


def typos(src: str, tgt: str, rng: random.Random) -> TextPair:
    """Adds one to three typos to the source, at most in one of three words.

    Never in a number, an address or a short word, nor in a word that is also in the target, such as
    a name: the model would learn to change names.
    """
    in_target = set(re.findall(r"\w+", tgt))
    words = src.split(" ")
    matches = {i: match for i, word in enumerate(words) if (match := _LETTERS.fullmatch(word))}
    places = [i for i, match in matches.items() if match[2] not in in_target]
    if not places:
        return src, tgt
    for i in rng.sample(places, rng.randint(1, max(1, min(3, len(places) // 3)))):
        opening, word, closing = matches[i].groups()
        words[i] = opening + _slip(word, rng) + closing
    return " ".join(words), tgt


def _slip(word: str, rng: random.Random) -> str:
    """Swaps two letters, or drops, doubles or replaces one by a neighbouring key; not the first."""
    i = rng.randrange(1, len(word) - 1)
    letter = word[i]
    beside = rng.choice(_NEIGHBOURS.get(letter.lower(), letter))
    changed = (
        word[i + 1] + letter + word[i + 2 :],
        word[i + 1 :],
        letter + word[i:],
        (beside.upper() if letter.isupper() else beside) + word[i + 1 :],
    )
    return rng.choice([s for s in (word[:i] + end for end in changed) if s != word])


def capitals(src: str, tgt: str, rng: random.Random) -> TextPair:
    """Puts both sides in capitals, as a style that the translation keeps. ß becomes SS."""
    return _change_words(str.upper, src), _change_words(str.upper, tgt)


def title_case(src: str, tgt: str, rng: random.Random) -> TextPair:
    """Capitalises each word of both sides, a style of headlines; "don't" becomes "Don't"."""

    def change(word: str) -> str:
        if not (found := _INITIAL.match(word)):  # "3rd"
            return word
        i = found.end() - 1
        return word[:i] + word[i].title() + word[i + 1 :]  # of "ﬁ" only the first half

    return _change_words(change, src), _change_words(change, tgt)


def lower_case(src: str, tgt: str, rng: random.Random) -> TextPair:
    """Removes capitals from the source, as people type in haste; the target stays correct."""
    return _change_words(str.lower, src), tgt


def inline(src: str, tgt: str, rng: random.Random) -> TextPair:
    """Inserts an emoji, a number, or a web or mail address at the same place of both sides.

    The place is before, after or between the sentences, but not between if the sides have different
    numbers of sentences.
    """
    item = rng.choice((_emoji, _number, _web_address, _mail_address))(rng)
    sides = [[sentence for sentence, _ in split_sentences(side, "")] for side in (src, tgt)]
    if len(sides[0]) != len(sides[1]):
        sides = [[src], [tgt]]
    place = rng.randint(0, len(sides[0]))
    for sentences in sides:
        sentences.insert(place, item)
    return " ".join(sides[0]), " ".join(sides[1])


def _emoji(rng: random.Random) -> str:
    return rng.choice(EMOJI)


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10 ** rng.randint(1, 6)))  # no marks: they differ by language


def _web_address(rng: random.Random) -> str:
    start = rng.choice(("https://", "http://", "www."))
    return f"{start}{_host(rng)}{rng.choice(('', f'/{_name(rng)}'))}"


def _mail_address(rng: random.Random) -> str:
    return f"{_name(rng)}@{_host(rng)}"


def _host(rng: random.Random) -> str:
    return f"{_name(rng)}.{rng.choice(('com', 'de', 'org', 'net'))}"


def _name(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 9)))


def join(pairs: Sequence[TextPair]) -> TextPair:
    """Joins several pairs into one, with a space between them."""
    return " ".join(src for src, _ in pairs), " ".join(tgt for _, tgt in pairs)


_CHANGES = {
    change.__name__: change
    for change in (no_final_stop, final_stop, typos, capitals, title_case, lower_case, inline)
}
# In order; at most one kind of each row is applied.
_ROWS = (
    ("join",),
    ("no_final_stop", "final_stop"),
    ("typos",),
    ("capitals", "title_case", "lower_case"),
    ("inline",),
)


_LOW = (1 << 32) - 1


def draw(key: int, index: Whole) -> Whole:
    """A pseudo-random integer below 2^32 for each index: a pure function.

    Unlike a generator it gives the same number for one index as for all of them at once, so a
    sampler knows what the loader will draw. It applies lowbias32 of C. Wellons' hash-prospector
    twice.

    Args:
        key: a number below 2^64; different keys give different draws.
        index: below 2^32; int64 if it is a tensor.
    """
    x = index ^ (key & _LOW)
    for half in (key >> 32, 0):
        x = x ^ (x >> 16)
        x = x * 0x7FEB352D & _LOW  # bits above 32 are overflow
        x = x ^ (x >> 15)
        x = x * 0x846CA68B & _LOW
        x = x ^ (x >> 16) ^ half
    return x


class Noise:
    """Applies all kinds of noise at the rates of a config: `noise(pair, others, rng)`.

    A rate is the share of pairs for which a kind is chosen. A chosen kind that does not apply (no
    stop to drop, no other pair that fits) changes nothing. Rows are independent of each other.

    Attributes:
        rows: for each row its kinds, each with the draws (low <= draw < high) that choose it.
    """

    def __init__(self, config: NoiseConfig):
        self.rows: list[list[tuple[str, int, int]]] = []
        for kinds in _ROWS:
            ends = itertools.accumulate((config.rate(kind) for kind in kinds), initial=0.0)
            bounds = itertools.pairwise(round(end * (1 << 32)) for end in ends)
            self.rows.append([(kind, *ends) for kind, ends in zip(kinds, bounds, strict=True)])

    def __bool__(self) -> bool:
        """Whether there is any noise."""
        return any(low < high for row in self.rows for _, low, high in row)

    def choose(self, draws: Iterable[int]) -> list[str]:
        """Chooses the kinds for one pair, usually none, from one draw per row."""
        return [
            kind
            for row, x in zip(self.rows, draws, strict=True)
            for kind, low, high in row
            if low <= x < high
        ]

    def apply(
        self,
        kinds: Sequence[str],
        pair: TextPair,
        others: Callable[[], Sequence[TextPair]],
        rng: random.Random,
    ) -> TextPair:
        """Applies the chosen kinds to a pair.

        Args:
            kinds: what `choose` returned.
            pair: normalised text.
            others: returns the pairs to join to it, if any fit.
            rng: the source of all further choices.
        """
        for kind in kinds:
            pair = join([pair, *others()]) if kind == "join" else _CHANGES[kind](*pair, rng)
        return normalise(pair[0]), normalise(pair[1])  # some capitals decompose

    def __call__(
        self, pair: TextPair, others: Callable[[], Sequence[TextPair]], rng: random.Random
    ) -> TextPair:
        """The pair with or without noise: a pure function of the arguments and `rng`."""
        return self.apply(self.choose(rng.getrandbits(32) for _ in self.rows), pair, others, rng)
