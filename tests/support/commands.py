"""What a command must do when it fails."""

from collections.abc import Callable

from typer.testing import Result

Run = Callable[..., Result]


def assert_usage(result: Result, *words: str) -> None:
    """The command was called wrongly: exit code 2, and why."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def assert_one_line(result: Result, *words: str, code: int = 1) -> None:
    """The command failed as promised: nothing on stdout, one line on stderr, no traceback."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Warning:")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Stopped" if code == 130 else "Error: ")
    for word in words:
        assert str(word) in lines[0]
