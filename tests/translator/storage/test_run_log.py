"""The log of a run: whole lines, rewinding, and the same numbers in TensorBoard."""

import json
import math
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.config.errors import TranslatorError
from translator.storage.run_log import MetricsLog, read_metrics, series


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_is_recorded_can_be_read(path: Path) -> None:
    log = MetricsLog(path)
    log.record(5, loss=1.5, lr=0.25)
    log.record(5, valid_bleu=30.0)
    log.record(10, loss=1.25, note="Grüße")
    lines = read_metrics(path.parent)
    assert lines[0] == {"step": 5, "loss": 1.5, "lr": 0.25}
    assert series(lines, "loss") == [(5, 1.5), (10, 1.25)]
    assert series(lines, "valid_bleu") == [(5, 30.0)]
    assert series(lines, "note") == series(lines, "nothing") == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_values_that_are_not_finite_are_null_and_not_in_a_series(path: Path, value) -> None:
    log = MetricsLog(path)
    log.record(1, loss=value)
    log.record(2, loss=3.0)
    assert json.loads(path.read_text().splitlines()[0], parse_constant=pytest.fail)["loss"] is None
    assert series(read_metrics(path.parent), "loss") == [(2, 3.0)]


def test_a_series_is_in_order_and_the_last_value_of_a_step_counts(path: Path) -> None:
    path.write_text('{"step": 9, "x": NaN}\n{"step": 7, "x": 1}\n{"step": 2, "x": 5}\n' * 2)
    MetricsLog(path).record(7, x=3)
    assert series(read_metrics(path.parent), "x") == [(2, 5.0), (7, 3.0)]


def test_a_line_is_added_whole_and_at_once(path: Path) -> None:
    """Another process reads it as soon as it is recorded."""
    log = MetricsLog(path)
    log.record(1, loss=0.5)
    with open(path, "rb") as reader:
        first = reader.read()
        for step in (2, 3):
            log.record(step, text="x" * 5000)
            added = reader.read()
            assert added.endswith(b"\n") and json.loads(added)["step"] == step
    assert path.read_bytes().startswith(first)


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(-1, 50))
def test_rewinding_keeps_the_lines_up_to_the_step(
    tmp_path_factory: pytest.TempPathFactory, recorded: list[int], step: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    log = MetricsLog(path)
    for number in recorded:
        log.record(number, loss=number / 3)
    log.rewind(step)
    assert steps(path) == [number for number in recorded if number <= step]
    log.record(step + 1)
    assert steps(path)[-1] == step + 1


@pytest.mark.parametrize(
    "rubbish",
    [
        b'{"step": 3, "lo',
        b'{"step": 3, "loss": "\xff\xfe"}\n',
        b"\x00\x00\x00\n",
        b"3\n",
        b'["step"]\n',
        b'{"loss": 2}\n',
        b'{"step": "3"}\n',
        b"\n",
    ],
)
def test_rubbish_is_dropped(path: Path, rubbish: bytes) -> None:
    log = MetricsLog(path)
    log.record(2, loss=1.0)
    whole = path.read_bytes()
    path.write_bytes(whole + rubbish)
    assert read_metrics(path.parent) == [{"step": 2, "loss": 1.0}]
    log.rewind(10)
    assert path.read_bytes() == whole


def test_any_cut_through_the_file_loses_at_most_the_last_line(path: Path) -> None:
    log = MetricsLog(path)
    for step in (1, 2, 3):
        log.record(step, loss=0.5, note="ü")
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        log.rewind(10)
        whole = data[:length].count(b"\n")
        assert steps(path)[:whole] == [1, 2, 3][:whole]
        assert len(steps(path)) <= whole + 1  # all of a line but its end is a line


@pytest.mark.parametrize("dies_in", ["fsync", "replace"])
def test_a_kill_while_rewinding_loses_nothing(path: Path, monkeypatch, dies_in: str) -> None:
    log = MetricsLog(path)
    for step in (1, 2, 3):
        log.record(step)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, dies_in, die)
    with pytest.raises(KeyboardInterrupt):
        log.rewind(2)
    monkeypatch.undo()
    assert steps(path) == [1, 2, 3]
    log.rewind(2)
    assert steps(path) == [1, 2]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_new_run_begins_with_an_empty_file(path: Path) -> None:
    MetricsLog(path).rewind(-1)
    assert path.read_bytes() == b""


