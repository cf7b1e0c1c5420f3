"""What a run writes down about itself while it goes on."""

import json
import math
import time
from pathlib import Path
from typing import Any


class MetricsLog:
    """`metrics.jsonl`: one object per line, each with its `step`."""

    def __init__(self, path: Path):
        self.path = path

    def record(self, step: int, **values: Any) -> None:
        """Appends a line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def rewind(self, step: int) -> None:
        """Drops the lines after `step`, and one that a kill has cut short."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        self.path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf


class Speed:
    """Target tokens a second in the updates alone."""

    def __init__(self) -> None:
        self.n_tokens, self.seconds, self.start = 0, 0.0, time.monotonic()

    def restart(self) -> None:
        """Leaves out the time since the last update, which went into something else."""
        self.start = time.monotonic()

    def add(self, n_tokens: int) -> None:
        now = time.monotonic()
        self.seconds, self.start = self.seconds + now - self.start, now
        self.n_tokens += n_tokens

    def take(self) -> float:
        """The speed since it was last asked for."""
        speed = self.n_tokens / max(self.seconds, 1e-9)
        self.n_tokens, self.seconds = 0, 0.0
        return speed


def duration(seconds: float) -> str:
    """Seconds as hours:minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
