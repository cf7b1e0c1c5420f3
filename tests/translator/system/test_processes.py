"""Two processes train as one does, and a failing one says so."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from translator.system.processes import Ranks, current_ranks

pytestmark = pytest.mark.slow
Launch = Callable[..., subprocess.Popen[str]]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
SETTINGS = {
    "model.dropout": 0.0,
    "data.copy_rate": 0.3,
    "train.precision": "fp32",
    "train.optimizer": "adam",  # Muon's steps are as long whatever the gradient: so is rounding's
    "train.accum_steps": 2,
    "train.cooldown": 0.0,  # so that three steps and then six are the six of one run
    "train.warmup_steps": 4,
    "train.peak_lr": 1e-3,
    "train.log_every": 1,
    "train.validate_every": 3,
    "train.checkpoint_every": 3,
}


@pytest.fixture
def launch(
    corpus_folder: Path, tiny_options: list[str], subprocess_environment: dict[str, str]
) -> Launch:
    """Starts `translator train` on the tiny corpus, in one process or under torchrun."""

    def start(run: Path, *options: str, processes: int = 1, **environment: str):
        command = TORCHRUN if processes == 2 else [sys.executable]
        changes = [x for k, v in SETTINGS.items() for x in ("--set", f"{k}={v}")]
        train = ["-m", "translator", "train", "--data", str(corpus_folder), "--run-dir", str(run)]
        return subprocess.Popen(
            [*command, *train, "--device", "cpu", *tiny_options, *changes, *options],
            env={**subprocess_environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=300)
    return process.returncode, stdout, stderr


def succeed(process: subprocess.Popen[str]) -> tuple[str, str]:
    code, stdout, stderr = finish(process)
    assert code == 0, stderr
    return stdout, stderr


def losses(run: Path) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def test_two_processes_equal_one(launch: Launch, tmp_path: Path) -> None:
    """Equal updates from equal data, to rounding; the second half after an interruption."""
    one, two = tmp_path / "one", tmp_path / "two"
    succeed(launch(one, "--steps", "6"))
    succeed(launch(two, "--steps", "3", processes=2))
    stdout, stderr = succeed(launch(two, "--steps", "6", processes=2))
    assert "Continuing from step 3" in stderr and "2 processes" in stderr
    assert stdout.count("Translate with it") == 1  # only the first process speaks
    assert stderr.count("Continuing from step 3") == 1
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    files = [load_file(run / "steps" / "6" / "model.safetensors") for run in (two, one)]
    for name, weight in files[1].items():
        if name.endswith("key_value.bias"):  # a softmax takes no notice of the keys' half of it,
            continue  # so Adam makes steps of rounding there
        assert_close(files[0][name], weight, atol=1e-4, rtol=1e-3)
    states = [json.loads((r / "steps/6/training.json").read_text())["state"] for r in (one, two)]
    assert [s["n_tokens"] for s in states] == [states[0]["n_tokens"]] * 2


def test_a_process_without_rows_takes_part(launch: Launch, tmp_path: Path) -> None:
    """Batches are packed into a single row, so the second process gets none."""
    one, two = tmp_path / "one", tmp_path / "two"
    options = ("--steps", "3", "--set", "train.pack=true", "--set", "confidence.enabled=false")
    succeed(launch(one, *options))
    succeed(launch(two, *options, processes=2))
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)


def test_two_processes_resume_bit_for_bit(launch: Launch, tmp_path: Path) -> None:
    """Also where they share out Muon's matrices and exchange gradients in bf16."""
    changes = ("model.dropout=0.2", "train.optimizer=muon", "train.precision=bf16")
    options = [x for change in changes for x in ("--set", change)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    succeed(launch(whole, "--steps", "6", *options, processes=2))
    for steps in ("3", "6"):
        succeed(launch(parts, "--steps", steps, *options, processes=2))
    files = [r / "steps" / "6" / "training.safetensors" for r in (whole, parts)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert losses(whole) == losses(parts)


def test_a_failing_process_ends_the_run_with_its_own_error(launch: Launch, tmp_path: Path) -> None:
    sabotage = tmp_path / "sitecustomize.py"
    sabotage.write_text(
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    import translator.training.update as u\n"
        "    from translator.config.errors import TranslatorError\n"
        "    old = u.Updater.update\n"
        "    def update(self, batches, step):\n"
        "        if step == 2: raise TranslatorError('The dog ate the gradients.')\n"
        "        return old(self, batches, step)\n"
        "    u.Updater.update = update\n"
    )
    path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[3]}"
    process = launch(tmp_path / "run", "--steps", "6", processes=2, PYTHONPATH=path)
    code, _, stderr = finish(process)
    assert code != 0
    errors = [line for line in stderr.splitlines() if "Error" in line]
    assert errors[0] == "Error in process 1: The dog ate the gradients."
    cause = stderr[stderr.index("Root Cause") :]
    assert "The dog ate the gradients." in cause


def test_a_signal_to_all_processes_saves_once(launch: Launch, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = launch(run, "--steps", "100000", "--set", "train.patience=100000", processes=2)
    deadline = time.monotonic() + 200
    while not (run / "steps" / "6").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    code, _, stderr = finish(process)
    assert code != 0
    saved = max(int(p.name) for p in (run / "steps").iterdir() if p.name.isdecimal())
    assert f"Stopped after step {saved}" in stderr


def test_one_process_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert current_ranks() == Ranks() and Ranks().first
    assert Ranks().sum(1.5, 2) == [1.5, 2]
    assert Ranks().device(torch.device("cuda")) == torch.device("cuda")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert current_ranks() == Ranks(3, 8, 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert current_ranks() == Ranks(3, 8, 1, 4)
    assert current_ranks().device(torch.device("cuda")) == torch.device("cuda", 1)
    assert current_ranks().device(torch.device("cpu")) == torch.device("cpu")
