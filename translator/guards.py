"""Faults that can be seen in a translation, or in many of them, without a second opinion.

Nothing here corrects a text: a fault is a reason to search again or to warn. Each rule looks at
the source too, since what is repeated or short there may be so in the translation. Thresholds were
chosen so that next to no human translation is suspected.
"""

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

LENGTH_RATIO = 2.0  # of pieces: no side is longer than the other by more, ...
LENGTH_SLACK = 3  # ... not counting this many, so that short texts are free
MAX_NGRAM = 8  # words of the longest phrase whose repetition is looked for
LOOP_REPEATS = 3  # times in a row that make a phrase a loop, ...
LONG_NGRAM = 3  # ... but twice if it has so many words
SCATTERED_REPEATS = 4  # a phrase that often, not in a row, is a loop, ...
SCATTERED_SHARE = 0.4  # ... if this share of the words is in it
CHARACTER_LOOP = 12  # characters that one to eight characters, over and over, make a loop
EXCUSE = 2  # what the source repeats may be repeated this many times as often

# A model has collapsed if this share of what it says is empty, ...
EMPTY_SHARE = 0.25
SAME_SHARE = 0.5  # ... one and the same, ...
COPY_SHARE = 0.5  # ... or the source; ...
FEW_DIFFERENT = 0.1  # ... or if it has so few things to say, measured by what it was asked, ...
FEW_DIFFERENT_OF = 30  # ... at least so many sources
LEAST = 4  # fewer translations prove nothing
COPY_WORDS = 3  # shorter sources may be names
COPY_OVERLAP = 0.8  # of the words: so much is a copy

RARE_NAME = 0.4  # pieces per letter: so strangely is a word spelt that no common word is
CAPITALS_SHARE = 0.5  # of the words: a headline, whose capitals mean nothing

_WORD = re.compile(r"(?!0+\b)\w+")
_LETTERS = re.compile(r"[^\W\d_]+")  # 3 000 000 000 repeats nothing
_CHARACTER_RUN = re.compile(r"(\D{1,8}?)\1{3,}")


def faults(
    source: str,
    translation: str,
    src_pieces: int,
    tgt_pieces: int,
    names: Iterable[str] = (),
) -> list[str]:
    """What is wrong with a translation: "empty" alone, or "loop", "length", "numbers", "names".

    Args:
        source: the text that was translated.
        translation: what came of it.
        src_pieces: how many pieces the source has.
        tgt_pieces: how many pieces the translation has.
        names: words of the source that a translation has too, see `rare_names`.
    """
    if is_empty(source, translation):
        return ["empty"]
    found = {
        "loop": is_loop(source, translation),
        "length": is_out_of_proportion(src_pieces, tgt_pieces),
        "numbers": bool(lost_numbers(source, translation)),
        "names": bool(lost_names(names, translation)),
    }
    return [name for name, is_there in found.items() if is_there]


def is_empty(source: str, translation: str) -> bool:
    """Did words become nothing, or nothing but punctuation?"""
    return any(map(str.isalnum, source)) and not any(map(str.isalnum, translation))


def is_out_of_proportion(src_pieces: int, tgt_pieces: int) -> bool:
    """Is a translation far longer or far shorter than its source?"""
    shorter, longer = sorted((src_pieces, tgt_pieces))
    return longer > LENGTH_RATIO * (shorter + LENGTH_SLACK)


def is_loop(source: str, translation: str) -> bool:
    """Does a translation repeat a phrase far more often than its source repeats one?"""
    src_words, words = (_WORD.findall(text.casefold()) for text in (source, translation))
    return (
        _is_loop_in_a_row(src_words, words)
        or _is_scattered_loop(src_words, words)
        or _longest_run(translation) >= max(CHARACTER_LOOP, EXCUSE * _longest_run(source) + 1)
    )


def _is_loop_in_a_row(src_words: Sequence[str], words: Sequence[str]) -> bool:
    excused = _most_in_a_row(src_words, 1, MAX_NGRAM)
    allowed = EXCUSE * excused if excused > 1 else 1
    return (
        _most_in_a_row(words, 1, LONG_NGRAM - 1) >= max(LOOP_REPEATS, allowed + 1)
        or _most_in_a_row(words, LONG_NGRAM, MAX_NGRAM) > allowed
    )


