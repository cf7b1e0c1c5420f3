"""Lines of text, from files and streams, plain or packed; only "\\n" ends a line.

Imports no torch: the command line reads lines before it loads a model.
"""

import bz2
import gzip
import io
import itertools
import logging
import lzma
import queue
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from translator.config.errors import TranslatorError

log = logging.getLogger("translator")

Item = TypeVar("Item")
TextPair = tuple[str, str]
PACKINGS = (".gz", ".bz2", ".xz", ".zst")
# Bytes. No sentence is as long: such a "line" is a file without line ends, or no text at all.
MAX_LINE = 10_000_000

TOO_LONG = f"longer than {MAX_LINE // 10**6} MB, which is no sentence"
NUL_BYTE = "a NUL byte, so this is no text (or UTF-16: convert it to UTF-8)"

BLOCK = 512  # lines


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked. What goes wrong while it is open is a TranslatorError."""
    packing = path.suffix.lower() if path.suffix.lower() in PACKINGS else ""
    try:
        with open(path, "rb") as raw, _unpacked(raw, packing) as file:
            if packing and not raw.peek(1):
                raise EOFError  # even nothing has a header when it is compressed
            yield file if file is raw else io.BufferedReader(file)
    except FileNotFoundError:
        raise TranslatorError(f"There is no file {path}.") from None
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None
        # gzip and pyarrow tell of broken content by an OSError without a number.
        raise TranslatorError(
            f"{path} is cut short or no {packing[1:]} file: get it again."
        ) from None


def _unpacked(raw: io.BufferedReader, packing: str) -> Any:
    if packing == ".gz":
        return gzip.open(raw)
    if packing == ".bz2":
        return bz2.open(raw)
    if packing == ".xz":
        return lzma.open(raw)
    if packing == ".zst":
        import pyarrow  # comes with datasets; it sees a truncated file, and a wrong checksum

        return pyarrow.input_stream(raw, compression="zstd")
    return raw


def read_lines(path: Path) -> list[str]:
    """All lines of a text file, see `iterate_lines`."""
    return list(iterate_lines(path))


def iterate_lines(path: Path, limit: int = -1) -> Iterator[str]:
    """The lines of a UTF-8 text file, plain or packed, one by one. Only "\\n" ends a line.

    Raises:
        TranslatorError: not there, not UTF-8 (names the line), damaged, or a line has `limit`
            bytes or more.
    """
    name = str(path)
    with open_bytes(path) as file:
        for number, raw in enumerate(iter(partial(file.readline, limit), b""), start=1):
            if len(raw) == limit:
                raise TranslatorError(f"{name}, line {number}: {TOO_LONG}.")
            yield decode_line(raw, name, number)


def decode_line(raw: bytes, name: str, number: int) -> str:
    """A line of bytes -> its text without the "\\n"; `name` and `number` are for the error."""
    if number == 1 and _is_utf16(raw):
        raise TranslatorError(
            f"{name} is UTF-16: convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8."
        )
    try:
        return raw.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise TranslatorError(
            f"{name}, line {number}: not UTF-8. Convert the file first."
        ) from None


def _is_utf16(raw: bytes) -> bool:
    """Whether a first line has the byte order mark of UTF-16, or is ASCII in it without one."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return len(raw) > 3 and max(raw[::2].count(0), raw[1::2].count(0)) > 0.4 * len(raw)


@cache
def say_once(text: str) -> None:
    log.warning(text)


def text_lines(path: Path) -> Iterator[str]:
    """Lines to learn from: without the marks that Windows leaves, which are no text.

    Raises:
        TranslatorError: as `iterate_lines`, or there is a NUL byte.
    """
    for number, line in enumerate(iterate_lines(path, MAX_LINE), start=1):
        if number == 1 and line.startswith("\ufeff"):
            say_once(f"{path} begins with a byte order mark, which is left out.")
            line = line[1:]
        if line.endswith("\r"):
            say_once(f"{path} has Windows line endings, which are left out.")
            line = line[:-1]
        if "\0" in line:
            raise TranslatorError(f"{path}, line {number}: {NUL_BYTE}.")
        yield line


def blocks(items: Iterable[Item], size: int = BLOCK) -> Iterator[list[Item]]:
    """Lines, or anything else, in lists of `size`; the last may be shorter."""
    iterator = iter(items)
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
