"""Real processes, really stopped."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from translator.cli.main import app
from translator.config.errors import Interrupted
from translator.config.schema import Config
from translator.storage import training_state
from translator.storage.model_folder import load_model, step_folders
from translator.training import validation
from translator.training.train import train
from translator.training.validation import Validator

Start = Callable[[Path, int], "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def start(
    corpus_folder: Path, subprocess_environment: dict[str, str], tiny_options: list[str]
) -> Start:
    """Trains in a run folder for so many steps, in a process of its own."""
    command = [sys.executable, "-m", "translator", "train", "--data", str(corpus_folder)]
    options = ["--set", "train.validate_every=20", "--set", "train.log_every=1", "--threads", "1"]

    def call(run: Path, steps: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*command, "--run", str(run), "--steps", str(steps), *tiny_options, *options],
            env=subprocess_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


def _wait_for_step(run: Path, step: int, process: "subprocess.Popen[str]") -> None:
    metrics = run / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and f'{{"step": {step},' in metrics.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


def _losses(run: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


@pytest.fixture(scope="module")
def sixty_steps(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts, by the command."""
    run = tmp_path_factory.mktemp("sixty") / "run"
    process = start(run, 60)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return run


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_ends_like_an_uninterrupted_one(
    number: signal.Signals, start: Start, sixty_steps: Path, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    process = start(stopped, 60)
    _wait_for_step(stopped, 25, process)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    if number == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 130
        assert "the same command continues from there" in errors
        assert "Traceback" not in errors
    load_model(stopped)  # an unfinished run can be used
    assert step_folders(stopped)

    again = start(stopped, 60)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert "Continuing from step" in errors
    assert _losses(stopped) == _losses(sixty_steps)
    weights = [(run / "model.safetensors").read_bytes() for run in (sixty_steps, stopped)]
    assert weights[0] == weights[1]


def _same(one: Path, other: Path, step: int) -> bool:
    """Whether two runs end with the same weights, optimizer and losses, bit for bit."""
    names = ["model.safetensors", f"steps/{step}/training.safetensors"]
    files = [[(run / name).read_bytes() for name in names] for run in (one, other)]
    return files[0] == files[1] and _losses(one) == _losses(other)


def _validations(run: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["valid_loss"]) for row in rows if "valid_loss" in row]


@pytest.fixture(scope="module")
def without_pictures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "plot_run", lambda run, output: None)
        yield


