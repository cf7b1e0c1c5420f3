"""Where one sentence ends and the next begins, in English and German.

A model reads one sentence at a time, as it was trained; a text of several is cut here. A cut that
is missing costs little, a wrong one tears a sentence apart: what is doubtful stays whole.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from translator.text.language import read_tables

_EMOJI = "\u2600-\u27bf\u200d\ufe0f\U0001f000-\U0001faff"
# A mark at the end of a word, with the quotes, brackets and emoji that close after it.
_END = re.compile(rf"([.!?…‽。！？؟।]+)([\"'”“’‘»«›‹)\]}}]*)[{_EMOJI}]*$")
# What stands alone and belongs to the sentence before it: emoji, emoticons, closing marks.
_TAIL = re.compile(rf"[{_EMOJI}]+|[:;]-?[()DP]|[”’)\]}}]+")
# The first letters or digits of a sentence, after marks that may open it.
_OPENING = re.compile(r"[^\w,;:!?%&/+=|)\]}”’]*+([^\W_]+)")
# What precedes a full stop: the last part of a compound, but the whole of a number.
_STEM = re.compile(r"(?:[^-/(\[\"“”„‚‘«»›‹]|(?<=\d)-(?=\d))*$")
_WINDOW = 30  # characters at an end of a word that are looked at: bounds the cost of odd input
_NO_BREAK_SPACES = {"\u00a0", "\u202f"}

_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # "J", "U.S", "z.B", "a.m"
_LIST_MARK = re.compile(r"\d{1,3}|[^\W\d_]|[IVX]+")
_ORDINAL = re.compile(r"\d{1,3}|\d{1,2}\.(?:0?[1-9]|1[0-2])|[IVX]+")  # or a day and month
_NUMBER = re.compile(r"\d\w*|[IVX]{2,}|[VX]")
# Words that look clipped: German streets, and those without a vowel (but units and cars).
_CLIPPED = re.compile(
    r"\w+str|(?!(?:[ckm]m|kg|ft|hp|[LP]kw)$)[B-DF-HJ-NP-TV-XZb-df-hj-np-tv-xz][b-df-hj-np-tv-xz]+"
)


# Where a text too long may be cut, best first: sentence ends, clause marks, any white space.
_CUTS = (
    re.compile(r"(?<=[.!?…])(?:[\"'”“)]*)(\s+)"),
    re.compile(r"(?<=[,;:–—])(\s+)"),
    re.compile(r"(?<=\S)(\s+)"),
)


@dataclass(frozen=True)
class _Rules:
    """What a full stop means in a language."""

    never_last: frozenset[str]  # abbreviations that something must follow
    seldom_last: frozenset[str]  # abbreviations that end a sentence if a starter follows
    before_number: frozenset[str]  # words that are abbreviations before a number only
    starters: frozenset[str]  # words that begin a sentence far more often than they are a name
    ordinals: bool  # is "3." the third?

    def __or__(self, other: "_Rules") -> "_Rules":
        """The rules for an unknown language."""
        return _Rules(
            self.never_last | other.never_last,
            self.seldom_last | other.seldom_last,
            self.before_number | other.before_number,
            self.starters | other.starters,
            self.ordinals or other.ordinals,
        )


_WORDS = read_tables("sentence_words.txt")
_GERMAN_MONTHS = _WORDS["de months"]


def _rules(language: str, ordinals: bool) -> _Rules:
    names = ("never_last", "seldom_last", "before_number", "starters")
    never, seldom, before, starters = (_WORDS[f"{language} {name}"] for name in names)
    return _Rules(never, seldom, before, starters, ordinals)


_RULES = {"en": _rules("en", ordinals=False), "de": _rules("de", ordinals=True)}
_OTHER = _RULES["en"] | _RULES["de"]


def split_sentences(text: str, language: str) -> list[tuple[str, str]]:
    """Cuts a text, which neither begins nor ends with white space, into sentences.

    Cuts are at white space only. The cost is linear in the length of the text.

    Args:
        text: one line, of any kind.
        language: "en" or "de"; any other gets the abbreviations of both.

    Returns:
        The sentences, each with the white space that follows it.
    """
    rules = _RULES.get(language, _OTHER)
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    words = [text[start:end] for start, end in spans]
    parts = []
    first = last = 0  # words of the sentence: its first, and the last that is not a tail
    for i in range(1, len(words)):
        if _TAIL.fullmatch(words[i]):
            continue
        end = spans[i - 1][1]
        space = text[end : spans[i][0]]
        if space not in _NO_BREAK_SPACES and _is_boundary(words, first, last, i, rules):
            parts.append((text[spans[first][0] : end], space))
            first = i
        last = i
    return [*parts, (text[spans[first][0] :], "")] if words else []


def _is_boundary(words: list[str], first: int, last: int, after: int, rules: _Rules) -> bool:
    """Does `words[last]` end the sentence from `first` on, so that `after` begins the next?"""
    ending = words[last][-_WINDOW:]
    end = _END.search(ending)
    if not end:
        return False
    opening = _OPENING.match(" ".join(word[:_WINDOW] for word in words[after : after + 2]))
    if not opening or opening[1][0].islower():
        return False
    if not {")", "]"}.isdisjoint(end[2]) and words[first][0] not in "([":
        return False  # the mark belongs to what the brackets hold, not to the sentence around
    if end[1] != ".":
        # "Well... I think": the pronoun is no sign of a new sentence.
        return not (end[1][0] in ".…" and opening[1] == "I")
    matched = _STEM.search(ending, 0, end.start())
    stem = matched[0].lstrip("'’.") if matched else ""
    begin = last
    # "z. B.", "J. R. R.": letters with blanks between them are one abbreviation.
    for word in reversed(words[max(first, last - 4) : last]):
        letter = word.strip("(\"'“”„‚‘«»")
        if len(letter) != 2 or letter[1] != "." or not _INITIALS.fullmatch(stem):
            break
        stem = letter + stem
        begin -= 1
    if begin == first:
        if _LIST_MARK.fullmatch(stem):
            return False
        small = stem[:1].lower() + stem[1:]
        stem = small if small in rules.never_last else stem
    if stem in rules.never_last:
        return False
    if stem in rules.before_number:
        return not _NUMBER.fullmatch(opening[1])
    may_go_on = (
        stem in rules.seldom_last
        or _INITIALS.fullmatch(stem)
        or _CLIPPED.fullmatch(stem)
        or (
            rules.ordinals
            and _is_ordinal(stem, words[max(last - 1, first) : last + 1], opening[1], rules)
        )
    )
    return not may_go_on or opening[1] in rules.starters


def _is_ordinal(stem: str, words: list[str], after: str, rules: _Rules) -> bool:
    """Is "3." the third? Not in "Platz 3." or "Nr. 3.": the first of `words` says what it is."""
    if not _ORDINAL.fullmatch(stem):
        return False
    before, number = words if len(words) == 2 else ("", *words)
    named = number[0].isdigit() and before.rstrip(".").isalpha() and before[0].isupper()
    return not named or before in rules.starters or after in _GERMAN_MONTHS


def split_long(text: str, fits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Cuts `text`, which neither begins nor ends with white space, until every part fits.

    Of the best kind of place that the middle half holds, the one nearest the middle is taken; then
    any white space; a word is cut only where there is none.

    Returns:
        The parts, each with the white space that follows it.
    """
    if len(text) < 2 or fits(text):
        return [(text, "")]
    middle, quarter = len(text) // 2, len(text) // 4
    kinds = [[match.span(1) for match in pattern.finditer(text)] for pattern in _CUTS]
    central = [[s for s in spaces if quarter <= s[0] <= len(text) - quarter] for spaces in kinds]
    spaces = next(filter(None, [*central, kinds[-1]]), [(middle, middle)])
    start, end = min(spaces, key=lambda space: abs(space[0] - middle))
    head, tail = split_long(text[:start], fits), split_long(text[end:], fits)
    return [*head[:-1], (head[-1][0], text[start:end]), *tail]
