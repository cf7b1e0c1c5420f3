"""A disk that is full or read-only, a corpus that is gone: one line, and nothing is lost."""

import errno
import importlib
import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from translator.cli.main import app
from translator.storage import run_log, training_state
from translator.storage.run_folder import resume_candidates
from translator.storage.training_state import load_checkpoint
from translator.system import disk
from translator.training import validation

CLOCKS = {"seconds", "tokens_per_second"}
STEPS = 6
Train = Callable[..., Result]


@pytest.fixture(scope="module")
def train(corpus_folder: Path, tiny_options: list[str]) -> Train:
    """`translator train` in this process: a checkpoint and a validation every two steps."""
    settings = {"log_every": 1, "validate_every": 2, "cooldown": 0.0, "keep_checkpoints": 2}
    options = [*tiny_options, "--checkpoint-every", "2", "--threads", "1", "--quiet"]
    options += [part for k, v in settings.items() for part in ("--set", f"train.{k}={v}")]

    def call(run: Path, steps: int = STEPS, corpus: Path = corpus_folder) -> Result:
        command = ["train", "--run", str(run), "--data", str(corpus), "--steps", str(steps)]
        return CliRunner().invoke(app, [*command, *options])

    return call


@pytest.fixture(scope="module", autouse=True)
def without_by_work() -> Iterator[None]:
    """A second of matplotlib at the end of each run, and a probe of the memory at its start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "plot_run", lambda run, output: None)
        patch.setattr("translator.training.setup.probe_memory", lambda *arguments: None)
        yield


@pytest.fixture(scope="module")
def whole(train: Train, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What a run ends with that nothing disturbs."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(run).exit_code == 0
    return outcome(run)


@pytest.fixture(scope="module")
def two_steps(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a checkpoint of step 2."""
    run = tmp_path_factory.mktemp("begun") / "run"
    assert train(run, steps=2).exit_code == 0
    return run


@pytest.fixture
def run(two_steps: Path, tmp_path: Path) -> Path:
    return shutil.copytree(two_steps, tmp_path / "run")


def outcome(run: Path) -> list[Any]:
    """Weights and optimizer, and what was logged apart from times."""
    names = ["model.safetensors", f"steps/{STEPS}/training.safetensors", "tokenizer.model"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [{k: v for k, v in line.items() if k not in CLOCKS} for line in lines]
    return [*((run / name).read_bytes() for name in names), logged]


def assert_one_line(result: Result, *words: object) -> None:
    """Exit code 1, and a single line that holds all words."""
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert not [word for word in words if str(word) not in line], line


def whole_steps(run: Path) -> list[int]:
    """The steps that the run can go on from; none of them is damaged."""
    assert not list((run / "steps").glob(".*"))  # nor has anything been left behind
    return [load_checkpoint(folder)[2].step for folder in resume_candidates(run)]


Fail = Callable[[str, str, int], None]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """`fail("module:name", path, errno)`: a call with a path that ends so fails, from now on."""

    def arrange(place: str, path: str, number: int) -> None:
        module, _, name = place.partition(":")
        *outer, last = name.split(".")
        owner: Any = importlib.import_module(module)
        for part in outer:
            owner = getattr(owner, part)
        original = getattr(owner, last, open)

        def call(*arguments: Any, **options: Any) -> Any:
            if any(str(argument).endswith(path) for argument in arguments):
                raise OSError(number, os.strerror(number))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, last, call, raising=False)

    return arrange


SAVED, BEGUN = (
    "translator.storage.model_folder:write_file",
    "translator.storage.run_folder:write_file",
)
STATE_SAVED = "translator.storage.training_state:write_file"
REPLACED, OPENED = "os:replace", "translator.storage.run_log:open"


