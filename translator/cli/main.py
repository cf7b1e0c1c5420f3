"""The `translator` command. Each command turns its options into settings and calls one function.

Only light imports at the top: `translator --help` must not wait for torch.
"""

import sys

# Imported for the commands that they register, in the order in which --help lists them.
# isort: off
from translator.cli import train, evaluate, translate, prepare, models  # noqa: F401

# isort: on
from translator.cli.app import app


def main() -> None:
    """The entry point of the `translator` command."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    app(prog_name="translator")