def _is_scattered_loop(src_words: Sequence[str], words: Sequence[str]) -> bool:
    for n in range(1, LONG_NGRAM + 1):
        count = _most_frequent(words, n)
        often = count >= SCATTERED_REPEATS and count * n >= SCATTERED_SHARE * len(words)
        if often and count > EXCUSE * _most_frequent(src_words, n):
            return True
    # So long a phrase twice is a text said twice, but perhaps the source says half of it twice.
    return _most_frequent(words, MAX_NGRAM) > 1 >= _most_frequent(src_words, MAX_NGRAM // 2)


def _most_in_a_row(words: Sequence[str], shortest: int, longest: int) -> int:
    """How many times in a row a phrase of so many words is said."""
    most = 1
    for n in range(shortest, longest + 1):
        same = 0  # words in a row that equal the word n before
        for before, word in zip(words, words[n:], strict=False):
            same = same + 1 if word == before else 0
            most = max(most, same // n + 1)
    return most


def _most_frequent(words: Sequence[str], n: int) -> int:
    """How often the most frequent phrase of n words stands anywhere."""
    phrases = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    return max(phrases.values(), default=0)


def _longest_run(text: str) -> int:
    return max((len(match[0]) for match in _CHARACTER_RUN.finditer(text)), default=0)


def collapse(sources: Sequence[str], translations: Sequence[str]) -> str | None:
    """Says in one line how a model has collapsed, and what may help; None if it has not.

    It says nothing or the same to all, or repeats what it was told. Sources that are said twice
    count once, and those without words or, for copies, of a word or two do not count.

    Args:
        sources: a validation set.
        translations: what the model made of it.
    """
    asked = {
        tuple(_WORD.findall(source.casefold())): (source, translation)
        for source, translation in zip(sources, translations, strict=True)
        if any(map(str.isalpha, source))
    }
    pairs = list(asked.values())
    n_empty = sum(is_empty(*pair) for pair in pairs)
    if _is_share(n_empty, len(pairs), EMPTY_SHARE):
        return (
            f"{_share(n_empty, len(pairs))} translations are empty or punctuation alone: the model "
            f"ends them at once. Normal {_EARLY}: {_CALMER}, or look for empty or shifted lines "
            f"on the target side {_DOCTOR}."
        )
    if monotony := _monotony([" ".join(translation.split()) for _, translation in pairs]):
        return (
            f"{monotony}: the model does not listen to the source. Normal {_EARLY}: {_CALMER}, "
            f"model.norm=pre, or a look at the alignment of the corpus {_DOCTOR}."
        )
    long = [pair for words, pair in asked.items() if len(words) >= COPY_WORDS]
    n_copies = sum(_is_copy(*pair) for pair in long)
    if _is_share(n_copies, len(long), COPY_SHARE):
        return (
            f"{_share(n_copies, len(long))} translations of {COPY_WORDS} words and more are "
            f"copies of their source. If it stays so: look for pairs whose two sides are the same "
            f"or in the same language {_DOCTOR}, and check --src and --tgt."
        )
    return None


_EARLY = "in the first few hundred steps; if it stays so"
_CALMER = "try a lower train.peak_lr, a longer train.warmup_steps"
_DOCTOR = "with `translator doctor`"


def _monotony(translations: Sequence[str]) -> str | None:
    """Says how translations of different sources are the same, if too many are."""
    said = Counter(translations)
    text, count = max(said.items(), key=lambda item: item[1], default=("", 0))
    example = f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'
    if _is_share(count, len(translations), SAME_SHARE):
        return f"{_share(count, len(translations))} translations are the same sentence ({example})"
    if len(translations) >= FEW_DIFFERENT_OF and len(said) <= FEW_DIFFERENT * len(translations):
        return (
            f"The {len(translations):,} translations are only {len(said)} different sentences "
            f"(such as {example})"
        )
    return None


def _is_share(count: int, total: int, share: float) -> bool:
    return count >= max(LEAST, share * total)


def _share(count: int, total: int) -> str:
    return f"All {total:,}" if count == total else f"{count:,} of {total:,}"


def _is_copy(source: str, translation: str) -> bool:
    """Are next to all words of both sides the same (Dice's coefficient)?"""
    src, tgt = (Counter(_WORD.findall(text.casefold())) for text in (source, translation))
    return 2 * (src & tgt).total() >= COPY_OVERLAP * (src.total() + tgt.total())


# Numbers: those in digits must be in the translation, but may be words there. Where there are
# several ways to read one (3.5, 15:30, 11.9.2001, 1 billion), any that fits will do. The words are
# beginnings of words, case-folded.
_WORD_VALUES = {
    0: "zero null",
    1: "one first once single ein erst",
    2: "two second twice both pair couple double zwei zwo beid paar doppel",
    3: "three third triple drei dritt",
    4: "four vier",
    5: "five fifth fünf",
    6: "six sechs",
    7: "seven sieben sieb",
    8: "eight acht",
    9: "nine ninth neun",
    10: "ten tenth zehn",
    11: "eleven elf",
    12: "twelve twelfth dozen zwölf dutzend",
    13: "thirteen dreizehn",
    14: "fourteen vierzehn",
    15: "fifteen fünfzehn",
    16: "sixteen sechzehn",
    17: "seventeen siebzehn",
    18: "eighteen achtzehn",
    19: "nineteen neunzehn",
    20: "twenty twenti zwanzig",
    30: "thirty thirti dreissig",
    40: "forty forti vierzig",
    50: "fifty fifti fünfzig half halves halb hälfte",
    60: "sixty sixti sechzig",
    70: "seventy seventi siebzig",
    80: "eighty eighti achtzig",
    90: "ninety nineti neunzig",
    100: "hundred hundert",
    1000: "thousand tausend",
}
# How many zeros a word adds. An English billion has 9, a German one 12.
_ZEROS = {"hundred": {2}, "hundert": {2}, "thousand": {3}, "tausend": {3}, "tsd": {3}}
_ZEROS |= {"million": {6}, "mio": {6}, "milliard": {9}, "mrd": {9}, "bn": {9}}
_ZEROS |= {"billion": {9, 12}, "trillion": {12}}
_MONTHS = [
    *["jan(?:uary?)?", "feb(?:ruary?)?", "mar(?:ch)?|märz", "apr(?:il)?", "ma[iy]", "jun[ei]?"],
    *["jul[iy]?", "aug(?:ust)?", "sept?(?:ember)?", "o[ck]t(?:ober)?", "nov(?:ember)?"],
    "de[cz](?:ember)?",
]
_ROMAN = {
    tens + ones: str(10 * i + j)
    for i, tens in enumerate(["", "X", "XX"])
    for j, ones in enumerate(["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"])
}


def _any_of(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_VALUE_OF = {word: value for value, words in _WORD_VALUES.items() for word in words.split()}
_VALUE = _any_of(_VALUE_OF)
_SCALE = _any_of(_ZEROS)
_TO = r"\s*(?:-|–|to|bis|and|und|or|oder)\s*\d+(?:[.,:]\d+)?"  # "4 to 7 pm", "4 to 7 million"
_NUMBER = re.compile(
    rf"(?:(?P<digits>\d+(?:[.,:]\d+)*)"
    rf"|\b(?P<word>{_VALUE})(?:(?:und|[- ])?(?P<other>{_VALUE}))?)"
    rf"(?=(?:{_TO})?(?P<scale>(?:[\s-]*(?:{_SCALE})[^\W\d]*\.?){{0,2}}))"
    rf"(?=(?:{_TO})?(?P<clock>\s*(?:uhr|h|[ap]\.?\s?m|o.clock)\b)?)"
    rf"|\b(?:{'|'.join(f'(?P<month{i}>{month})' for i, month in enumerate(_MONTHS, 1))})\b"
)
_THOUSANDS = re.compile(r"(?<![\d.,:])[1-9]\d{0,2}([.,'’ \u00a0\u202f])\d{3}(?:\1\d{3})*(?!\d)")
# Marks after the last two digits of a year. The 1970s are "70er Jahre", but not the 1870s: a short
# year finds long ones, and a long one finds short ones.
_SHORT_YEAR, _LONG_YEAR = "<", ">"
_OTHER_YEAR = {_SHORT_YEAR: _LONG_YEAR, _LONG_YEAR: _SHORT_YEAR}
_MAX_DIGITS = 24  # longer rows of digits are told apart by their beginning


def lost_numbers(source: str, translation: str) -> list[str]:
    """The numbers that the source has in digits and the translation in no form."""
    there = [item for match in _numbers(translation) for item in _items(match)]
    numerals = re.findall(r"\b([IVX]+)(?:st|nd|rd|th)?\b", translation)
    there += [{_ROMAN[numeral]} for numeral in numerals if numeral in _ROMAN]
    places: dict[str, deque[int]] = {}  # reading -> which of `there` have it
    for place, readings in enumerate(there):
        for reading in readings:
            places.setdefault(reading, deque()).append(place)
    used: set[int] = set()

    def find(readings: set[str]) -> bool:
        """Takes the first number with one of the readings that stands for no other yet."""
        for reading in sorted(readings):
            left = places.get(reading[:-1] + _OTHER_YEAR.get(reading[-1], reading[-1]), deque())
            while left:
                if (place := left.popleft()) not in used:
                    used.add(place)
                    return True
        return False

    lost = []
    for match in _numbers(source):
        digits = match["digits"]
        before = match.string[max(0, match.start() - 1) : match.start()]
        if digits and not (len(digits) == 1 and before.isalpha()):  # CO2, m2, A4 are names
            whole, *pieces = _items(match)
            if not find(whole) and not (pieces and all(map(find, pieces))):
                lost.append(digits)
    return lost


def number_spans(text: str) -> list[tuple[int, int]]:
    """Where the numbers in digits stand, with letters that touch them."""
    return [match.span() for match in re.finditer(r"\d+(?:[.,:]\d+)*\w*", text)]


def rare_names(text: str, n_pieces: Callable[[str], int]) -> list[tuple[int, int]]:
    """Where the names of an English text stand that a vocabulary has hardly seen.

    That is a word with a capital that is spelt in short pieces, whether with its capital or
    without. The first word has a capital anyway: it must have three pieces or more, and not be a
    plural. (In German all nouns have capitals, and rare ones are spelt as names are.)

    Args:
        text: a sentence.
        n_pieces: how many pieces spell a word.
    """
    words = list(_LETTERS.finditer(text))
    capitals = [match[0][0].isupper() for match in words]
    if sum(capitals[1:]) > CAPITALS_SHARE * len(capitals[1:]):
        return []
    found = []
    for n, match in enumerate(words):
        word = match[0]
        first = n == 0
        if capitals[n] and len(word) > 2 and not word.isupper() and not (first and word[-1] == "s"):
            pieces = min(n_pieces(word), n_pieces(word.lower()))
            if pieces >= max(RARE_NAME * len(word), 3 if first else 2):
                found.append(match.span())
    return found


def lost_names(names: Iterable[str], translation: str) -> list[str]:
    """The names that a translation does not have, in any case or with any ending."""
    return [name for name in names if name.casefold() not in translation.casefold()]


def is_in_capitals(text: str) -> bool:
    """Whether all of it is, and it has two words at least, for one may be an abbreviation."""
    words = (word for word in _LETTERS.findall(text) if len(word) > 1)
    return text.isupper() and sum(word.lower() != word for word in words) > 1


def _numbers(text: str) -> Iterable[re.Match[str]]:
    """Number words, months, and numbers in digits, without the marks that group thousands."""
    ungrouped = _THOUSANDS.sub(lambda match: match[0].replace(match[1], ""), text.casefold())
    return _NUMBER.finditer(ungrouped)


def _items(match: re.Match[str]) -> list[set[str]]:
    """What a number may mean as a whole, and what its pieces may mean if it has some."""
    if match["digits"]:
        parts = re.split("[.,:]", match["digits"])
        pieces = [_readings([part]) for part in parts] if len(parts) > 1 else []
        is_time = ":" in match["digits"]
        return [_readings(parts, match["scale"], bool(match["clock"]), is_time), *pieces]
    if match["word"]:
        values = [_VALUE_OF[match[name]] for name in ("word", "other") if match[name]]
        whole = _scaled({Decimal(sum(values)), Decimal(math.prod(values))}, match["scale"])
        pieces = [{str(value)} for value in values] if len(values) > 1 else []
        return [whole | {f"{values[0]}{_SHORT_YEAR}"}, *pieces]
    assert match.lastgroup is not None
    return [{match.lastgroup.removeprefix("month")}]


def _readings(
    parts: list[str], scale: str = "", clock: bool = False, is_time: bool = False
) -> set[str]:
    """Digits in one part or two mean a quantity, a time of the day, or a year."""
    if len(parts) > 2:
        return set()
    first, second = [*(part[:_MAX_DIGITS] for part in parts), ""][:2]
    readings = set() if is_time else _scaled({Decimal(f"{first}.{second}0")}, scale)
    if len(first) <= 2 and (len(second) == 2 or clock):
        readings.add(f"{int(first) % 12}:{second or '00'}")  # 3:30 pm is 15.30 Uhr
    if not second and len(first) in (2, 4):
        readings.add(first[-2:] + (_SHORT_YEAR if len(first) == 2 else _LONG_YEAR))
    return readings


def _scaled(values: set[Decimal], scale: str) -> set[str]:
    """The values, and what they are in full if a word like "million" follows."""
    zeros = {0}
    for word in re.findall(_SCALE, scale):
        zeros = {n + more for n in zeros for more in _ZEROS[word]}
    return {f"{value.scaleb(n).normalize():f}" for value in values for n in zeros | {0}}
