"""Many lines into a file that survives an interruption."""

import bz2
import functools
import gzip
import io
import json
import lzma
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translator.config.errors import TranslatorError
from translator.storage.model_folder import Model
from translator.system import disk
from translator.text.lines import blocks
from translator.translation import files
from translator.translation.files import translate_to_file
from translator.translation.result import Translation
from translator.translation.translator import Translator

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


def test_an_interrupted_file_is_resumed(translator: Counting, tmp_path: Path) -> None:
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


def test_a_failed_file_is_resumed_too(translator: Counting, tmp_path: Path) -> None:
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
def test_another_job_starts_over(
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


def test_another_model_starts_over(
    translator: Counting, model_folder: Path, tmp_path: Path
) -> None:
    interrupt(translator, tmp_path / "out.de")
    other = Counting(Translator.load(model_folder, device="cpu"))
    run(other, LINES, tmp_path / "out.de", render)
    assert len(other.asked) == 3


# What is not certainly this program's work is left untouched.

NOTES = [b"", b"{", b"[]", b"null", b'{"job": 1}', b"\xff", None]


@pytest.mark.parametrize("note", NOTES)
def test_work_whose_note_cannot_be_read_is_kept(
    translator: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture, note: bytes | None
) -> None:
    output, partial = tmp_path / "out.de", tmp_path / "out.de.partial"
    interrupt(translator, output)
    done = partial.read_bytes()
    assert done
    if note is None:
        (tmp_path / "out.de.partial.json").unlink()
    else:
        (tmp_path / "out.de.partial.json").write_bytes(note)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    interrupt(translator, output)
    run(translator, LINES, output, render)
    assert output.read_bytes() == translator.expected()
    assert translator.asked == [LINES[3:6], LINES[6:]]  # it went on from the second attempt
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path != output} == before
    assert str(partial) in caplog.text and "stays untouched" in caplog.text


