"""The log of a run for programs: written while it trains, and read back."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translator.config.errors import TranslatorError
from translator.system.disk import sync, write_file
from translator.system.optional import require

METRICS = "metrics.jsonl"


class MetricsLog:
    """`metrics.jsonl`: one object per line, each with its `step`; and TensorBoard beside it.

    TensorBoard shows `valid_NAME` as `valid/NAME`, and all the rest as `train/NAME`.
    """

    def __init__(self, path: Path, tensorboard: Path | None = None):
        """Opens nothing yet.

        Args:
            path: the file, which need not exist.
            tensorboard: the folder for TensorBoard's event files; None for none.

        Raises:
            TranslatorError: TensorBoard is requested but not installed.
        """
        self.path = path
        self.tensorboard = tensorboard
        self._writer_class: Any = None
        if tensorboard is not None:
            module, need = "torch.utils.tensorboard", "TensorBoard is not installed"
            self._writer_class = require(module, need, "tensorboard").SummaryWriter
        self._writer: Any = None

    def record(self, step: int, **values: Any) -> None:
        """Appends a line in one write; numbers that are not finite become null."""
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        line = json.dumps({"step": step, **finite}, allow_nan=False) + "\n"
        with open(self.path, "ab") as file:
            file.write(line.encode())
            file.flush()
        if self._writer_class is not None:
            if self._writer is None:
                self._open(None)
            for name, value in finite.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(_tag(name), value, step)
            self._writer.flush()

    def sync(self) -> None:
        """Waits until all lines are on the disk, before a checkpoint refers to them."""
        with open(self.path, "ab") as file:
            sync(file)

    def rewind(self, step: int) -> None:
        """Drops the lines after `step`, and those that a kill cut short.

        The file is replaced as a whole: a kill in here loses nothing.
        """
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        kept = [line + b"\n" for line in lines if _step_of(line) <= step]
        write_file(self.path, b"".join(kept))
        if self._writer_class is not None:
            self._open(step + 1)

    def close(self) -> None:
        """Closes TensorBoard's file; a run that is killed loses nothing."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, purge_step: int | None) -> None:
        """Opens a new event file, which hides what earlier ones say from `purge_step` on."""
        self.close()
        try:
            self._writer = self._writer_class(str(self.tensorboard), purge_step=purge_step)
        except OSError as error:
            raise TranslatorError(
                f"{self.tensorboard} cannot be written: {error.strerror}."
            ) from None


def _tag(name: str) -> str:
    """The name with its group, which TensorBoard takes from before the first slash."""
    is_valid = name.startswith("valid_")
    return f"valid/{name.removeprefix('valid_')}" if is_valid else f"train/{name}"


def _parse(line: bytes) -> dict[str, Any] | None:
    """A line's object; None if it is cut short, not UTF-8, or has no step."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    is_step = isinstance(values, dict) and isinstance(values.get("step"), int)
    return values if is_step else None


def _step_of(line: bytes) -> float:
    values = _parse(line)
    return math.inf if values is None else values["step"]


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The readable lines of a run's `metrics.jsonl`.

    Raises:
        TranslatorError: the file is missing or empty.
    """
    path = run / METRICS
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise TranslatorError(
            f"{path} cannot be read ({error.strerror}): name the folder of a run."
        ) from None
    found = [values for line in lines if (values := _parse(line)) is not None]
    if not found:
        raise TranslatorError(f"{path} is empty: the run has not logged anything yet.")
    return found


def series(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    """The `(step, value)` where `name` is a finite number, by step; the last one logged counts."""
    found = {
        line["step"]: float(line[name])
        for line in lines
        if isinstance(line.get(name), int | float) and math.isfinite(line[name])
    }
    return sorted(found.items())


class Speed:
    """Target tokens a second in the updates alone."""

    def __init__(self) -> None:
        self.n_tokens, self.seconds, self.start = 0, 0.0, time.monotonic()

    def restart(self) -> None:
        """Ignores the time since the last update, which something else took."""
        self.start = time.monotonic()

    def add(self, n_tokens: int) -> None:
        now = time.monotonic()
        self.seconds, self.start = self.seconds + now - self.start, now
        self.n_tokens += n_tokens

    def take(self) -> float:
        """The speed since the last call."""
        speed = self.n_tokens / max(self.seconds, 1e-9)
        self.n_tokens, self.seconds = 0, 0.0
        return speed


def duration(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
