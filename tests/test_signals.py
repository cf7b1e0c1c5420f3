"""Real processes, really stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from translator.checkpoint import load_model, step_folders

Start = Callable[[Path, int], "subprocess.Popen[str]"]


@pytest.fixture
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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_ends_as_one_that_was_not(
    number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert start(whole, 60).wait() == 0

    process = start(stopped, 60)
    _wait_for_step(stopped, 25, process)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    if number == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 130
        assert "the same command goes on there" in errors
        assert "Traceback" not in errors
    load_model(stopped)  # an unfinished run can be used
    assert step_folders(stopped)

    again = start(stopped, 60)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert "Going on from step" in errors
    assert _losses(stopped) == _losses(whole)
    weights = [(run / "model.safetensors").read_bytes() for run in (whole, stopped)]
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_translation_ends_as_one_that_was_not(
    number: signal.Signals,
    model_folder: Path,
    subprocess_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    lines = [f"The dog runs {i} times. A man sleeps." for i in range(3000)]
    (tmp_path / "in.en").write_text("".join(line + "\n" for line in lines))

    def begin(output: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "translator", "translate", "--threads", "1", "--no-guard"]
        return subprocess.Popen(
            [*command, "--input", str(tmp_path / "in.en"), "--output", str(output)],
            env={**subprocess_environment, "TRANSLATOR_MODEL": str(model_folder)},
            stderr=subprocess.PIPE,
            text=True,
        )

    whole, stopped = tmp_path / "whole.de", tmp_path / "stopped.de"
    assert begin(whole).wait() == 0

    process = begin(stopped)
    note = tmp_path / "stopped.de.partial.json"
    while process.poll() is None and not note.exists():
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    assert not stopped.exists()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "of 3000 lines are done; the same command goes on from there." in errors
        assert len(errors.splitlines()) == 1

    again = begin(stopped)
    _, errors = again.communicate()
    assert again.returncode == 0 and "Going on after the" in errors
    assert stopped.read_bytes() == whole.read_bytes()
    names = ["in.en", "stopped.de", "whole.de"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
