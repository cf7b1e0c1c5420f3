"""Quotation marks in a translation, of the kind that its source has.

A model writes the marks of whatever text it learnt from, now straight, now typographic, and closes
with others than it opened with. Each mark is replaced by one character, so that places stay.
"""

import re

_DOUBLE = '"“”„‟«»'
_MARK = re.compile(f"[{_DOUBLE}]|(?<!\\w)['‘’‚](?=\\w)|(?<![\\W\\d])['‘’‚](?!\\w)|(?<=[.,!?])['’‘]")
_TYPOGRAPHIC = {"en": ("“", "”"), "de": ("„", "“")}
_BEFORE_OPENING = re.compile(r"[\s(\[{/–—-]")


def _places(text: str) -> tuple[list[int], list[int]]:
    """Where the double and the single marks of a text are; apostrophes inside words are neither."""
    found = [match.start() for match in _MARK.finditer(text)]
    double = [place for place in found if text[place] in _DOUBLE]
    return double, [place for place in found if text[place] not in _DOUBLE]


def match_quotes(source: str, translation: str, language: str) -> str:
    """A translation with straight marks if those of its source are, else those of its language.

    Only where it has as many double marks as the source, or would have with its single ones, of
    which the source has none; all else stays.

    Args:
        source: the text that was translated.
        translation: the result.
        language: of the translation.
    """
    wanted, singles = _places(source)
    if not wanted:
        return translation
    places, strays = _places(translation)
    if strays and not singles and len(places) < len(wanted):
        places = sorted(places + strays)
    if len(places) != len(wanted):
        return translation
    opening, closing = '"', '"'
    if any(source[place] != '"' for place in wanted):
        if language not in _TYPOGRAPHIC:
            return translation
        opening, closing = _TYPOGRAPHIC[language]
    marks = list(translation)
    for place in places:
        before = translation[place - 1 : place]
        marks[place] = opening if not before or _BEFORE_OPENING.match(before) else closing
    return "".join(marks)
