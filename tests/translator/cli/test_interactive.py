"""`translate` on a terminal: a person types, with nothing to lose and no manual at hand."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs terminals")


class Session:
    """A command whose standard input and output are one terminal."""

    def __init__(self, environment: dict[str, str], *args: object, output: bool = True):
        self.ours, theirs = os.openpty()
        command = [sys.executable, "-m", "translator", "translate", *map(str, args)]
        self.process = subprocess.Popen(
            [*command, "--no-guard", "--threads", "1"],
            env={**environment, "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs if output else subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(self.ours, False)
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Reads what the terminal shows until it has shown `text`."""
        end = time.monotonic() + 120
        while text not in self.shown:
            assert time.monotonic() < end, self.shown
            with contextlib.suppress(BlockingIOError, OSError):
                self.shown += os.read(self.ours, 4096).decode()
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        """The exit code, and what came on standard error."""
        code = self.process.wait(timeout=120)
        assert self.process.stderr
        return code, self.process.stderr.read().decode()


@pytest.fixture
def sessions(subprocess_environment: dict[str, str], tmp_path: Path) -> Iterator[type[Session]]:
    started = []

    class Started(Session):
        def __init__(self, *args: object, output: bool = True):
            state = {"XDG_STATE_HOME": str(tmp_path)}
            super().__init__(subprocess_environment | state, *args, output=output)
            started.append(self)

    yield Started
    for session in started:
        session.process.kill()
        session.process.wait()
        os.close(session.ours)


def test_a_conversation(sessions, model_folder: Path, run: Run, tmp_path: Path) -> None:
    expected = run("translate", "The dog runs here.", "--no-guard").stdout.strip()
    session = sessions("--model", model_folder)
    session.wait_for("> ")
    session.type("The dog runs here.\n")
    session.wait_for(expected)
    session.type(":en\n")
    session.wait_for(":en")
    session.type(":x\n")
    session.wait_for(":x")
    session.type("\x04")  # Ctrl-D
    code, stderr = session.end()
    assert code == 0
    assert "English to German." in stderr and "Ctrl-D" in stderr  # the banner
    assert "en-de, not de-en" in stderr  # the model cannot turn round, and the session goes on
    assert "There is no :x" in stderr
    history = (tmp_path / "translator" / "history").read_text()
    assert "The dog runs here." in history


def test_the_direction_changes(sessions) -> None:
    session = sessions("--beam-size", "1")
    session.wait_for("> ")
    session.type(":en\n")
    session.wait_for(":en")
    session.type("Wo ist der Bahnhof?\n")
    session.wait_for("station?")
    session.type(":quit\n")
    code, stderr = session.end()
    assert code == 0
    assert stderr.count("English to German.") == stderr.count("German to English.") == 1


def test_ctrl_c_at_the_prompt(sessions, model_folder: Path) -> None:
    session = sessions("--model", model_folder, "--quiet")
    session.wait_for("> ")
    session.process.send_signal(signal.SIGINT)
    assert session.end() == (130, "Stopped\n")


def test_results_go_to_a_pipe_and_prompts_do_not(sessions, model_folder: Path, run: Run) -> None:
    session = sessions("--model", model_folder, "--quiet", output=False)
    session.type("The dog runs here.\n")
    expected = run("translate", "The dog runs here.", "--no-guard").stdout_bytes
    assert session.process.stdout.readline() == expected
    session.type("\x04")
    assert session.end() == (0, "> > \n")
    assert session.process.stdout.read() == b""
