"""XLIFF 1.2 and 2: each empty or missing target gets the translation of its source."""

import bisect
import re
from xml.parsers import expat

from translator.documents.document import (
    BrokenDocument,
    Document,
    Marks,
    Piece,
    hide_references,
    with_text,
)

_SEGMENT = re.compile(
    r"(?P<open><source\b[^<>]*(?<!/)>)(?P<source>(?:(?!<source\b).)*?)</source>"
    r"(?P<target>\s*<target\b(?:[^<>]*/>|(?P<open_target>[^<>]*>)"
    r"(?P<said>(?:(?!<target\b).)*?)</target>))?",
    re.DOTALL,
)
_NAMES = r"<(?:x|ph|bx|ex|sc|ec|it|bpt|ept|pc|cp)\b"
_POINT = re.compile(
    rf"{_NAMES}[^<>]*(?:/>|(?<!/)>(?:(?!{_NAMES}).)*?</(?:it|bpt|ept|ph)>)", re.DOTALL
)
_UNIT = re.compile(r"<(?:trans-)?unit\b[^<>]*")
_STAYS = re.compile(r"\stranslate\s*=\s*[\"']no[\"']")


def check_xml(text: str) -> None:
    """Raises BrokenDocument if the text is no well-formed XML."""
    try:
        expat.ParserCreate().Parse(text.removeprefix("\ufeff").encode(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise BrokenDocument(f"line {error.lineno}: {reason}") from None


def read_xliff(text: str) -> Document:
    """The sources without a target; `translate="no"` stays.

    Raises:
        BrokenDocument: the text is no well-formed XML.
    """
    check_xml(re.sub(r"^(\ufeff?<\?xml[^>]*?)\sencoding=[\"'][^\"']*[\"']", r"\1", text))
    units = [(match.start(), bool(_STAYS.search(match[0]))) for match in _UNIT.finditer(text)]

    def stays(match: re.Match[str]) -> bool:
        number = bisect.bisect(units, (match.start(),))
        return number > 0 and units[number - 1][1]

    found = (_piece(text, match) for match in _SEGMENT.finditer(text) if not stays(match))
    return Document(text, [piece for piece in found if piece])


def _piece(text: str, match: re.Match[str]) -> Piece | None:
    source, target, said = match["source"], match["target"], match["said"]
    if (said or "").strip() or not source.strip():
        return None
    marks = Marks(source)
    hidden = _POINT.sub(lambda point: marks.point(point[0]), source)
    hidden = hide_references(hidden, marks)
    if said is not None:
        place, before, after = match.span("said"), "", ""
    elif target:
        end = match.end("target")
        place = (end - len(target.lstrip()), end)
        before, after = "<target>", "</target>"
    else:
        place, before, after = (match.end(), match.end()), "<target>", "</target>"

    def write(part: str) -> str:
        return before + part + after

    return with_text(Piece(source, [match.span("source")], write, [place]), marks, hidden)
