"""The entry point of the `translator` command."""

import os
import sys

# Imported for the commands that they register, in the order in which --help lists them.
# isort: off
from translator.cli import translate, serve, score, evaluate, train, prepare, info, models, export  # noqa: F401

# isort: on
from translator.cli.app import app
from translator.system.threads import wait_briefly


def main() -> None:
    """Runs the `translator` command."""
    wait_briefly()
    _open_closed_streams()
    for stream in (sys.stdin, sys.stdout):
        stream.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stderr.reconfigure(  # type: ignore[union-attr]
        encoding="utf-8", newline="\n", errors="backslashreplace"
    )
    for argument in sys.argv[1:]:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            shown = argument.encode("utf-8", "surrogateescape")
            print(f"Error: an argument is not UTF-8: {str(shown)[1:]}.", file=sys.stderr)
            sys.exit(2)
    app(prog_name="translator")


def _open_closed_streams() -> None:
    """Lets a standard stream that is closed, as for some services, read and write nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
