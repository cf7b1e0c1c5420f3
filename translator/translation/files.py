"""Translates many lines into a file, safe against interruption and other jobs.

Nothing here holds more than a block of lines in memory.
"""

import bz2
import functools
import gzip
import hashlib
import itertools
import json
import logging
import lzma
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from translator.storage.model_folder import read_description
from translator.system.disk import write_json, writing
from translator.system.lock import exclusive
from translator.system.signals import sigterm_interrupts
from translator.text.lines import blocks
from translator.translation.result import Translation
from translator.translation.translator import Translator

log = logging.getLogger("translator")


def _pack_zstandard(data: bytes) -> bytes:
    import pyarrow  # comes with datasets

    packed: bytes = pyarrow.compress(data, codec="zstd", asbytes=True)
    return packed


# Compressors by the ending of a file's name; compressed blocks in a row are a compressed file.
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": functools.partial(gzip.compress, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _pack_zstandard,
}


class Watch(Protocol):
    """Looks at each result of a job. What it knows stays with the finished part."""

    def __call__(self, found: Translation) -> object: ...

    def state(self) -> dict[str, Any]:
        """All that it knows, for JSON."""

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from the `state` of an earlier call."""


def translate_to_file(
    translator: Translator,
    lines: Iterable[str],
    output: Path,
    render: Callable[[Translation], str],
    show_bar: bool = False,
    watch: Watch | None = None,
    **options: Any,
) -> int:
    """Translates `lines` into `output`, which appears only when complete.

    Until then the work is in `FILE.partial`, and `FILE.partial.json` says how much of which job it
    holds, so that the same job continues from there. A file of that name that may come from
    elsewhere stays untouched, and the work goes to `FILE.partial.1`.

    Symbolic links are followed, and an existing file keeps its mode and hard links. If the name
    ends in `.gz`, `.bz2`, `.xz` or `.zst`, the file is compressed. (Long, because all of it happens
    under one lock.)

    Args:
        translator: the translator to use.
        lines: the sources; read twice, so an iterator is held in memory.
        output: the file to write.
        render: turns a result into the text to write.
        show_bar: whether to show a progress bar.
        watch: called with each result; an interrupted job whose note lacks its state starts over.
        **options: further arguments of `Translator.translate_lines`.

    Returns:
        The number of lines translated in this call, not counting earlier, interrupted ones.

    Raises:
        TranslatorError: another job is writing the file, or the disk cannot be written.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the message says how many lines are done.
    """
    lines = list(lines) if isinstance(lines, Iterator) else lines
    pack = _PACKERS.get(output.suffix.lower(), bytes)
    target = Path(os.path.realpath(output))
    with exclusive(target.with_name(f".{target.name}.translator.lock"), str(output)):
        job, total = _job_key(translator, lines, pack(render(_EXAMPLE).encode()), options)
        work = _find_work(target, job, watch)
        begun_at = work.lines
        if begun_at:
            log.info("Continuing after the %d lines that are done.", begun_at)
        progress: dict[str, Any] = {"total": total, "initial": begun_at, "unit": "line"}
        bar = tqdm(**progress, desc="translating", disable=not show_bar, leave=False)
        try:
            with sigterm_interrupts(), bar:
                if not begun_at:
                    work.begin(pack(b""))
                for block in blocks(itertools.islice(lines, begun_at, None)):
                    found = translator.translate_lines(block, **options)
                    if watch:
                        for translation in found:
                            watch(translation)
                    work.add(len(block), pack("".join(map(render, found)).encode()))
                    bar.update(len(block))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{work.lines} of {total} lines are done; the same command continues from there."
            ) from None
        with writing(output):
            _publish(work.file, target)
            work.note.unlink(missing_ok=True)
        return work.lines - begun_at


def text_line(found: Translation) -> str:
    """Renders a result as its text alone."""
    return found.text + "\n"


_EXAMPLE = Translation("s", "t", -1.0, [("t", -1.0)])


def _job_key(
    translator: Translator, lines: Iterable[str], example: bytes, options: dict[str, Any]
) -> tuple[str, int]:
    """A hash of all that a job's output depends on, and the number of its lines."""
    described = [read_description(m.folder) if m.folder else {} for m in translator.models]
    weights = [(d.get("sha256"), d.get("confidence")) for d in described]
    decoder = translator.decoder
    searched_by = decoder.engine.name if decoder.engine else decoder.fixed
    about = (weights, translator.precision, searched_by, options, example)
    digest = hashlib.sha256(repr(about).encode())
    total = 0
    for line in lines:
        digest.update(f"{line}\n".encode())
        total += 1
    return digest.hexdigest(), total


@dataclass
class _Work:
    """The finished part of a job: a file, and a note beside it that is written as a whole."""

    job: str
    file: Path
    watch: Watch | None = None
    lines: int = 0
    size: int = 0  # bytes of the file that the note confirms

    @property
    def note(self) -> Path:
        return self.file.with_name(self.file.name + ".json")

    def begin(self, head: bytes) -> None:
        """Creates the file with `head` in it, after the note that says whose it is."""
        with writing(self.file):
            self._write_note()
            self._append(head, at=0)

    def add(self, n_lines: int, data: bytes) -> None:
        """Appends `data`, the output for `n_lines`, and then updates the note.

        Raises:
            TranslatorError: the disk cannot be written.
        """
        with writing(self.file):
            self._append(data, at=self.size)
            self.lines += n_lines
            self._write_note()

    def _append(self, data: bytes, at: int) -> None:
        with open(self.file, "ab") as file:
            file.truncate(at)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.size = at + len(data)

    def _write_note(self) -> None:
        note = {"job": self.job, "lines": self.lines, "bytes": self.size}
        write_json(self.note, note | ({"watched": self.watch.state()} if self.watch else {}))


def _find_work(output: Path, job: str, watch: Watch | None) -> _Work:
    """Finds the work of an earlier call, or starts over in place of another job's.

    Files whose note is damaged or missing stay untouched: they may be the user's own.
    """
    for number in itertools.count():
        name = f"{output.name}.partial{f'.{number}' * bool(number)}"
        work = _Work(job, output.with_name(name), watch)
        if not os.path.lexists(work.file) and not os.path.lexists(work.note):
            break
        try:
            note = json.loads(work.note.read_bytes())
            of_job, n_lines, size = str(note["job"]), int(note["lines"]), int(note["bytes"])
            watched = note.get("watched")
        except (OSError, ValueError, KeyError, TypeError):
            log.warning(
                "%s stays untouched: this program did not write it, or its note %s is damaged.",
                *(work.file, work.note.name),
            )
            continue
        whole = work.file.is_file() and work.file.stat().st_size >= size
        if of_job == job and whole and (watch is None or watched is not None):
            work.lines, work.size = n_lines, size
            if watch:
                watch.resume(watched)
        break
    return work


def _publish(whole: Path, output: Path) -> None:
    """Moves a complete file to `output`; an existing file keeps its mode, owner and links."""
    if output.exists():
        old, new = output.stat(), whole.stat()
        if old.st_nlink > 1 or (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            # Renaming would break its links or owner. If this is interrupted, `whole` remains.
            with open(whole, "rb") as source, open(output, "wb") as target:
                shutil.copyfileobj(source, target)
                target.flush()
                os.fsync(target.fileno())
            whole.unlink()
            return
        shutil.copymode(output, whole)
    os.replace(whole, output)
