"""Long work on a corpus, cut into numbered shards: in parallel, and resumable.

A shard is a folder that appears complete or not at all, so whatever exists need not be made again,
whichever process or machine made it.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from translator.config.errors import TranslatorError
from translator.system.disk import open_whole, write_json, writing
from translator.system.machine import return_memory

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


# Takes a chunk of the corpus and a folder to write into; returns a report on it.
Work = Callable[[Any, Path], dict[str, Any]]
SHARD = 20_000  # rows: a second or two of work
REPORT = "report.json"


Progress = Callable[[str, int], None]  # takes a stage, and the pairs it has just processed


def no_progress(_stage: str, _n_pairs: int) -> None:
    """Reports nothing."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks a folder against other processes; inside, torch uses one thread.

    Tensors are small here, and if other processes are busy, threads wait for each other longer than
    they work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with open(folder / ".prepare.lock", "w") as file:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
    finally:
        torch.set_num_threads(threads)


def make_shards(
    folder: Path,
    chunks: Iterable[Sized],
    work: Work,
    workers: int = 1,
    progress: Callable[[int], None] = lambda n_rows: None,
) -> list[Path]:
    """Calls `work` for each chunk whose shard is not there yet.

    Args:
        folder: of the shards.
        chunks: all of them, always in the same order; read as they are needed.
        work: runs in a process of its own if there are several workers.
        workers: processes.
        progress: called with the number of rows of each chunk that is done.

    Returns:
        The folders of all shards, made now or before.

    Raises:
        TranslatorError: the disk cannot be written, or a worker was killed. Complete shards stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chunks = iter(chunks)
    begin = list(islice(chunks, 2))
    workers = workers if len(begin) > 1 else 1
    shards: list[Path] = []
    waiting: deque[tuple[int, Future[None]]] = deque()

    def finish_one() -> None:
        n_rows, future = waiting.popleft()
        future.result()
        progress(n_rows)

    with writing(folder), _pool(work, workers) as submit:
        for number, chunk in enumerate(chain(begin, chunks)):
            shards.append(folder / f"{number:06d}")
            if shards[-1].is_dir():
                progress(len(chunk))
                continue
            if len(waiting) >= 2 * workers:  # limits how much is read ahead
                finish_one()
            waiting.append((len(chunk), submit(_make, chunk, shards[-1])))
        while waiting:
            finish_one()
    return shards


def read_report(shard: Path) -> dict[str, Any]:
    """What `work` returned."""
    report: dict[str, Any] = json.loads((shard / REPORT).read_text(encoding="utf-8"))
    return report


def merge(shards: Sequence[Path], name: str, path: Path) -> str:
    """Concatenates the rows called `name` of all shards; returns a hash of them.

    The hash does not depend on how the rows were divided into shards.
    """
    text, shape = hashlib.sha256(), hashlib.sha256()
    base = 0
    rows_file, ends_file = (path.with_name(path.name + ending) for ending in (".rows", ".ends"))
    with open_whole(rows_file) as all_rows, open_whole(ends_file) as all_ends:
        for shard in shards:
            rows, ends = (shard / f"{name}{ending}" for ending in (".rows", ".ends"))
            values, places = rows.read_bytes(), array("q", ends.read_bytes())
            ends_here = array("q", (base + place for place in places)).tobytes()
            for digest, file, part in ((text, all_rows, values), (shape, all_ends, ends_here)):
                digest.update(part)
                file.write(part)
            base += places[-1] if places else 0
    return hashlib.sha256(text.digest() + shape.digest()).hexdigest()


_work: Work  # of this process


def _begin(work: Work) -> None:
    global _work
    _work = work
    torch.set_num_threads(1)  # and OpenMP's threads are not there after a fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides what it means


def _make(chunk: Any, shard: Path) -> None:
    temporary = shard.with_name(f".{shard.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    report = _work(chunk, temporary)
    write_json(temporary / REPORT, report)
    os.replace(temporary, shard)


@contextmanager
def _pool(work: Work, workers: int) -> Iterator[Callable[..., Future[None]]]:
    """Yields a function that submits calls to worker processes, or runs them in this one."""
    global _work
    try:
        if workers <= 1:
            _work = work
            yield _call_now
            return
        return_memory()
        # Forked if possible: the data of `work` are then shared, not sent.
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("fork" if "fork" in methods else None)
        pool = ProcessPoolExecutor(workers, context, _begin, (work,))
        try:
            yield pool.submit
        finally:
            pool.shutdown(cancel_futures=True)
    except BrokenProcessPool:
        raise TranslatorError(
            "A process that prepared a part of the corpus was killed, perhaps for lack of memory: "
            "use fewer (--workers 1). The same command continues where it stopped."
        ) from None


def _call_now(function: Callable[..., None], *arguments: Any) -> Future[None]:
    future: Future[None] = Future()
    function(*arguments)
    future.set_result(None)
    return future
