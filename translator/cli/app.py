"""The typer app: how a command is registered, logs, and fails with one line."""

import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from translator import __version__
from translator.cli.groups import expand
from translator.cli.help import Command, Group
from translator.config.errors import TranslatorError
from translator.system.log import show_log

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, use and score a small English-German Transformer.",
)
F = TypeVar("F", bound=Callable[..., None])


def command(panel: str, *examples: str, group: typer.Typer = app) -> Callable[[F], F]:
    """Registers a command whose failures are one line and an exit code.

    Args:
        panel: where the help of the group lists it.
        *examples: for its own help.
        group: the group that it belongs to.
    """

    def register(function: F) -> F:
        epilog = "\n".join(examples)
        runnable = one_line_errors(expand(function))
        group.command(cls=Command, rich_help_panel=panel, epilog=epilog)(runnable)
        return function

    return register


def one_line_errors(function: F) -> F:
    """Lets a command, which takes `quiet` and `debug`, fail with one line and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> None:
        rank = os.environ.get("RANK", "0")  # set by torchrun; only its first process speaks
        show_log(logging.CRITICAL if options["quiet"] or rank != "0" else logging.INFO)
        try:
            function(*args, **options)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of our output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None  # as a shell reports a process that SIGPIPE ended
        except (KeyboardInterrupt, TranslatorError, OSError, MemoryError) as error:
            if options["debug"]:
                traceback.print_exc()
            stopped = isinstance(error, KeyboardInterrupt)
            process = f" in process {rank}" if rank != "0" else ""
            text = f"{'Stopped' if stopped else 'Error'}{process}: {_one_line(error)}"
            text = text.removesuffix(": ").replace("Stopped: Stopped", "Stopped")
            print(text, file=sys.stderr)
            if "TORCHELASTIC_ERROR_FILE" in os.environ:
                _tell_torchrun(error)
            raise typer.Exit(130 if stopped else 1) from None

    return wrapped  # type: ignore[return-value]


def _tell_torchrun(error: BaseException) -> None:
    """Leaves the error for torchrun, which shows that of the process that failed first."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    handler = get_error_handler()
    handler.initialize()
    handler.record_exception(error)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}."
    if isinstance(error, MemoryError):
        return "Out of memory. Use smaller batches (--batch-tokens, --set train.max_tokens=...)."
    return " ".join(str(error).split())


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
