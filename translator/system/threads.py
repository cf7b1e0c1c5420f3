"""How many threads compute, and what they do while they wait; decided before torch is imported.

Threads that spin while they wait for each other are quickest on an idle machine, but beside other
work each spins away the time slice in which the thread that it waits for could have finished.
"""

import os
import time
from collections.abc import MutableMapping
from pathlib import Path

_STAT = Path("/proc/stat")
_SPINS = "1000"  # some microseconds: longer than idle threads need, short beside a time slice
_WINDOW = 0.05  # seconds in which the load can be measured


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Lets waiting threads fall asleep soon, unless the user has chosen a policy.

    This works only before torch, with its OpenMP library, is imported.
    """
    if not any(name in environment for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")):
        environment["GOMP_SPINCOUNT"] = _SPINS
    environment.setdefault("KMP_BLOCKTIME", "0")  # the same for Intel's library and LLVM's


class LoadMeter:
    """Measures how many processors others leave idle, from when it is made until it is asked."""

    def __init__(self) -> None:
        self._start = _times()

    def idle(self) -> float:
        """Processors that this process could use now, between 0 and `available_cpus()`."""
        cpus = available_cpus()
        if self._start is None:
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            return max(cpus - load, 0.0)
        time.sleep(max(_WINDOW - (time.monotonic() - self._start[0]), 0))
        end = _times()
        assert end
        seconds, idle, own = (b - a for a, b in zip(self._start, end, strict=True))
        return min(max((idle + own) / seconds, 0.0), cpus)


def available_cpus() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _times() -> tuple[float, float, float] | None:
    """Seconds: now, idle on the processors of this process, used by it; None where unknown."""
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return None
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = [int(line.split()[4]) for line in lines if line.split(" ", 1)[0] in ours]
    idle = sum(ticks) / os.sysconf("SC_CLK_TCK")
    used = os.times()
    return time.monotonic(), idle, used.user + used.system


_meter = LoadMeter()


def choose_threads(environment: MutableMapping[str, str] = os.environ) -> int:
    """As many threads as processors are idle, at least one; or what `OMP_NUM_THREADS` says."""
    named = environment.get("OMP_NUM_THREADS", "")
    if named.isdecimal() and int(named):
        return int(named)
    return max(round(_meter.idle()), 1)
