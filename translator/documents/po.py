"""Gettext catalogues (.po, .pot): an empty msgstr gets the translation and the entry is fuzzy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from translator.documents.document import BrokenDocument, Document, Piece, Place, line_places

_FIELD = re.compile(
    r"(?P<name>msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?)\s+(?=\")|(?=\")|(?P<comment>#)"
)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*$')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


@dataclass
class _Entry:
    """The strings of an entry, each with the place between its quotes, lines joined."""

    start: int
    flags: Place | None = None
    strings: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)


def read_po(text: str) -> Document:
    """Pieces of the entries without a translation; others, the header and old ones stay.

    Raises:
        BrokenDocument: a line that is no part of an entry.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    pieces: list[Piece] = []
    insertions: list[tuple[int, str, int]] = []
    for entry in _entries(text):
        forms = {name: s for name, s in entry.strings.items() if name.startswith("msgstr")}
        if not entry.strings.get("msgid") or not forms or any(forms.values()):
            continue
        for source in ("msgid", "msgid_plural"):
            raw = entry.strings.get(source)
            plural = "msgid_plural" in entry.strings
            own = [n for n in forms if not plural or (n == "msgstr[0]") == (source == "msgid")]
            if raw and own:
                targets = [entry.places[name] for name in own]
                pieces.append(Piece(raw, [entry.places[source]], _quoted, targets))
        if entry.flags is None:
            insertions.append((entry.start, f"#, fuzzy{newline}", len(pieces) - 1))
        elif "fuzzy" not in text[slice(*entry.flags)]:
            insertions.append((entry.flags[1], ", fuzzy", len(pieces) - 1))
    return Document(text, pieces, insertions)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\n", "\\n")


def _entries(text: str) -> Iterator[_Entry]:
    entry: _Entry | None = None
    name = ""
    flags: Place | None = None
    for number, (start, end) in enumerate(line_places(text), start=1):
        line = text[start:end].removeprefix("\ufeff")
        start = end - len(line)
        match = _FIELD.match(line.lstrip())
        if not line.strip() or (match and match["comment"]):
            if entry:
                yield entry
                entry, flags = None, None
            if line.startswith("#,"):
                flags = (start, end)
            continue
        string = _STRING.search(line)
        if not match or not string:
            raise BrokenDocument(f"line {number}: neither a comment nor a quoted string")
        if match["name"] == "msgctxt" or (
            match["name"] == "msgid" and (entry is None or "msgid" in entry.strings)
        ):
            if entry:
                yield entry
                flags = None
            entry = _Entry(start, flags)
        if entry is None or not (match["name"] or name):
            raise BrokenDocument(f"line {number}: a string before any msgid")
        name = match["name"] or name
        said = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), string[1])
        a, b = start + string.start(1), start + string.end(1)
        entry.strings[name] = entry.strings.get(name, "") + said
        entry.places[name] = (entry.places.get(name, (a, b))[0], b)
    if entry:
        yield entry
