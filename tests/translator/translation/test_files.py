"""Lines from a stream as they come, and into a file that survives an interruption."""

import functools
import io
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANY_LINE

from translator.config.errors import TranslatorError
from translator.storage.model_folder import Model
from translator.text.lines import blocks, blocks_as_they_come
from translator.translation import files
from translator.translation.files import translate_to_file
from translator.translation.result import Translation
from translator.translation.translator import Translator


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


# --- lines as they come -------------------------------------------------------------------------


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


def test_who_writes_fast_is_served_in_batches(pipe) -> None:
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


# --- into a file --------------------------------------------------------------------------------

LINES = [
    *("The dog runs here.", "", "The man sleeps today. The bird sings often.", "  ", "dog"),
    *("  The boy waits slowly.  ", "\u2028\x85\x0c", "The doctor laughs.\r", "The 👍🏽 dog runs."),
]


def render(translation: Translation) -> str:
    return translation.text + "\n"


def render_with_score(translation: Translation) -> str:
    return f"{translation.score:.4f}\t{translation.text}\n"


@pytest.fixture(scope="module")
def model_translator(random_model: Model) -> Translator:
    return Translator(random_model)


@pytest.fixture
def translator(
    model_translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> Iterator["Counting"]:
    """In blocks of three lines."""
    monkeypatch.setattr(files, "blocks", functools.partial(blocks, size=3))
    yield Counting(model_translator)


class Counting:
    """A `Translator` that remembers what it was asked for, and may be interrupted."""

    def __init__(self, translator: Translator):
        self.translator = translator
        self.models = translator.models
        self.asked: list[list[str]] = []
        self.error_at: int | None = None
        self.error: type[BaseException] = KeyboardInterrupt

    def __getattr__(self, name: str) -> object:
        return getattr(self.translator, name)

    def translate_lines(self, lines: list[str], **options: object) -> list[Translation]:
        self.asked.append(lines)
        if len(self.asked) - 1 == self.error_at:
            raise self.error("stopped here")
        return self.translator.translate_lines(lines, **options)  # type: ignore[arg-type]

    def expected(self, lines: list[str] = LINES, **options: object) -> bytes:
        found = self.translator.translate_lines(lines, **options)  # type: ignore[arg-type]
        return "".join(map(render, found)).encode()


def run(translator: Counting, *args: object, **options: object) -> None:
    translate_to_file(translator, *args, **options)  # type: ignore[arg-type]


def test_a_file_appears_whole(translator: Counting, tmp_path: Path) -> None:
    output = tmp_path / "out.de"
    output.write_text("an older one\n")
    run(translator, LINES, output, render)
    assert output.read_bytes() == translator.expected()
    assert translator.asked == [LINES[:3], LINES[3:6], LINES[6:]]
    assert list(tmp_path.iterdir()) == [output]


def test_no_lines_give_an_empty_file(translator: Counting, tmp_path: Path) -> None:
    run(translator, [], tmp_path / "out.de", render)
    assert (tmp_path / "out.de").read_bytes() == b""


def interrupt(translator: Counting, output: Path, lines: list[str] = LINES, **options: object):
    """Stops the job after one block of three."""
    translator.error_at = 1
    with pytest.raises(translator.error) as caught:
        run(translator, lines, output, render, **options)
    translator.error_at = None
    translator.asked.clear()
    return caught.value


def test_an_interrupted_file_goes_on(translator: Counting, tmp_path: Path) -> None:
    output = tmp_path / "out.de"
    output.write_text("an older one\n")
    stopped = interrupt(translator, output)
    assert "3 of 9 lines are done" in str(stopped)
    assert output.read_text() == "an older one\n"
    with open(tmp_path / "out.de.partial", "ab") as partial:
        partial.write(b"half a li")  # what was written since the last note
    run(translator, LINES, output, render)
    assert output.read_bytes() == translator.expected()
    assert translator.asked == [LINES[3:6], LINES[6:]]
    assert list(tmp_path.iterdir()) == [output]


def test_a_failed_file_goes_on_too(translator: Counting, tmp_path: Path) -> None:
    translator.error = TranslatorError
    interrupt(translator, tmp_path / "out.de")
    run(translator, LINES, tmp_path / "out.de", render)
    assert translator.asked == [LINES[3:6], LINES[6:]]


def test_a_file_can_be_interrupted_again_and_again(translator: Counting, tmp_path: Path) -> None:
    for n_done in (3, 6):
        stopped = interrupt(translator, tmp_path / "out.de")
        assert f"{n_done} of 9" in str(stopped)
    run(translator, LINES, tmp_path / "out.de", render)
    assert (tmp_path / "out.de").read_bytes() == translator.expected()
    assert translator.asked == [LINES[6:]]


@pytest.mark.parametrize("what", ["lines", "order", "search", "split", "form", "precision"])
def test_another_job_begins_anew(
    translator: Counting, random_model: Model, tmp_path: Path, what: str
) -> None:
    output, lines, form, options = tmp_path / "out.de", LINES, render, {}
    interrupt(translator, output)
    if what == "lines":
        lines = [*LINES[:-1], "The dog runs today."]
    elif what == "order":
        lines = [*LINES[:3], *LINES[:2:-1]]
    elif what == "search":
        options["search"] = translator.search_config(length_penalty=0.5)
    elif what == "split":
        options["split"] = "never"
    elif what == "form":
        form = render_with_score
    elif what == "precision":
        translator = Counting(Translator(random_model, precision="bf16"))
    run(translator, lines, output, form, **options)
    assert translator.asked == [lines[:3], lines[3:6], lines[6:]]
    if form is render:
        assert output.read_bytes() == translator.expected(lines, **options)
    assert list(tmp_path.iterdir()) == [output]


def test_another_model_begins_anew(
    translator: Counting, model_folder: Path, tmp_path: Path
) -> None:
    interrupt(translator, tmp_path / "out.de")
    other = Counting(Translator.load(model_folder, device="cpu"))
    run(other, LINES, tmp_path / "out.de", render)
    assert len(other.asked) == 3


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"null", b'{"job": 1}', b"\xff"])
def test_a_damaged_note_begins_anew(translator: Counting, tmp_path: Path, note: bytes) -> None:
    interrupt(translator, tmp_path / "out.de")
    (tmp_path / "out.de.partial.json").write_bytes(note)
    run(translator, LINES, tmp_path / "out.de", render)
    assert (tmp_path / "out.de").read_bytes() == translator.expected()
    assert len(translator.asked) == 3


