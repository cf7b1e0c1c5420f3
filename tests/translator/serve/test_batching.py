"""Requests share batches, and none notices the others."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translator.serve.batching import MAX_CHARACTERS, MAX_ITEMS, Batcher, Busy


class Work:
    """Turns texts round, and remembers its batches; waits while `gate` is closed."""

    def __init__(self) -> None:
        self.batches: list[tuple[Any, list[str]]] = []
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, key: Any, items: Sequence[str]) -> list[str]:
        self.batches.append((key, list(items)))
        self.entered.set()
        assert self.gate.wait(10)
        if "bad" in items:
            raise ValueError("bad")
        return [f"{key}{text[::-1]}" for text in items]

    def hold(self, batcher: Batcher) -> "Future[list[str]]":
        """Lets a first request keep the thread busy until the gate opens."""
        self.gate.clear()
        first = batcher.submit("held", ["x"])
        assert self.entered.wait(10)
        return first


_JOBS = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.text("ab", max_size=3) | st.just("c" * 5000))),
    max_size=12,
)


@given(jobs=_JOBS)
@settings(max_examples=50)
def test_each_request_gets_its_own_results_in_order(jobs: list[tuple[str, list[str]]]) -> None:
    work = Work()
    batcher = Batcher(work, 100)
    held = work.hold(batcher)
    futures = [batcher.submit(key, items) for key, items in jobs]
    work.gate.set()
    for (key, items), future in zip(jobs, futures, strict=True):
        assert future.result(10) == [f"{key}{text[::-1]}" for text in items]
    assert held.result(10) == ["heldx"]
    for _, items in work.batches:
        assert 1 <= len(items) <= MAX_ITEMS
        assert len(items) == 1 or sum(map(len, items)) <= MAX_CHARACTERS
    batcher.close(10)


def test_requests_that_wait_are_one_batch_for_each_kind() -> None:
    work = Work()
    batcher = Batcher(work, 100)
    work.hold(batcher)
    futures = [batcher.submit("ab"[i % 2], [f"text {i}"]) for i in range(10)]
    work.gate.set()
    wait(futures, 10)
    assert [(key, len(items)) for key, items in work.batches[1:]] == [("a", 5), ("b", 5)]


def test_a_long_request_does_not_delay_a_short_one() -> None:
    work = Work()
    batcher = Batcher(work, 100)
    work.hold(batcher)
    long = batcher.submit("a", ["text"] * 1000)
    other = batcher.submit("b", ["text"])
    short = batcher.submit("a", ["brief"])
    work.gate.set()
    wait([long, other, short], 10)
    assert "brief" in work.batches[1][1]
    assert work.batches[2][0] == "b"
    assert len(long.result()) == 1000


def test_a_full_queue_refuses_with_a_time_to_retry() -> None:
    work = Work()
    batcher = Batcher(work, 2)
    work.hold(batcher)
    futures = [batcher.submit("a", ["text"]) for _ in range(2)]
    with pytest.raises(Busy) as busy:
        batcher.submit("a", ["text"])
    assert busy.value.seconds >= 1
    futures[0].cancel()  # frees its place
    futures.append(batcher.submit("a", ["again"]))
    work.gate.set()
    assert futures[-1].result(10) == ["aniaga"]


def test_abandoned_requests_are_not_computed() -> None:
    work = Work()
    batcher = Batcher(work, 100)
    work.hold(batcher)
    gone, kept = batcher.submit("a", ["gone"] * 100), batcher.submit("a", ["kept"])
    gone.cancel()
    work.gate.set()
    assert kept.result(10) == ["atpek"]
    batcher.close(10)
    assert not [items for _, items in work.batches if "gone" in items]


def test_a_failure_is_only_that_of_its_own_request() -> None:
    work = Work()
    batcher = Batcher(work, 100)
    work.hold(batcher)
    good, bad = batcher.submit("a", ["good"]), batcher.submit("a", ["fine", "bad"])
    other = batcher.submit("a", ["other"])
    work.gate.set()
    with pytest.raises(ValueError, match="bad"):
        bad.result(10)
    assert good.result(10) == ["adoog"] and other.result(10) == ["arehto"]
    assert batcher.submit("a", ["after"]).result(10) == ["aretfa"]


def test_closing_finishes_waiting_requests() -> None:
    work = Work()
    batcher = Batcher(work, 100)
    work.hold(batcher)
    futures = [batcher.submit("a", ["text"] * 100) for _ in range(3)]
    work.gate.set()
    batcher.close(10)
    assert all(len(future.result(0)) == 100 for future in futures)
    assert batcher.waiting == 0
