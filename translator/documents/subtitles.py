"""Subtitles: SubRip, WebVTT and Advanced SubStation Alpha. Times, numbers and styles stay."""

import re

from translator.documents.document import (
    BrokenDocument,
    Document,
    Marks,
    Piece,
    Place,
    join,
    line_places,
    plain_pieces,
    with_text,
)

_TIMES = re.compile(r"\s*(?:\d+:)?\d+:\d+[.,]\d+\s*-->\s*(?:\d+:)?\d+:\d+[.,]\d+")
_NO_TEXT = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)\b")
_STYLE = re.compile(r"\{\\[^{}]*\}|\\h")


def read_cues(text: str) -> Document:
    """SubRip and WebVTT: what stands below a line of times, up to a blank one.

    Raises:
        BrokenDocument: there is text but no cue.
    """
    places: list[Place] = []
    inside = False
    n_cues = 0
    for place in line_places(text):
        line = text[slice(*place)]
        if _TIMES.match(line):
            inside, n_cues = True, n_cues + 1
        elif not line.strip() or _NO_TEXT.match(line):
            inside = False
        elif inside:
            places.append(place)
    if (
        not n_cues
        and text.strip("\ufeff \t\r\n")
        and not text.lstrip("\ufeff").startswith("WEBVTT")
    ):
        raise BrokenDocument("line 1: no cue; one begins with 00:00:01,000 --> 00:00:02,000")
    return Document(text, _pieces(text, places))


def read_ass(text: str) -> Document:
    """The last field of each `Dialogue:`; `\\N` ends a line, `{...}` is style.

    Raises:
        BrokenDocument: a dialogue before the line that names the fields.
    """
    places: list[Place] = []
    n_fields = 0
    for number, (start, end) in enumerate(line_places(text), start=1):
        line = text[start:end]
        if line.startswith("[") or line.startswith("Format:"):
            n_fields = line.count(",") + 1 if line.startswith("Format:") else 0
        elif line.startswith("Dialogue:"):
            fields = line.split(",", n_fields - 1) if n_fields else []
            if len(fields) < n_fields or not n_fields:
                raise BrokenDocument(f"line {number}: a dialogue without the fields of its Format")
            position = end - len(fields[-1])
            for part in re.split(r"(\\[Nn])", fields[-1]):
                if not re.fullmatch(r"\\[Nn]", part):
                    places.append((position, position + len(part)))
                position += len(part)
    return Document(text, _pieces(text, places))


def _pieces(text: str, places: list[Place]) -> list[Piece]:
    return [_hide_style(piece) for piece in plain_pieces(text, join(text, places))]


def _hide_style(piece: Piece) -> Piece:
    marks = Marks(piece.text)
    return with_text(piece, marks, _STYLE.sub(lambda match: marks.point(match[0]), piece.text))
