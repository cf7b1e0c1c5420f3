"""Requests share batches: one thread takes what waits, some items of each request at a time.

What an item becomes does not depend on the others in its batch; that is the promise of the work
that is given, and failures are kept apart here. Knows neither models nor HTTP.
"""

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

MAX_ITEMS = 64  # in a batch
MAX_CHARACTERS = 8_000  # likewise, unless a single item has more
MAX_SHARE = 32  # items of one request in a batch, so that a document does not hold up the others
_GATHER = 0.004  # seconds to wait for company, where there was some a moment ago
_GATHER_MOST = 0.02  # and for all that comes one after the other

Work = Callable[[Any, Sequence[Any]], Sequence[Any]]


class Busy(Exception):
    """Too much waits already; `seconds` says when to try again."""

    def __init__(self, seconds: int):
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(eq=False)
class _Job:
    """The items of a request, of which `taken` are done or under way."""

    key: Hashable
    items: Sequence[Any]
    future: "Future[list[Any]]" = field(default_factory=Future)
    results: list[Any] = field(default_factory=list)
    taken: int = 0

    def take(self) -> Any:
        self.taken += 1
        return self.items[self.taken - 1]

    @property
    def left(self) -> int:
        return len(self.items) - self.taken

    def finish(self, error: Exception | None = None) -> None:
        if self.future.set_running_or_notify_cancel():
            if error:
                self.future.set_exception(error)
            else:
                self.future.set_result(self.results)


class Batcher:
    """Runs `work(key, items)`, which returns a result for each item, in one thread.

    Args:
        work: called with items of one key at a time.
        limit: how many requests may wait.
        size: the characters of an item.
    """

    def __init__(self, work: Work, limit: int, size: Callable[[Any], int] = len):
        self._work = work
        self._limit = limit
        self._size = size
        self._jobs: list[_Job] = []
        self._running: list[_Job] = []  # those in the batch under way
        self._seconds = 0.05  # that a request takes, of late
        self._company = False  # whether the last batch held several requests
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def submit(self, key: Hashable, items: Sequence[Any]) -> "Future[list[Any]]":
        """The results of all items, in order; a future that is cancelled frees its place.

        Raises:
            Busy: too many requests wait.
        """
        job = _Job(key, items)
        if not items:
            job.finish()
            return job.future
        with self._changed:
            self._drop_cancelled()
            if len(self._jobs) >= self._limit:
                raise Busy(max(1, math.ceil(len(self._jobs) * self._seconds)))
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    @property
    def waiting(self) -> int:
        """Requests that wait or are worked on."""
        with self._changed:
            return sum(not job.future.done() for job in {*self._jobs, *self._running})

    def close(self, timeout: float | None = None) -> None:
        """Ends the thread once all is done that waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _drop_cancelled(self) -> None:
        self._jobs = [job for job in self._jobs if not job.future.cancelled()]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._company:
                    self._gather()
                self._drop_cancelled()
                if not self._jobs:
                    if self._closed:
                        return
                    continue
                key, batch = self._take()
                self._running = [job for job, _ in batch]
            start = time.monotonic()
            self._do(key, batch)
            self._company = len(batch) > 1
            with self._changed:
                self._running = []
            each = (time.monotonic() - start) / len(batch)
            self._seconds += (each - self._seconds) / 8

    def _gather(self) -> None:
        """Waits until nobody comes any more: clients that got their answers together ask again."""
        end = time.monotonic() + _GATHER_MOST
        count = -1
        while count < len(self._jobs) < MAX_ITEMS and time.monotonic() < end:
            count = len(self._jobs)
            self._changed.wait(_GATHER)

    def _take(self) -> tuple[Hashable, list[tuple[_Job, list[Any]]]]:
        """A batch of the key that has waited longest: one item of each request in turn."""
        key = self._jobs[0].key
        same = [job for job in self._jobs if job.key == key][:MAX_ITEMS]
        taken: dict[_Job, list[Any]] = {}
        n_items = size = 0
        while same:
            job = same.pop(0)
            next_size = self._size(job.items[job.taken])
            if n_items and (n_items == MAX_ITEMS or size + next_size > MAX_CHARACTERS):
                break
            taken.setdefault(job, []).append(job.take())
            n_items, size = n_items + 1, size + next_size
            if job.left and len(taken[job]) < MAX_SHARE:
                same.append(job)
        # What is left of them waits behind the others.
        others = [job for job in self._jobs if job not in taken]
        self._jobs = others + [job for job in taken if job.left]
        return key, list(taken.items())

    def _do(self, key: Hashable, batch: list[tuple[_Job, list[Any]]]) -> None:
        try:
            found = iter(self._work(key, [item for _, items in batch for item in items]))
            for job, items in batch:
                job.results += [next(found) for _ in items]
        except Exception as error:
            if len(batch) > 1:  # each by itself: only its own failure is a request's
                for one in batch:
                    self._do(key, [one])
                return
            failed = batch[0][0]
            with self._changed:
                self._jobs = [job for job in self._jobs if job is not failed]
            failed.finish(error)
            return
        for job, _ in batch:
            if not job.left:
                job.finish()
