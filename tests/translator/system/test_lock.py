"""One process at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from translator.config.errors import TranslatorError
from translator.system.lock import exclusive

HOLDER = """
import sys, time
from pathlib import Path
from translator.system.lock import exclusive

with exclusive(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def _start(script: str, folder: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder / "lock")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def holder(tmp_path: Path, subprocess_environment: dict[str, str]):
    """Another process that holds `tmp_path/lock` until its input ends."""
    process = _start(HOLDER, tmp_path, subprocess_environment)
    yield process
    process.kill()
    process.communicate()


def test_the_second_process_is_told_who_holds_it(holder, tmp_path: Path) -> None:
    with (
        pytest.raises(TranslatorError, match=f"^out.de is in use by process {holder.pid} on "),
        exclusive(tmp_path / "lock", "out.de"),
    ):
        pass
    holder.communicate("")
    with exclusive(tmp_path / "lock", "out.de"):
        assert (tmp_path / "lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_holds_nothing(holder, tmp_path: Path) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "lock").exists()
    with exclusive(tmp_path / "lock", "out.de"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_same_process_cannot_take_it_twice(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock", "it"):
        with (
            pytest.raises(TranslatorError, match=f"process {os.getpid()} "),
            exclusive(tmp_path / "lock", "it"),
        ):
            pass
        assert (tmp_path / "lock").exists()  # the one who was turned away leaves it


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_it(
    tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    """A loader's process may outlive a trainer that was killed."""
    # The child says when it is there, or the parent might be gone before it has let go.
    forking = HOLDER.replace("    print(", "    import os\n    if not os.fork(): print(")
    holder = _start(forking, tmp_path, subprocess_environment)
    holder.kill()  # the parent; the child waits for more input
    holder.wait()
    with exclusive(tmp_path / "lock", "it"):
        pass
    holder.communicate("")