@pytest.mark.parametrize(
    "number, place, path, left",
    [
        (errno.ENOSPC, SAVED, ".4.tmp/model.safetensors", [2]),
        (errno.EIO, STATE_SAVED, ".4.tmp/training.json", [2]),
        (errno.EROFS, REPLACED, "steps/4", [2]),
        (errno.EIO, "translator.storage.training_state:file_sha256", ".6.tmp/config.json", [4, 2]),
        (errno.EACCES, "pathlib:Path.unlink", "steps/2/training.json", [6, 4, 2]),
        (errno.EROFS, OPENED, "run/metrics.jsonl", [2]),
        (errno.EACCES, REPLACED, "run/metrics.jsonl", [2]),
        (errno.ENOSPC, SAVED, "run/model.safetensors", [6, 4]),
        (errno.EIO, SAVED, "run/config.json", [6, 4]),
        (errno.EROFS, "pathlib:Path.write_text", "run/README.md", [6, 4]),
    ],
)
def test_a_disk_that_fails_is_one_line_and_the_last_checkpoint_stays_whole(
    train: Train,
    run: Path,
    whole: list[Any],
    fail: Fail,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    place: str,
    path: str,
    left: list[int],
) -> None:
    fail(place, path, number)
    assert_one_line(train(run), os.strerror(number), run, "Check the disk; the same command")
    assert whole_steps(run) == left
    monkeypatch.undo()
    assert train(run).exit_code == 0
    assert outcome(run) == whole


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
def test_a_write_that_the_system_cuts_short(
    train: Train, run: Path, whole: list[Any], name: str
) -> None:
    """No simulation: files may not become as long as this one must."""
    size = (run / "steps" / "2" / name).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, before[1]))
    try:
        result = train(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_one_line(
        result, run / "steps" / "4", "cannot be saved: File too large", "Check the disk"
    )
    assert whole_steps(run) == [2]
    assert train(run).exit_code == 0
    assert outcome(run) == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("module, name", [(run_log, "metrics.jsonl"), (disk, "training.json")])
def test_a_write_to_a_full_device(
    train: Train,
    run: Path,
    whole: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
) -> None:
    def full(path: Path, mode: str) -> Any:
        return open("/dev/full" if name in path.name and mode != "rb" else path, mode)

    monkeypatch.setattr(module, "open", full, raising=False)
    assert_one_line(train(run), run, "No space left on device", "Check the disk")
    monkeypatch.undo()
    assert whole_steps(run) == [2]
    assert train(run).exit_code == 0
    assert outcome(run) == whole


@pytest.mark.parametrize("name", [".", "steps"])
def test_a_folder_without_permission(train: Train, run: Path, whole: list[Any], name: str) -> None:
    (run / name).chmod(0o555)
    if os.access(run / name, os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        result = train(run)
    finally:
        (run / name).chmod(0o755)
    assert_one_line(result, run, "Permission denied", "Check the disk")
    assert whole_steps(run) == [2]
    assert train(run).exit_code == 0
    assert outcome(run) == whole


@pytest.mark.parametrize(
    "place, path",
    [
        ("pathlib:Path.mkdir", "run"),
        (BEGUN, "run/tokenizer.model"),
        ("translator.storage.run_folder:write_json", "run/config.json"),
        (REPLACED, "run/config.json"),
        (REPLACED, "run/metrics.jsonl"),
        (OPENED, "run/metrics.jsonl"),
        (SAVED, "steps/.2.tmp/tokenizer.model"),
    ],
)
def test_a_disk_that_fails_before_the_first_checkpoint(
    train: Train,
    whole: list[Any],
    tmp_path: Path,
    fail: Fail,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    path: str,
) -> None:
    run = tmp_path / "run"
    fail(place, path, errno.ENOSPC)
    assert_one_line(train(run), run, "No space left on device. Check the disk")
    monkeypatch.undo()
    assert train(run).exit_code == 0
    assert outcome(run) == whole


@pytest.mark.parametrize(
    "gone, words",
    [
        (("train.en", "train.de", "valid.en", "valid.de", "test.en", "test.de"), ["holds no"]),
        (("train.de",), ["lacks train.de"]),
        (("train.en", "train.de"), ["has no training pairs"]),
        (("valid.en",), ["lacks valid.en"]),
        ((".",), ["is neither a folder nor a known corpus"]),
    ],
)
def test_a_vanished_corpus_is_one_line(
    train: Train,
    run: Path,
    whole: list[Any],
    corpus_folder: Path,
    tmp_path: Path,
    gone: tuple[str, ...],
    words: list[str],
) -> None:
    """A run whose corpus vanishes between two sessions, and is back in the third."""
    corpus = tmp_path / corpus_folder.name
    shutil.copytree(corpus_folder, corpus)
    shutil.rmtree(run)
    assert train(run, steps=2, corpus=corpus).exit_code == 0
    for name in gone:
        (corpus / name).rename(tmp_path / f"gone-{name}")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert_one_line(train(run, corpus=corpus), corpus.name, *words)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    for name in gone:
        (tmp_path / f"gone-{name}").rename(corpus / name)
    assert train(run, corpus=corpus).exit_code == 0
    assert outcome(run) == whole


def test_a_corpus_that_vanishes_during_a_session_is_not_missed(
    train: Train,
    whole: list[Any],
    corpus_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was read as a whole; the test split, too."""
    corpus = tmp_path / "corpus"
    shutil.copytree(corpus_folder, corpus)
    save = training_state.save_checkpoint

    def save_and_remove(*arguments: Any) -> Path:
        shutil.rmtree(corpus, ignore_errors=True)
        return save(*arguments)

    monkeypatch.setattr("translator.training.run.save_checkpoint", save_and_remove)
    assert train(tmp_path / "run", corpus=corpus).exit_code == 0
    assert outcome(tmp_path / "run") == whole
