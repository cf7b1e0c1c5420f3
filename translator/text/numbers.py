"""The numbers of a text, in digits or in words, and which of them a translation has lost."""

import math
import re
from collections import Counter, deque
from collections.abc import Iterable
from decimal import Decimal

from translator.text.language import read_tables

# Numbers: those in digits must be in the translation, but may be words (number_words.txt) there.
# Where there are several ways to read one (3.5, 15:30, 11.9.2001, 1 billion), any that fits does.
_VALUE_OF = {
    word: int(value) for value, words in read_tables("number_words.txt").items() for word in words
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
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


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
_THOUSANDS = re.compile(r"(?<![\d.,:])[1-9]\d{0,2}([.,'‘’ \u00a0\u202f])\d{3}(?:\1\d{3})*(?!\d)")
# Marks after the last two digits of a year. The 1970s are "70er Jahre", but not the 1870s: a short
# year finds long ones, and a long one finds short ones.
_SHORT_YEAR, _LONG_YEAR = "<", ">"
_OTHER_YEAR = {_SHORT_YEAR: _LONG_YEAR, _LONG_YEAR: _SHORT_YEAR}
_MAX_DIGITS = 24  # longer rows of digits are distinguished by their beginning


def lost_numbers(source: str, translation: str) -> list[str]:
    """The numbers that the source has in digits and the translation in no form."""
    half_hours = _half_hours(translation)
    there = [{f"{hour}:30"} for *_, hour in half_hours]  # "halb 9" is 8:30
    others = _without(translation, (match for match, *_ in half_hours))
    there += [item for match in _numbers(others) for item in _items(match)]
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
    others = _without(source, (match for match, *_ in _half_hours(source)))  # see `shifted_times`
    for match in _numbers(others):
        digits = match["digits"]
        before = match.string[max(0, match.start() - 1) : match.start()]
        if digits and not (len(digits) == 1 and before.isalpha()):  # CO2, m2, A4 are names
            whole, *pieces = _items(match)
            if not find(whole) and not (pieces and all(map(find, pieces))):
                lost.append(digits)
    return lost


_TIME = re.compile(
    r"(?<![\d.,:])(?P<hour>\d{1,2})(?:[:.](?P<minute>[0-5]\d))?(?!\d|[.,:]\d)"
    r"(?P<clock>\s?uhr\b)?(?:\s?(?P<half>[ap])\.?\s?m\b(?:\.(?=\s+[a-z(\d]|[-–,;:)]))?)?",
    re.IGNORECASE,
)
_AFTER_NOON = re.compile(
    r"\d\s?p\.?\s?m\b|\b(?:afternoon|evening|night|tonight|noon|nachmittag|abend|nacht|mittag)",
    re.IGNORECASE,
)
_HOURS = {
    "en": re.findall(r"\w+", "twelve one two three four five six seven eight nine ten eleven"),
    "de": re.findall(r"\w+", "zwölf eins zwei drei vier fünf sechs sieben acht neun zehn elf"),
}
_HOUR_OF = {**_VALUE_OF, "ein": 1}
_HOUR_OF |= {word: hour for words in _HOURS.values() for hour, word in enumerate(words)}
# Not "half past 7 pm", which has a half of the day too, nor "halb 8 Seiten" or "halb Elf, halb
# Mensch"; and "fünf vor halb acht" is another time.
_HALF_HOUR = {
    "en": re.compile(
        rf"\b([Aa]t\s)?[Hh]alf[- ][Pp]ast\s((?i:{_any_of(_HOURS['en'])})|1[0-2]|[1-9])\b"
        r"(?![.,:]\d|\s?%|\s?[ap]\.?\s?m\b)"
    ),
    "de": re.compile(
        rf"(?<!vor )(?<!nach )\b([Uu]m\s)?(?<!vor )(?<!nach )[Hh]alb\s({_any_of(_HOURS['de'])}"
        r"|1[0-2]|[1-9])\b(?![.,:]\d|\s?%)(?:\sUhr\b|(?!\s[A-ZÄÖÜ]))"
    ),
}
# Said in another way: "half seven" is British, and 7:30 too.
_OTHER_HALF_HOUR = re.compile(
    rf"(?<![\d.,:])(\d{{1,2}})(?:[:.]|\s?uhr\s)30(?!\d)|\bhalf\s({_any_of(_HOURS['en'])})\b"
    rf"|\b({_any_of(_HOURS['en'])})[ -]thirty\b|\b(\w+)\suhr\sdrei[sß]+ig\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(?:half|halb|uhr|o.clock)\b|\d[:.]\d\d\b", re.IGNORECASE)


def _half_hours(text: str) -> list[tuple[re.Match[str], str, int]]:
    """The half hours in words, the language of each, and the hour before it, from 0 to 11."""
    if "alf" not in text and "alb" not in text:  # most texts
        return []
    return [
        (match, language, (_hour(match[2]) - (language == "de")) % 12)
        for language, pattern in _HALF_HOUR.items()
        for match in pattern.finditer(text)
    ]


def _without(text: str, matches: Iterable[re.Match[str]]) -> str:
    for match in sorted(matches, key=re.Match.start, reverse=True):
        text = text[: match.start()] + text[match.end() :]
    return text


def _hour(word: str) -> int:
    """The hour from 0 to 11 that a number or its word says; -1 for another word."""
    hour = int(word) if word.isdecimal() else _HOUR_OF.get(word.lower(), -1)
    return hour if hour < 0 else hour % 12


def _shifted_half_hours(source: str, translation: str) -> list[tuple[int, int, str]]:
    """See `shifted_times`."""
    half_hours = _half_hours(source)
    if not half_hours or not _CLOCK.search(translation):  # another language, or no time at all
        return []
    said = {hour for *_, hour in _half_hours(translation)}
    said |= {_hour(match[match.lastindex or 0]) for match in _OTHER_HALF_HOUR.finditer(translation)}
    lost = []
    for match, language, hour in half_hours:
        if hour not in said:
            written = f"{'at ' if match[1] else ''}half past {_HOURS['en'][hour]}"
            if language == "en":
                written = f"{'um ' if match[1] else ''}halb {_HOURS['de'][(hour + 1) % 12]}"
            if match[0][0].isupper():
                written = written[0].upper() + written[1:]
            lost.append((*match.span(), written))
    return lost


def shifted_times(source: str, translation: str) -> list[tuple[int, int, str]]:
    """The times that a translation shifts, or of which it does not say the half of the day.

    17:30 is 5:30 pm, or 5:30 in the afternoon, but not 5:30; 9 am is 9 Uhr, and not 21 Uhr. "Halb
    acht" is half past seven.

    Returns:
        Where they are in the source, and what they are in the other language.
    """
    lost = _shifted_half_hours(source, translation)
    times = list(_TIME.finditer(source))
    counts = Counter(hour for time in times for hour in _hours(time))

    def others(hour: int, match: re.Match[str]) -> int:
        """How many other numbers of the source say this hour."""
        return counts[hour] - (hour in _hours(match))

    for match in times:
        hour, minute = int(match["hour"]), match["minute"] or ""
        half = (match["half"] or "").lower()
        minutes = rf"[:.]{minute}" if int(minute or 0) else r"(?:[:.]00)?"
        end = f"{':' * bool(minute)}{minute}"

        def said(hour: int, behind: str = "", minutes: str = minutes) -> int:
            time = rf"(?<![\d.,:])0?{hour}{minutes}(?!\d|[.,:]\d){behind}"
            return len(re.findall(time, translation, re.IGNORECASE))

        if half == "a" and 1 <= hour <= 12:  # noon or later is wrong
            early = hour % 12
            late = early + 12
            shifted = said(late, "" if early else rf"(?=(?:{_TO})?\s?uhr)") > others(late, match)
            if shifted and not said(early):
                lost.append((*match.span(), f"{early}{end} Uhr"))
        elif match["clock"] and 1 <= hour < 12:
            shifted = said(hour, r"\s?p\.?\s?m\b") > others(hour + 12, match)
            if shifted and not _AFTER_NOON.search(source):
                lost.append((*match.span(), f"{hour}{end} am"))
        elif (half == "p" and 1 <= hour < 12) or (
            13 <= hour < 24 and (match["clock"] or ":" in match[0])
        ):
            long, short = (hour + 12, hour) if half else (hour, hour - 12)
            written = f"{long}{end} Uhr" if half else f"{short}{end} pm"
            shifted = said(short) > others(short, match) and not said(long)
            if shifted and not _AFTER_NOON.search(translation):
                lost.append((*match.span(), written if half or match["clock"] else match[0]))
    return lost


def _hours(time: re.Match[str]) -> set[int]:
    """A number as it is written, and on a clock of 24 hours."""
    hour = int(time["hour"])
    return {hour, hour % 12 + 12 * (time["half"].lower() == "p") if time["half"] else hour}


def number_spans(text: str) -> list[tuple[int, int]]:
    """Where the numbers in digits stand, with letters that touch them."""
    return [match.span() for match in re.finditer(r"\d+(?:[.,:]\d+)*\w*", text)]


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
