"""Commands are run in this process, as those of tests/translator/cli are."""

import pytest
from commands import Run
from typer.testing import CliRunner, Result

from translator.cli.main import app


@pytest.fixture
def run() -> Run:
    def call(*args: object, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)

    return call


@pytest.fixture(autouse=True)
def short_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs end early: what knows nothing never stops, and there is no more to see."""
    monkeypatch.setattr("translator.export.verify.LIMIT", 10)
