"""Ctrl-C and SIGTERM: the update in progress is finished first, longer work is broken off."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from translator.config.errors import Interrupted

log = logging.getLogger("translator")


class StopSignals:
    """The Ctrl-C and SIGTERM that came; `at_once` says what may be broken off for them."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._breaking_off = False

    def __len__(self) -> int:
        return len(self.received)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While the block runs, a signal breaks it off: for long work that can be done again.

        Raises:
            Interrupted: a signal came, perhaps before the block.
        """
        self._breaking_off = True
        try:
            if self.received:
                raise Interrupted
            yield
        finally:
            self._breaking_off = False

    def note(self, number: int) -> None:
        """A signal is here."""
        self.received.append(number)
        if self._breaking_off:
            log.warning("Stopping now.")
            raise Interrupted
        log.warning("Stopping after this update; once more to leave at once.")


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Collects Ctrl-C and SIGTERM; the second one acts at once."""
    signals = StopSignals()
    previous: dict[int, Any] = {}

    def note(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else previous[number])
        signals.note(number)

    try:
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            previous[number] = signal.signal(number, note)
    except ValueError:
        pass  # not the main thread: the caller handles signals
    try:
        yield signals
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
