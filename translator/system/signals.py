"""Ctrl-C and SIGTERM: what is under way is finished first."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("translator")


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM; the second one acts at once."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else previous[number])
        log.warning("Stopping after this update; once more to leave at once.")

    try:
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            previous[number] = signal.signal(number, note)
    except ValueError:
        pass  # not the main thread: the caller's affair
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Lets SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: the caller's affair
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