@pytest.mark.parametrize("name", ["out.de.partial", "out.de.partial.json"])
def test_a_file_of_the_users_with_such_a_name_is_never_touched(
    translator: Counting, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("my own")
    run(translator, LINES, tmp_path / "out.de", render)
    assert (tmp_path / "out.de").read_bytes() == translator.expected()
    assert (tmp_path / name).read_text() == "my own"
    assert {path.name for path in tmp_path.iterdir()} == {name, "out.de"}


@pytest.mark.parametrize("moment", ["os:replace", "os:fsync"])
@pytest.mark.parametrize("call", range(1, 9))
def test_a_kill_at_any_moment_loses_at_most_a_block(
    translator: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, call: int
) -> None:
    """The process is dead before the `call`th rename or sync."""
    output, name = tmp_path / "out.de", moment.partition(":")[2]
    original, calls = getattr(os, name), 0

    class Killed(BaseException):
        pass

    def deadly(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return original(*arguments)

    monkeypatch.setattr(os, name, deadly)
    try:
        run(translator, LINES, output, render)
    except Killed:
        n_asked = len(translator.asked)
        monkeypatch.undo()
        monkeypatch.setattr(files, "blocks", functools.partial(blocks, size=3))
        run(translator, LINES, output, render)
        assert len(translator.asked) <= 3 + 1 or n_asked == 3
    assert output.read_bytes() == translator.expected()
    assert {path.name for path in tmp_path.iterdir()} <= {"out.de", ".out.de.partial.json.tmp"}


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_note_is_never_written_in_part(
    translator: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """A write that stops in the middle leaves the note of the block before."""
    output, calls = tmp_path / "out.de", 0

    class HalfWritten:
        def __init__(self, file):  # type: ignore[no-untyped-def]
            self.file = file

        def __enter__(self):  # type: ignore[no-untyped-def]
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            nonlocal calls
            calls += 1
            if calls == 3:  # the first is that of the beginning
                self.file.write(data[:cut])
                self.file.flush()
                raise KeyboardInterrupt
            written: int = self.file.write(data)
            return written

    def half_written(path: Path, mode: str) -> HalfWritten:
        return HalfWritten(path.open(mode))

    monkeypatch.setattr(disk, "open", half_written, raising=False)
    with pytest.raises(KeyboardInterrupt):
        run(translator, LINES, output, render)
    monkeypatch.delattr(disk, "open")
    assert len(translator.asked) == 2
    translator.asked.clear()
    run(translator, LINES, output, render)
    assert translator.asked == [LINES[3:6], LINES[6:]]
    assert output.read_bytes() == translator.expected()


# The file that is there keeps what it is.


def test_a_symlink_is_followed(translator: Counting, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "out.de").symlink_to(tmp_path / "store" / "real.de")
    for _ in range(2):  # the target is not there; it is
        run(translator, LINES, tmp_path / "out.de", render)
        assert (tmp_path / "out.de").is_symlink()
        assert (tmp_path / "store" / "real.de").read_bytes() == translator.expected()
        (tmp_path / "store" / "real.de").write_text("older")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["real.de"]


def test_mode_and_hard_links_stay(translator: Counting, tmp_path: Path) -> None:
    output, link = tmp_path / "out.de", tmp_path / "link.de"
    output.write_text("older")
    output.chmod(0o640)
    run(translator, LINES, output, render)
    assert output.stat().st_mode & 0o777 == 0o640
    os.link(output, link)
    output.write_text("older")
    inode = output.stat().st_ino
    run(translator, LINES, output, render)
    assert output.stat().st_ino == link.stat().st_ino == inode
    assert link.read_bytes() == translator.expected()
    assert output.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"out.de", "link.de"}


def unpack_zstandard(data: bytes) -> bytes:
    unpacked: bytes = pyarrow.input_stream(io.BytesIO(data), compression="zstd").read()
    return unpacked


@pytest.mark.parametrize(
    "name, unpack",
    [("out.gz", gzip.decompress), ("OUT.GZ", gzip.decompress), ("out.de.bz2", bz2.decompress)]
    + [("out.de.xz", lzma.decompress), ("out.zst", unpack_zstandard), ("out.gzip", bytes)],
)
def test_a_name_says_how_a_file_is_packed(
    translator: Counting, tmp_path: Path, name: str, unpack: Callable[[bytes], bytes]
) -> None:
    output = tmp_path / name
    interrupt(translator, output)
    run(translator, LINES, output, render)
    assert unpack(output.read_bytes()) == translator.expected()
    assert translator.asked == [LINES[3:6], LINES[6:]]
    whole = output.read_bytes()
    run(translator, LINES, output, render)
    assert output.read_bytes() == whole  # there is no clock in it
    run(translator, [], output, render)
    assert unpack(output.read_bytes()) == b""


def test_lines_may_come_from_an_iterator(translator: Counting, tmp_path: Path) -> None:
    run(translator, iter(LINES), tmp_path / "out.de", render)
    assert (tmp_path / "out.de").read_bytes() == translator.expected()


# Two jobs.


def test_two_jobs_cannot_write_the_same_file(translator: Counting, tmp_path: Path) -> None:
    output, link = tmp_path / "out.de", tmp_path / "link.de"
    link.symlink_to(output)

    class Second(Counting):
        def translate_lines(self, lines: list[str], **options: object) -> list[Translation]:
            for name in (output, link):
                with pytest.raises(TranslatorError, match=f"{name} is in use by .*{os.getpid()}"):
                    run(translator, LINES, name, render)
            return super().translate_lines(lines, **options)

    run(Second(translator.translator), LINES, output, render)
    assert output.read_bytes() == translator.expected()
    assert translator.asked == []
    assert {path.name for path in tmp_path.iterdir()} == {"out.de", "link.de"}


SLOW = """
import sys, time
from pathlib import Path
from translator import Translator
from translator.translation.files import translate_to_file

translator = Translator.load(sys.argv[1], device="cpu")
translate_lines = translator.translate_lines

def slow(lines, **options):
    print("begun", flush=True)
    time.sleep(60)

translator.translate_lines = slow
translate_to_file(translator, ["The dog runs."], Path(sys.argv[2]), lambda found: found.text)
"""


def test_sigterm_ends_a_translation_as_ctrl_c_does(
    model_folder: Path, subprocess_environment: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(model_folder), str(tmp_path / "out.de")],
        env=subprocess_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert "0 of 1 lines are done; the same command continues from there." in errors
    assert not (tmp_path / "out.de").exists()


def test_a_truncated_partial_file_starts_over(translator: Counting, tmp_path: Path) -> None:
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
