"""Commands are run in this process."""

import os
from pathlib import Path

import pytest
from commands import Run
from typer.testing import CliRunner, Result

from translator.cli.main import app


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, model_folder: Path) -> Run:
    """Runs a command in this process; without --model it uses the tiny random one."""
    monkeypatch.setenv("TRANSLATOR_MODEL", str(model_folder))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # tiny matrices gain nothing from more threads

    def call(*args: object, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)

    return call