def test_a_partial_file_that_lost_its_end_begins_anew(translator: Counting, tmp_path: Path) -> None:
    interrupt(translator, tmp_path / "out.de")
    note = json.loads((tmp_path / "out.de.partial.json").read_text())
    assert note["lines"] == 3
    os.truncate(tmp_path / "out.de.partial", note["bytes"] - 1)
    run(translator, LINES, tmp_path / "out.de", render)
    assert (tmp_path / "out.de").read_bytes() == translator.expected()


@settings(max_examples=9)
@given(stop=st.integers(0, 2), extra=st.binary(max_size=20))
def test_wherever_it_stops_the_file_is_the_same(
    model_translator: Translator, tmp_path_factory: pytest.TempPathFactory, stop: int, extra: bytes
) -> None:
    output = tmp_path_factory.mktemp("out") / "out.de"
    lines = LINES[:6]
    whole = "".join(map(render, model_translator.translate_lines(lines))).encode()
    translator = Counting(model_translator)
    translator.error_at = stop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "blocks", functools.partial(blocks, size=2))
        with pytest.raises(KeyboardInterrupt):
            run(translator, lines, output, render)
        with open(output.with_name("out.de.partial"), "ab") as partial:
            partial.write(extra)
        run(translator, lines, output, render)
    assert output.read_bytes() == whole
    assert sum(map(len, translator.asked)) == 6 + 2  # one block was begun twice
