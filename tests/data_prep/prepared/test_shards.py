"""Shards: the same whoever makes them, in how many sessions, whatever interrupts."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep.prepared.shards import (
    make_shards,
    merge,
    read_report,
)
from data_prep.sources.mapped import Writer, text_rows
from translator.config.errors import TranslatorError
from translator.text.lines import blocks

ROWS = [f"row {n}" * (n % 3) for n in range(23)]


def work(chunk: list[str], folder: Path) -> dict[str, Any]:
    """Upper case."""
    writer = Writer(folder / "text")
    writer.extend(row.upper().encode() for row in chunk)
    writer.close()
    return {"rows": len(chunk)}


def make(folder: Path, work: Callable[..., dict[str, Any]] = work, **options: Any) -> list[Path]:
    return make_shards(folder, blocks(ROWS, 5), work, **options)


def merged(folder: Path, shards: list[Path]) -> list[str]:
    merge(shards, "text", folder / "all")
    return list(text_rows(folder / "all"))


@pytest.mark.parametrize("workers", [1, 3])
def test_shards_hold_all_in_order(tmp_path: Path, workers: int) -> None:
    done: list[int] = []
    shards = make(tmp_path, workers=workers, progress=done.append)
    assert sum(done) == len(ROWS)
    assert merged(tmp_path, shards) == [row.upper() for row in ROWS]
    assert [read_report(shard)["rows"] for shard in shards] == [5, 5, 5, 5, 3]


def test_existing_shards_are_not_made_again(tmp_path: Path) -> None:
    shards = make(tmp_path)

    def refuse(chunk: list[str], folder: Path) -> dict[str, Any]:
        raise AssertionError

    assert make(tmp_path, refuse) == shards
    os.rename(shards[2], tmp_path / "elsewhere")
    with pytest.raises(AssertionError):
        make(tmp_path, refuse)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_leaves_whole_shards(tmp_path: Path, workers: int) -> None:
    def stop(chunk: list[str], folder: Path) -> dict[str, Any]:
        if "row 13" in chunk:
            work(chunk[:2], folder)
            raise KeyboardInterrupt
        return work(chunk, folder)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, stop, workers=workers)
    assert {path.name for path in tmp_path.glob("0*")} >= {"000000", "000001"}
    assert not (tmp_path / "000002").exists()
    assert merged(tmp_path, make(tmp_path)) == [row.upper() for row in ROWS]
    assert not list(tmp_path.glob(".*"))


def test_a_killed_worker_is_one_line(tmp_path: Path) -> None:
    def die(chunk: list[str], folder: Path) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    with pytest.raises(TranslatorError, match="was killed"):
        make(tmp_path, die, workers=2)


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def fail(chunk: list[str], folder: Path) -> dict[str, Any]:
        raise OSError(28, "No space left on device", str(folder))

    with pytest.raises(TranslatorError, match="No space left on device. Check the disk"):
        make(tmp_path, fail)
