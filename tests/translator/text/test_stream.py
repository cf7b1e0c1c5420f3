"""Lines in blocks, and from a stream as they come."""

import io
import itertools
import os
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ANY_LINE

from translator.config.errors import TranslatorError
from translator.text.lines import blocks, blocks_as_they_come


class Chunks:
    """A stream that gives so many bytes at a time, as a pipe does."""

    def __init__(self, *chunks: bytes):
        self.left = list(chunks)
        self.n_given = 0

    def read(self, size: int) -> bytes:
        self.n_given += 1
        return self.left.pop(0) if self.left else b""


def test_blocks_are_all_lines_in_order() -> None:
    lines = [str(i) for i in range(10)]
    assert list(blocks(lines, 4)) == [lines[:4], lines[4:8], lines[8:]]
    assert list(blocks(lines, 5)) == [lines[:5], lines[5:]]
    assert list(blocks([])) == []


def test_blocks_hold_no_more_than_they_need() -> None:
    endless = (str(i) for i in itertools.count())
    assert next(blocks(endless, 3)) == ["0", "1", "2"]
    assert next(endless) == "3"


@given(lines=st.lists(ANY_LINE, max_size=8), cuts=st.lists(st.integers(1, 200), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_come(lines: list[str], cuts: list[int]) -> None:
    """Not even if a character is torn apart."""
    data = "".join(line + "\n" for line in lines).encode()
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    chunks = [data[start:end] for start, end in itertools.pairwise([0, *ends]) if start < end]
    found = list(blocks_as_they_come(Chunks(*chunks), "it", 3))  # type: ignore[arg-type]
    assert [line for block in found for line in block] == lines
    assert all(1 <= len(block) <= 3 for block in found)


@pytest.mark.parametrize(
    "data, lines",
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\r\nb\r", ["a\r", "b\r"]),
        (b"\n\na", ["", "", "a"]),
    ],
)
def test_a_last_line_needs_no_end(data: bytes, lines: list[str]) -> None:
    assert [
        line for block in blocks_as_they_come(io.BytesIO(data), "it") for line in block
    ] == lines


def test_a_line_longer_than_what_is_read_at_once() -> None:
    lines = ["ä" * 100_001, "b", "€" * 70_000]
    data = "\n".join(lines).encode()
    assert [
        line for block in blocks_as_they_come(io.BytesIO(data), "it") for line in block
    ] == lines


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, Iterator[list[str]]]]:
    """The end to write to, and the blocks at the other."""
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb", buffering=0) as sink:
        yield sink, blocks_as_they_come(source, "it", 4)


def test_each_line_is_given_out_before_the_next_comes(pipe) -> None:
    sink, found = pipe
    for line in ("one", "two", "three"):
        sink.write(line.encode() + b"\n")
        assert next(found) == [line]
    sink.write(b"fo")
    sink.write(b"ur\n")
    assert next(found) == ["four"]
    sink.write(b"five")
    sink.close()
    assert list(found) == [["five"]]


def test_fast_input_is_translated_in_batches(pipe) -> None:
    sink, found = pipe
    sink.write(b"0\n")
    assert next(found) == ["0"]
    sink.write(b"".join(b"%d\n" % i for i in range(1, 12)))
    sink.close()
    sizes, lines = [], []
    for block in found:
        sizes.append(len(block))
        lines += block
        time.sleep(0.2)  # as a search takes
    assert lines == [str(i) for i in range(1, 12)]
    assert sizes[1:-1] == [4] * len(sizes[1:-1])  # the first may be smaller, the last is the rest


def test_no_more_is_read_than_is_soon_needed() -> None:
    source = Chunks(*[b"a line\n"] * 1000)
    found = blocks_as_they_come(source, "it", 5)  # type: ignore[arg-type]
    next(found)
    time.sleep(0.1)
    assert source.n_given < 20


@pytest.mark.parametrize("n_before", [0, 1, 5, 6, 9])
def test_lines_before_one_that_is_not_utf8_are_given_out(n_before: int) -> None:
    lines = [f"line {i}" for i in range(1, n_before + 1)]
    data = "".join(line + "\n" for line in lines).encode() + b"M\xe4dchen\nmore\n"
    found = []
    with pytest.raises(TranslatorError, match=f"^it, line {n_before + 1}: not UTF-8") as caught:
        for block in blocks_as_they_come(io.BytesIO(data), "it", 5):
            found += block
    assert found == lines
    assert caught.value.__suppress_context__


def test_a_stream_that_breaks_says_so_behind_its_lines() -> None:
    class Broken(Chunks):
        def read(self, size: int) -> bytes:
            if not self.left:
                raise OSError(5, "Input/output error")
            return super().read(size)

    found = blocks_as_they_come(Broken(b"a\n", b"b\nc"), "it")  # type: ignore[arg-type]
    lines = []
    with pytest.raises(OSError, match="Input/output"):
        for block in found:
            lines += block
    assert lines == ["a", "b"]


def test_no_thread_is_left_when_all_is_read() -> None:
    before = threading.active_count()
    for _ in range(5):
        list(blocks_as_they_come(io.BytesIO(b"a\nb\n"), "it"))
    for _ in range(100):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert threading.active_count() <= before