@pytest.fixture(scope="module")
def six_steps(
    tiny_config: Config, without_pictures: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that nothing interrupts."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(tiny_config, run, device="cpu")
    return run


@pytest.mark.parametrize(
    "number, place, call, step",
    [
        (signal.SIGTERM, (Validator, "validate"), 1, 3),
        (signal.SIGINT, (Validator, "validate"), 1, 3),
        (signal.SIGTERM, (Validator, "validate"), 2, 6),  # the last one: only the end is left
        (
            signal.SIGTERM,
            (training_state, "write_file"),
            1,
            4,
        ),  # of step 3; noticed an update later
        (signal.SIGTERM, (training_state, "verify_checkpoint"), 2, 6),
    ],
)
def test_a_signal_in_a_validation_or_a_checkpoint_stops_the_run(
    tiny_config: Config,
    six_steps: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    place: tuple[Any, str],
    call: int,
    step: int,
) -> None:
    original, calls = getattr(*place), 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            signal.raise_signal(number)
        return original(*arguments)

    run = tmp_path / "run"
    monkeypatch.setattr(*place, interrupted)
    with pytest.raises(Interrupted, match=f"step {step};"):
        train(tiny_config, run, device="cpu")
    assert not (run / "model.safetensors").exists()  # scoring it would take long
    monkeypatch.undo()
    train(tiny_config, run, device="cpu")
    assert _same(run, six_steps, 6)


@pytest.mark.parametrize("call, step", [(1, 3), (2, 6)])
def test_a_stop_interrupts_a_validation_which_is_repeated_later(
    tiny_config: Config,
    six_steps: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
    step: int,
) -> None:
    validate, calls = Validator.validate, 0

    def endless(self: Validator, model: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            time.sleep(600)
        return validate(self, model)

    run = tmp_path / "run"
    monkeypatch.setattr(Validator, "validate", endless)
    with pytest.raises(Interrupted, match=f"step {step};"):
        train(tiny_config, run, device="cpu")
    monkeypatch.undo()
    train(tiny_config, run, device="cpu")
    assert _same(run, six_steps, 6)
    assert _validations(run) == _validations(six_steps)


# `python -c SCRIPT MODULE CLASS METHOD ARGUMENTS...`: `translator ARGUMENTS...`, whose whole
# process group gets a Ctrl-C, as from a terminal, when it calls the method for the second time.
SCRIPT = """
import importlib, os, signal, sys

module, class_, method = sys.argv[1:4]
del sys.argv[1:4]
owner = getattr(importlib.import_module(module), class_)
original, calls = getattr(owner, method), 0

def interrupted(*arguments):
    global calls
    calls += 1
    if calls == 2:
        os.killpg(0, signal.SIGINT)
    return original(*arguments)

setattr(owner, method, interrupted)
from translator.cli.main import main
main()
"""


Command = Callable[[Path, int], list[str]]


@pytest.fixture(scope="module")
def two_a_validation(corpus_folder: Path, tiny_options: list[str]) -> Command:
    """The arguments that train in a run folder with so many workers."""

    def command(run: Path, workers: int) -> list[str]:
        options = ["train", "--data", str(corpus_folder), "--run", str(run)]
        settings = [f"train.workers={workers}", "train.log_every=1", "train.validate_every=2"]
        options += ["--steps", "6", "--checkpoint-every", "2", "--threads", "1", *tiny_options]
        return options + [part for setting in settings for part in ("--set", setting)]

    return command


@pytest.fixture(scope="module")
def uninterrupted(two_a_validation: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What that command makes of a run if nothing stops it."""
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    result = CliRunner().invoke(app, two_a_validation(run, 0))
    assert result.exit_code == 0, result.stderr
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        ("translator.training.run", "Run", "step"),
        ("translator.training.validation", "Validator", "validate"),
        ("translator.storage.run_log", "MetricsLog", "sync"),  # the beginning of a checkpoint
    ],
)
def test_ctrl_c_at_a_terminal_reaches_the_processes_of_the_loader_too(
    place: tuple[str, str, str],
    two_a_validation: Command,
    uninterrupted: Path,
    subprocess_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *place, *two_a_validation(run, 2)],
        env=subprocess_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    with pytest.raises(ProcessLookupError):  # nobody is left in the group
        os.killpg(process.pid, 0)
    assert output == ""
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith(("Warning:", "Error", "Stop"))]
    assert [line.split()[:2] for line in lines] == [
        ["Warning:", "Stopping"],
        ["Stopped", "after"],
    ], errors
    result = CliRunner().invoke(app, two_a_validation(run, 0))
    assert result.exit_code == 0, result.stderr
    assert _same(run, uninterrupted, 6)


N_LINES = 1600  # three blocks and a bit
Begin = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def begin(
    model_folder: Path,
    subprocess_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Begin:
    """Translates a long file into another one, in a process of its own."""
    source = tmp_path_factory.mktemp("source") / "in.en"
    lines = (f"The dog runs {i} times. A man sleeps.\n" for i in range(N_LINES))
    source.write_text("".join(lines))

    def call(output: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "translator", "translate", "--threads", "1", "--no-guard"]
        return subprocess.Popen(
            [*command, "--beam-size", "1", "--input", str(source), "--output", str(output)],
            env={**subprocess_environment, "TRANSLATOR_MODEL": str(model_folder)},
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


@pytest.fixture(scope="module")
def translated(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The whole translation."""
    output = tmp_path_factory.mktemp("translated") / "out.de"
    process = begin(output)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return output.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_translation_ends_like_an_uninterrupted_one(
    number: signal.Signals, begin: Begin, translated: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "out.de"
    process = begin(output)
    note = tmp_path / "out.de.partial.json"
    while process.poll() is None and not (note.exists() and json.loads(note.read_text())["lines"]):
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    assert not output.exists()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert f"of {N_LINES} lines are done; the same command continues from there." in errors
        assert len(errors.splitlines()) == 1

    again = begin(output)
    _, errors = again.communicate()
    assert again.returncode == 0 and "Continuing after the" in errors
    assert output.read_bytes() == translated
    assert [path.name for path in tmp_path.iterdir()] == ["out.de"]
