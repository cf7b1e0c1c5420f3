"""The log of the package, for people: lines on stderr."""

import logging
import sys

log = logging.getLogger("translator")


class _Stderr(logging.Handler):
    """Log lines to whatever stderr is now, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"Warning: {text}"
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr)


def show_log(level: int = logging.INFO) -> None:
    """Sends the log to stderr, from this level on, and nowhere else."""
    log.handlers = [_Stderr()]
    log.propagate = False
    log.setLevel(level)


def show_log_by_default() -> None:
    """As `show_log`, unless the program has set up logging itself."""
    if not log.hasHandlers():
        show_log()
