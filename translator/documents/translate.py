"""`translate_document`: a file in, the same file in the other language out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translator.config.errors import TranslatorError
from translator.documents.formats import (
    FORMATS,
    Readable,
    format_of,
    list_lines,
    read_document,
    write_lines,
)
from translator.system.disk import read_file, write_file
from translator.translation.files import text_line, translate_to_file
from translator.translation.result import Translation
from translator.translation.tally import Tally
from translator.translation.translator import Translator


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
    tally: Tally = field(default_factory=Tally)  # of the different texts
    wrong: list[Warned] = field(default_factory=list)  # what did not come out as it went in


@dataclass
class _Watch:
    """What is known of the texts of a document, each by itself and together."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def __call__(self, found: Translation) -> None:
        if left := [f for s in found.segments if s.repair for f in s.repair.left]:
            self.faults[found.source] = left
        if wrong := self.tally.add(found):
            self.wrong[found.source] = wrong

    def state(self) -> dict[str, Any]:
        return {"faults": self.faults, "wrong": self.wrong, "tally": self.tally.state()}

    def resume(self, state: dict[str, Any]) -> None:
        self.faults, self.wrong = state["faults"], state["wrong"]
        self.tally.resume(state["tally"])


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

    Texts that occur again are translated once. An interrupted call continues where it stopped. A
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
    document, dst = _open(Path(src), format, columns), Path(dst)
    watch = _Watch()
    unique = list_lines(document)
    work = dst.with_name(f".{dst.name}.segments")
    translate_to_file(translator, unique, work, text_line, show_bar, watch, **options)
    said = work.read_bytes().decode().split("\n")
    write_file(dst, write_lines(document, dict(zip(unique, said, strict=False))))
    work.unlink(missing_ok=True)

    def warned(said: dict[str, list[str]]) -> list[Warned]:
        return [
            Warned(document.line(piece), line, said[line])
            for piece in document.pieces
            for line in piece.text.split("\n")
            if said.get(line)
        ]

    n_words = sum(len(piece.text.split()) for piece in document.pieces)
    seconds = time.monotonic() - start
    n_pieces = len(document.pieces)
    return DocumentResult(
        *(n_pieces, n_words, seconds, warned(watch.faults)),
        *(watch.tally, warned(watch.wrong)),
    )


def _open(src: Path, format: str | None, columns: Sequence[str]) -> Readable:
    chosen = format or format_of(src)
    if chosen is None:
        raise TranslatorError(
            f"{src} has no ending of a known format: name one of {', '.join(FORMATS)}."
        )
    return read_document(read_file(src), chosen, str(src), columns)
