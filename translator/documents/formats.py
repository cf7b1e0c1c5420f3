"""The formats by name and ending, and how a document is read."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from translator.config.errors import TranslatorError
from translator.documents.document import BrokenDocument, Document, Piece
from translator.documents.docx import read_docx
from translator.documents.html import read_html
from translator.documents.markdown import read_markdown
from translator.documents.po import read_po
from translator.documents.strings import read_fluent, read_json, read_properties, read_yaml
from translator.documents.subtitles import read_ass, read_cues
from translator.documents.tables import TableReader
from translator.documents.text import read_text
from translator.documents.xliff import read_xliff
from translator.text.lines import decode_line

# Each format: what reads its text, and the endings of its files.
_TEXT_READERS: dict[str, tuple[Callable[[str], Document], tuple[str, ...]]] = {
    "text": (read_text, (".txt",)),
    "subtitles": (read_cues, (".srt", ".vtt")),
    "ass": (read_ass, (".ass", ".ssa")),
    "markdown": (read_markdown, (".md", ".markdown")),
    "html": (read_html, (".html", ".htm", ".xhtml")),
    "po": (read_po, (".po", ".pot")),
    "json": (read_json, (".json", ".arb")),
    "yaml": (read_yaml, (".yaml", ".yml")),
    "properties": (read_properties, (".properties",)),
    "fluent": (read_fluent, (".ftl",)),
    "xliff": (read_xliff, (".xliff", ".xlf")),
    "csv": (TableReader(""), (".csv",)),
    "tsv": (TableReader("\t"), (".tsv",)),
}
FORMATS = (*_TEXT_READERS, "docx")


class Readable(Protocol):
    """A document that was read."""

    @property
    def pieces(self) -> list[Piece]: ...

    def line(self, piece: Piece) -> int: ...

    def write(self, translations: Sequence[str]) -> bytes: ...


def list_lines(document: Readable) -> list[str]:
    """The lines of all pieces of a document, each once."""
    lines = (line for piece in document.pieces for line in piece.text.split("\n"))
    return list(dict.fromkeys(lines))


def write_lines(document: Readable, translations: Mapping[str, str]) -> bytes:
    """A document with the translation of each line."""
    pieces = (piece.text.split("\n") for piece in document.pieces)
    return document.write(["\n".join(translations[line] for line in lines) for lines in pieces])


# The format of each ending of a file.
ENDINGS = {ending: name for name, (_, known) in _TEXT_READERS.items() for ending in known}
ENDINGS[".docx"] = "docx"


def format_of(path: Path) -> str | None:
    """The format of a file by its ending; None for any other."""
    return ENDINGS.get(path.suffix.lower())


def read_document(data: bytes, format: str, name: str, columns: Sequence[str] = ()) -> Readable:
    """The pieces of a document, and how they are written back.

    Raises:
        TranslatorError: an unknown format, bytes that are not UTF-8, or a broken file: the message
            names file, line and reason.
    """
    if format not in FORMATS:
        raise TranslatorError(f'Unknown format "{format}"; there are: {", ".join(FORMATS)}.')
    try:
        if format == "docx":
            return read_docx(data)
        for number, raw in enumerate(data.split(b"\n"), start=1):
            decode_line(raw, name, number)  # names the line of a byte that is no text
        reader, _ = _TEXT_READERS[format]
        if isinstance(reader, TableReader):
            reader = TableReader(reader.delimiter, columns)
        document = reader(data.decode())
        for piece in document.pieces:
            if re.search("[\ud800-\udfff]", piece.text):
                raise BrokenDocument(
                    f"line {document.line(piece)}: half of a pair of surrogates, which is no text"
                )
        return document
    except BrokenDocument as error:
        raise TranslatorError(f"{name}, {error}.") from None
