"""Log lines go to stderr, unless the program that uses the package decides otherwise."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from translator.config.errors import TranslatorError
from translator.config.schema import Config
from translator.system.log import show_log_by_default
from translator.training.train import train

LOG = logging.getLogger("translator")


def make_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log as a fresh program finds it; nothing above it has a handler."""
    for name, value in (("handlers", []), ("propagate", False), ("level", logging.NOTSET)):
        monkeypatch.setattr(LOG, name, value)


def test_training_logs_as_the_command_does(
    tiny_config: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_silent(monkeypatch)
    config = replace(tiny_config, data=replace(tiny_config.data, corpus=str(tmp_path / "none")))
    with pytest.raises(TranslatorError, match="none"):
        train(config, tmp_path / "run", device="cpu")
    LOG.info("step 1")
    LOG.warning("late")
    assert capsys.readouterr().err == "step 1\nWarning: late\n"


def test_a_program_that_has_set_up_logging_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    make_silent(monkeypatch)
    own = logging.NullHandler()
    LOG.addHandler(own)
    show_log_by_default()
    assert LOG.handlers == [own] and LOG.level == logging.NOTSET
