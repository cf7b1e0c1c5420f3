"""`translate` on a terminal: a prompt, line editing, history, commands to reverse the direction."""

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from translator.config.errors import TranslatorError
from translator.text.language import LANGUAGE_NAMES

_HELP = (
    "Type a text and press Enter. :de and :en choose the language to translate into, "
    ":quit or Ctrl-D ends."
)


def converse(
    start: Callable[[str | None], tuple[str, str]],
    translate: Callable[[str], str],
    quiet: bool,
) -> None:
    """Translates what a person types, until they have had enough.

    Args:
        start: loads what translates into a language (None = as the options say), and returns
            source and target.
        translate: a line into what is shown of it.
        quiet: no banner.
    """
    src, tgt = start(None)
    if not quiet:
        _say(f"{_name(src)} to {_name(tgt)}. {_HELP}")
    with _history():
        for line in _typed_lines():
            command = line.strip()
            if command in (":q", ":quit", ":exit"):
                return
            if command in (":de", ":en"):
                with _problems_shown():
                    src, tgt = start(command[1:])
                    _say(f"{_name(src)} to {_name(tgt)}.")
            elif command.startswith(":") and command[1:].isalpha():
                _say(f"There is no {command}. {_HELP}")
            else:
                sys.stdout.write(translate(line))
                sys.stdout.flush()


def _name(language: str) -> str:
    return LANGUAGE_NAMES.get(language, language)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _problems_shown() -> Iterator[None]:
    try:
        yield
    except TranslatorError as error:
        _say(str(error))


def _typed_lines() -> Iterator[str]:
    """What is typed, line by line, with editing where both ends are a terminal."""
    from translator.text.lines import decode_line

    for number in itertools.count(1):
        if sys.stdout.isatty():
            try:
                yield input("> ")
            except EOFError:
                print()  # leaves the line of the prompt
                return
            except UnicodeDecodeError:
                raise TranslatorError(f"Standard input, line {number}: not UTF-8.") from None
        else:
            print("> ", end="", file=sys.stderr, flush=True)
            raw = sys.stdin.buffer.readline()  # ends at "\n" alone
            if not raw:
                _say("")
                return
            yield decode_line(raw, "Standard input", number)


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Line editing, and the lines of earlier sessions, where the system has readline."""
    try:
        import readline
    except ImportError:  # on Windows the terminal does it
        yield
        return
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    file = Path(home) / "translator" / "history"
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        readline.read_history_file(file)
    readline.set_history_length(1000)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            readline.write_history_file(file)
            file.chmod(0o600)
