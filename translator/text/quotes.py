"""Quotation marks in a translation, of the kind that its source has.

A model writes the marks of whatever text it learnt from, now straight, now typographic, and closes
with others than it opened with. Each mark is replaced by one character, so that places stay.
"""

import re

DOUBLE = '"“”„‟«»'
_SINGLE = re.compile(r"(?<!\w)['‘’‚](?=\w)|(?<![\W\d])['‘’‚](?!\w)|(?<=[.,!?])['’‘]")
_TYPOGRAPHIC = {"en": ("“", "”"), "de": ("„", "“")}
_AFTER_CLOSING = ".,;:!?)]}"  # beside spaces and the end of the text


def _double_marks(text: str) -> list[int]:
    """Where the double marks of a text are; inches are none, if they can be told apart."""
    places = [place for place, letter in enumerate(text) if letter in DOUBLE]
    straight = [place for place in places if text[place] == '"']
    if len(straight) % 2 or len(straight) < len(places):
        inches = {place for place in straight if text[place - 1 : place].isdecimal()}
        places = [place for place in places if place not in inches]
    return places


def _opens(text: str, place: int) -> bool:
    """Whether a mark opens a quotation, judged by what is beside it."""
    before, after = text[place - 1 : place] if place else "", text[place + 1 : place + 2]
    if not before or before.isspace():
        return True
    if before.isalnum() or before in _AFTER_CLOSING:
        return False
    return after != "" and not after.isspace() and after not in _AFTER_CLOSING


def match_quotes(source: str, translation: str, language: str) -> str:
    """A translation with straight marks if those of its source are, else those of its language.

    Only where it has as many double marks as the source, or would have with its single ones, of
    which the source has none; all else stays.

    Args:
        source: the text that was translated.
        translation: the result.
        language: of the translation.
    """
    wanted, places = _double_marks(source), _double_marks(translation)
    if len(places) < len(wanted) and not len(wanted) % 2 and not _SINGLE.search(source):
        places = sorted([*places, *(match.start() for match in _SINGLE.finditer(translation))])
        if any(_opens(translation, place) == n % 2 for n, place in enumerate(places)):
            return translation  # an apostrophe is among them
    if not wanted or len(places) != len(wanted):
        return translation
    marks = '"', '"'
    if any(source[place] != '"' for place in wanted):
        if language not in _TYPOGRAPHIC:
            return translation
        marks = _TYPOGRAPHIC[language]
    if all(translation[place] in marks for place in places):
        return translation
    written = list(translation)
    for place in places:
        written[place] = marks[0] if _opens(translation, place) else marks[1]
    return "".join(written)
