"""Many lines: from a file or standard input, to a file that survives an interruption.

Nothing here holds more than a block of lines.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from data_prep.formats import decode_line
from translator.checkpoint import read_description
from translator.config import write_json
from translator.segments import Translation
from translator.translate import Translator

log = logging.getLogger("translator")

BLOCK = 512  # lines


def blocks(lines: Iterable[str], size: int = BLOCK) -> Iterator[list[str]]:
    """`lines` in lists of `size`; the last may be shorter."""
    iterator = iter(lines)
    while block := list(itertools.islice(iterator, size)):
        yield block


def blocks_as_they_come(file: BinaryIO, name: str, size: int = BLOCK) -> Iterator[list[str]]:
    """The lines of a stream, at once as many as have come and at most `size`.

    A thread reads ahead, at most `size` lines: who writes slowly gets each line's answer at once,
    and who writes fast is served in batches.

    Raises:
        TranslatorError: bytes that are not UTF-8; the lines before them are given out first.
    """
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(size)

    def read() -> None:
        try:
            for raw in _raw_lines(file):
                waiting.put(raw)
            waiting.put(None)
        except BaseException as error:  # for the other thread to raise
            waiting.put(error)

    threading.Thread(target=read, daemon=True).start()
    number = 0
    while True:
        items = [waiting.get()]
        while isinstance(items[-1], bytes) and len(items) < size and not waiting.empty():
            items.append(waiting.get())
        last = items[-1]
        block = []
        try:
            for raw in items:
                if isinstance(raw, bytes):
                    number += 1
                    block.append(decode_line(raw, name, number))
        finally:
            if block:
                yield block
        if isinstance(last, BaseException):
            raise last
        if last is None:
            return


def _raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines with their "\\n". Read without the lock of a buffer, which would hang at an exit."""
    unbuffered = getattr(file, "raw", file)
    begun = b""
    while chunk := unbuffered.read(1 << 16):
        *whole, begun = (begun + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if begun:
        yield begun


def translate_to_file(
    translator: Translator,
    lines: Iterable[str],
    output: Path,
    render: Callable[[Translation], str],
    show_bar: bool = False,
    **options: Any,
) -> int:
    """Translates `lines` into `output`, which appears once it is whole.

    Until then the work is in `FILE.partial`, and `FILE.partial.json` says how much of which job it
    holds; the same job goes on from there.

    Args:
        translator: what translates.
        lines: gone through twice, so no iterator.
        output: the file.
        render: makes of each result what is written.
        show_bar: whether there is a progress bar.
        **options: of `Translator.translate_lines`.

    Returns:
        How many lines were translated now, and not in an earlier, interrupted call.

    Raises:
        KeyboardInterrupt: with a message that says how many lines are done.
    """
    partial = output.with_name(output.name + ".partial")
    progress_file = output.with_name(output.name + ".partial.json")
    job, total = _job_key(translator, lines, render, options)
    done = size = 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        progress = json.loads(progress_file.read_text())
        if progress["job"] == job and partial.stat().st_size >= progress["bytes"]:
            done, size = progress["lines"], progress["bytes"]
            log.info("Going on after the %d lines that are done.", done)
    begun_at = done
    bar = tqdm(total=total, initial=done, unit="line", disable=not show_bar, leave=False)
    with open(partial, "ab") as file, bar:
        file.truncate(size)
        try:
            for block in blocks(itertools.islice(lines, done, None)):
                found = translator.translate_lines(block, **options)
                file.write("".join(map(render, found)).encode())
                file.flush()
                done += len(block)
                write_json(progress_file, {"job": job, "lines": done, "bytes": file.tell()})
                bar.update(len(block))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{done} of {total} lines are done; the same command goes on from there."
            ) from None
    os.replace(partial, output)
    progress_file.unlink(missing_ok=True)
    return done - begun_at


def _job_key(
    translator: Translator,
    lines: Iterable[str],
    render: Callable[[Translation], str],
    options: dict[str, Any],
) -> tuple[str, int]:
    """A hash of what a job's output depends on (lines, models, options, form), and its lines."""
    described = [read_description(m.folder) if m.folder else {} for m in translator.models]
    weights = [(d.get("sha256"), d.get("confidence")) for d in described]
    example = render(Translation("s", "t", -1.0, [("t", -1.0)]))
    digest = hashlib.sha256(repr((weights, translator.precision, options, example)).encode())
    total = 0
    for line in lines:
        digest.update(f"{line}\n".encode())
        total += 1
    return digest.hexdigest(), total