def test_a_log_that_is_not_there_or_empty_is_named(path: Path) -> None:
    with pytest.raises(TranslatorError, match=r"metrics\.jsonl cannot be read.*folder of a run"):
        read_metrics(path.parent)
    MetricsLog(path).rewind(-1)
    with pytest.raises(TranslatorError, match=r"metrics\.jsonl is empty"):
        read_metrics(path.parent)


def test_sync_puts_the_log_on_the_disk(path: Path, monkeypatch) -> None:
    synced = []
    log = MetricsLog(path)
    log.record(1)
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    log.sync()
    assert synced == [path.stat().st_ino]
    assert steps(path) == [1]


# --- TensorBoard ---------------------------------------------------------------------------------


def test_tensorboard_that_is_not_installed_is_one_line(path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TranslatorError, match=r"pip install 'small-nmt\[tensorboard\]'"):
        MetricsLog(path, path.parent / "events")
    MetricsLog(path).record(1)  # nobody else needs it


def test_without_tensorboard_there_is_one_file(path: Path) -> None:
    log = MetricsLog(path)
    log.rewind(-1)
    log.record(1, loss=1.0)
    log.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.fixture
def read_events():
    """Gives `{tag: [(step, value)]}` of the event files in a folder."""
    pytest.importorskip("tensorboard", reason="needs the package tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        return {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }

    return read


def test_tensorboard_holds_the_same_numbers(path: Path, read_events) -> None:
    folder = path.parent / "tensorboard"
    log = MetricsLog(path, folder)
    log.rewind(-1)
    log.record(1, loss=2.5, lr=0.125, note="no number")
    log.record(2, loss=math.nan, lr=0.25)
    log.record(2, valid_bleu=12.5)
    # Not closed: a run that is killed has written them all the same.
    lines = read_metrics(path.parent)
    events = read_events(folder)
    assert events.keys() == {"train/loss", "train/lr", "valid/bleu"}
    for tag, name in (("train/loss", "loss"), ("train/lr", "lr"), ("valid/bleu", "valid_bleu")):
        assert events[tag] == series(lines, name)


def test_a_resumed_run_shows_no_point_twice(path: Path, read_events) -> None:
    folder = path.parent / "tensorboard"
    for start in (-1, 3):  # killed after step 6, and goes on from step 3
        log = MetricsLog(path, folder)
        log.rewind(start)
        for step in range(start + 1, 7):
            log.record(step, loss=step + (10.0 if start == 3 else 0.0))
    log.close()
    expected = [(step, float(step if step <= 3 else step + 10)) for step in range(7)]
    assert series(read_metrics(path.parent), "loss") == expected
    assert read_events(folder)["train/loss"] == expected


def test_a_log_that_was_never_rewound_writes_to_tensorboard_too(path: Path, read_events) -> None:
    log = MetricsLog(path, path.parent / "tensorboard")
    log.record(4, loss=1.0)
    log.close()
    assert read_events(path.parent / "tensorboard") == {"train/loss": [(4, 1.0)]}


def test_a_truncated_event_file_is_ignored(path: Path, read_events) -> None:
    folder = path.parent / "tensorboard"
    log = MetricsLog(path, folder)
    log.rewind(-1)
    for step in range(1, 5):
        log.record(step, loss=float(step))
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    again = MetricsLog(path, folder)
    again.rewind(2)
    again.record(3, loss=30.0)
    again.close()
    assert read_events(folder)["train/loss"] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_folder_for_tensorboard_that_cannot_be_made_is_one_line(path: Path, read_events) -> None:
    path.write_text("")
    with pytest.raises(TranslatorError, match=r"metrics\.jsonl/events cannot be written"):
        MetricsLog(path, path / "events").rewind(-1)
