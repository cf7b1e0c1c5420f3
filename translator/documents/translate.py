"""`translate_document`: a file in, the same file in the other language out."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
from translator.system.disk import write_file
from translator.text.lines import decode_line
from translator.translation.files import translate_to_file
from translator.translation.result import Translation
from translator.translation.translator import Translator

log = logging.getLogger("translator")

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


@dataclass(frozen=True)
class _TextFile:
    document: Document

    @property
    def pieces(self) -> list[Piece]:
        return self.document.pieces

    def line(self, piece: Piece) -> int:
        return self.document.line(piece)

    def write(self, translations: Sequence[str]) -> bytes:
        return self.document.fill(translations).encode()


@dataclass(frozen=True)
class Warned:
    """A piece whose translation may be wrong."""

    line: int
    text: str
    faults: list[str]  # see translator/translation/faults.py


@dataclass(frozen=True)
class DocumentResult:
    """What was done."""

    segments: int
    words: int  # of the source
    seconds: float
    warnings: list[Warned] = field(default_factory=list)


def format_of(path: Path) -> str | None:
    """The format of a file by its ending; None for any other."""
    endings = {ending: name for name, (_, known) in _TEXT_READERS.items() for ending in known}
    return {**endings, ".docx": "docx"}.get(path.suffix.lower())


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
        return _TextFile(reader(data.decode()))
    except BrokenDocument as error:
        raise TranslatorError(f"{name}, {error}.") from None


def translate_document(
    translator: Translator,
    src: str | Path,
    dst: str | Path,
    format: str | None = None,
    *,
    columns: Sequence[str] = (),
    show_bar: bool = False,
    **options: Any,
) -> DocumentResult:
    """Translates a document: its text, and nothing else.

    Texts that occur again are translated once. An interrupted call goes on where it stopped. A
    broken file is an error, and nothing is written then.

    Args:
        translator: what translates.
        src: the document.
        dst: where the translated one goes.
        format: one of `FORMATS`; default: by the ending of `src`.
        columns: of a table, by name or number from 1; default: all.
        show_bar: whether there is a progress bar.
        **options: of `Translator.translate_lines`, such as `split`.

    Raises:
        TranslatorError: no known format, a broken file, or the disk cannot be written.
    """
    start = time.monotonic()
    src, dst = Path(src), Path(dst)
    chosen = format or format_of(src)
    if chosen is None:
        raise TranslatorError(
            f"{src} has no ending of a known format: name one of {', '.join(FORMATS)}."
        )
    try:
        data = src.read_bytes()
    except OSError as error:
        raise TranslatorError(f"{src} cannot be read: {error.strerror}.") from None
    document = read_document(data, chosen, str(src), columns)
    lines = [line for piece in document.pieces for line in piece.text.split("\n")]
    faults: dict[str, list[str]] = {}

    def render(found: Translation) -> str:
        left = [fault for s in found.segments if s.repair for fault in s.repair.left]
        if left:
            faults[found.source] = left
        return found.text + "\n"

    unique = [*dict.fromkeys(lines)]
    work = dst.with_name(f".{dst.name}.segments")
    translate_to_file(translator, unique, work, render, show_bar, **options)
    said = work.read_bytes().decode().split("\n")
    by_source = dict(zip(unique, said, strict=False))
    translations = [
        "\n".join(by_source[line] for line in piece.text.split("\n")) for piece in document.pieces
    ]
    write_file(dst, document.write(translations))
    work.unlink(missing_ok=True)
    warnings = [
        Warned(document.line(piece), line, faults[line])
        for piece in document.pieces
        for line in piece.text.split("\n")
        if line in faults
    ]
    n_words = sum(len(piece.text.split()) for piece in document.pieces)
    return DocumentResult(len(document.pieces), n_words, time.monotonic() - start, warnings)
