"""Which language a line is in: English, German, or neither.

A line's words vote, and the ends of its longer words, and its letters. The tables
(language_words.txt) hold what is frequent in one language; what two of them share ("in", "was",
"war") is in both, so that it decides nothing between these two. Each thing votes once, however
often the line repeats it. The entries were chosen on the training parts of Multi30k and the WMT
news.
"""

import re
import unicodedata
from pathlib import Path
from typing import Literal

Language = Literal["en", "de", "other"]

LANGUAGE_NAMES = {"en": "English", "de": "German"}

# A word has this many votes; the end of a longer word has one, and so have letters with marks.
WORD = 2
# With fewer votes no language is identified: one frequent word and one end may be a name.
MIN_VOTES = 3
# The other languages are many, and the best of many has some votes by chance.
MIN_OTHER, AHEAD = 4, 2
# The language shows in the first words; a line of megabytes costs no more than they do.
LONGEST = 1000


def language_code(text: str) -> str:
    """`en-US`, `en_GB` and `EN` are `en`."""
    return re.split("[-_]", text.strip().lower(), maxsplit=1)[0]


def read_tables(file: str) -> dict[str, frozenset[str]]:
    """The tables of words in a file beside this one, each under its heading."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    tables = (table.partition("]") for table in text.split("\n[")[1:])
    return {name: frozenset(words.split()) for name, _, words in tables}


_TABLES = read_tables("language_words.txt")
_WORDS = {name: words for name, words in _TABLES.items() if not name.startswith("ends ")}
_ENDS = {language: _TABLES[f"ends {language}"] for language in LANGUAGE_NAMES}
# Of these "Ursula von der Leyen" and "Oscar de la Renta" have too many: one vote each.
_IN_NAMES = frozenset(
    {"al", "da", "de", "del", "della", "den", "der", "di", "do", "dos", "du", "el", "la", "le"}
    | {"van", "von", "y", "zu"}
)
_OTHERS = [words for language, words in _WORDS.items() if language not in _ENDS]
_ANY_OTHER = frozenset().union(*_OTHERS)
_UMLAUTS = frozenset("äöü")

_WORD = re.compile(r"(?<![\w./@])[^\W\d_]+")  # not in "3rd", nor after "www." or "info@"
_MARKED = re.compile("[à-öø-ɏḁ-ỹ]")  # Latin letters with marks
_NOT_LATIN = re.compile(r"[^\W\d_\u0000-\u02ff\u1e00-\u1eff]")


def _count(words: frozenset[str]) -> int:
    """The votes of words that are in one table."""
    return WORD * len(words) - len(words & _IN_NAMES)


def identify(text: str) -> Language | None:
    """The language of a line, or None where nothing, or too little, tells.

    None is what numbers, names and single words show: no reason to drop a line.

    Args:
        text: one line, in any case, composed or not. Its first `LONGEST` characters are read.

    Returns:
        "en", "de", or "other" for another language or another script.
    """
    text = unicodedata.normalize("NFKC", text[:LONGEST]).casefold()
    words = frozenset(_WORD.findall(text))
    marked: set[str] = set()
    if not text.isascii():
        not_latin = len(_NOT_LATIN.findall(text))
        if not_latin > 1 and 2 * not_latin > sum(map(str.isalpha, text)):
            return "other"
        marked = set(_MARKED.findall(text))
    if len(words) < 2:
        return None
    ends = {word[-3:] for word in words if len(word) > 4}
    en = _count(_WORDS["en"] & words) + len(_ENDS["en"] & ends)
    de = _count(_WORDS["de"] & words) + len(_ENDS["de"] & ends) + bool(marked & _UMLAUTS)
    best = max(en, de)
    foreign = words & _ANY_OTHER
    n_letters = len(marked - _UMLAUTS)
    if foreign and _count(foreign) + n_letters >= best + AHEAD:  # then one of them may be ahead
        other = max(_count(foreign & table) for table in _OTHERS) + n_letters
        if other >= max(MIN_OTHER, best + AHEAD):
            return "other"
    if best < MIN_VOTES or en == de:
        return None
    return "en" if en > de else "de"
