"""What a run needs of memory and time, from real updates of a model that is thrown away."""

import contextlib
import ctypes
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from data_prep.sniff import Finding
from translator.config import Config, ModelConfig
from translator.data import Batch, Batches, BatchSampler
from translator.model import Transformer
from translator.update import Updater

# How many padded tokens the parts of the worst batch have that are really computed, one after the
# other: enough to see the slope, too few to be killed for.
PROBES = (512, 1536)
# What a long run needs over what was measured: fragments of memory between batches of many shapes,
# and on a CPU code for each shape. `tiny` on Multi30k measured 260 MB and took 970, with R-Drop 880
# and 2,000.
MARGIN = {"cpu": (2.0, 512 * 2**20), "cuda": (1.25, 0)}
SPEED_SECONDS = 6.0  # about how long the speed is measured
SPEED_UPDATES = 3


def size_text(n_bytes: float) -> str:
    """Bytes as MiB or GiB."""
    if n_bytes < 2**30:
        return f"{n_bytes / 2**20:,.0f} MiB"
    return f"{n_bytes / 2**30:,.1f} GiB"


@dataclass(frozen=True)
class Memory:
    """What a run needs, in bytes, beyond what the process has before the model."""

    update: int  # for one update with the largest batch
    need: int  # for all
    available: int | None  # None where it cannot be found out
    batch: str  # rows x pieces of the source, of the target

    def warning(self) -> Finding | None:
        """What to say if the run would be killed, or nearly."""
        if self.available is None or self.need <= 0.9 * self.available:
            return None
        text = (
            f"With its largest batch ({self.batch}) the run needs about {size_text(self.need)} of "
            f"memory, but only {size_text(self.available)} are free: the system may kill it. Use "
            "smaller batches (--set train.max_tokens=...) and as many more of them for an update "
            "(--set train.accum_steps=...), or a smaller model."
        )
        return Finding("memory", "warning", text)


def largest_batch(sampler: BatchSampler, batches: Batches, model: ModelConfig) -> list[int]:
    """The batch that needs most memory: states of all layers, and attention's square matrices."""
    s, t = batches.longest(sampler.lengths(0)).double()  # (batches,) each
    encoder = model.n_encoder_layers * (s * (8 * model.d_model + model.d_ff))
    decoder = model.n_decoder_layers * (t * (12 * model.d_model + model.d_ff))
    squares = model.n_encoder_layers * s * s + model.n_decoder_layers * t * (t + s)
    cost = batches.sizes * (encoder + decoder + 3 * model.n_heads * squares)
    return batches[int(cost.argmax())]


def _part(batch: Batch, max_tokens: int) -> Batch:
    """The first rows of a batch, at least one, with at most so many padded tokens."""
    longest = max(batch.src.shape[1], batch.tgt_in.shape[1])
    return batch.split(-(-len(batch.src) // max(max_tokens // longest, 1)))[0]


class _Peak:
    """The most memory that is used from `start` on, in bytes over what was used then."""

    def __init__(self, device: torch.device):
        self.device = device
        self.base = 0

    def start(self) -> None:
        """Counts from here on."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        elif sys.platform == "linux":
            # Freed memory that glibc has kept would be used again and hide what is needed.
            if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
                libc.malloc_trim(0)
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew

    def read(self) -> int | None:
        """The peak since `start`; None where it cannot be found out."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return _status("VmHWM") if sys.platform == "linux" else None


def _status(name: str) -> int | None:
    """A size from this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


def probe_memory(config: Config, batch: Batch, device: torch.device) -> Memory | None:
    """What updates with `batch` need, from real updates of parts of it.

    The memory of an update grows in a straight line with the rows of a batch. So two parts are
    computed with a model that is thrown away, and the line is drawn out to the whole. The
    generators of random numbers are left as they were.

    Args:
        config: with the vocabulary's size.
        batch: the largest one.
        device: of the run.

    Returns:
        None where memory cannot be measured.
    """
    peak = _Peak(device)
    peak.start()
    base = peak.read()
    if base is None:
        return None
    if device.type == "cpu":
        base = _status("VmRSS") or base
    available = available_memory(device)
    parts = [_part(batch, tokens) for tokens in PROBES]
    with torch.random.fork_rng():
        updater = _throwaway(config, device)
        updater.update(parts[1:], 1)  # makes what stays, such as the optimizer's state
        used = []
        for part in parts:
            peak.start()
            updater.update([part], 1)
            used.append((peak.read() or 0) - base)
    rows = [len(part.src) for part in parts]
    slope = (used[1] - used[0]) / (rows[1] - rows[0]) if rows[1] > rows[0] else 0.0
    need = max(used) + max(slope, 0.0) * (len(batch.src) - rows[1])
    size = f"{len(batch.src)} x {batch.src.shape[1]} and {batch.tgt_in.shape[1]} pieces"
    times, more = MARGIN.get(device.type, (1.25, 0))
    return Memory(int(need), int(need * times) + more, available, size)


def _throwaway(config: Config, device: torch.device) -> Updater:
    """A model as the run would begin with, and its optimizer; not compiled, which takes minutes."""
    return Updater(Transformer(config.model).to(device), replace(config.train, compile=False))


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be had, of the GPU or of the machine and this process's limits."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if sys.platform != "linux":
        return None
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    return min([free, *_group_memory()])


def _group_memory(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[int]:
    """What is left of each limit on a control group of this process, version 1 or 2."""
    try:
        entries = [line.split(":", 2) for line in groups.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in entries:
        if controllers == "":
            top, names = root, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            top, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        group = top / path.lstrip("/")
        for level in (group, *group.parents):  # a limit on any of them holds
            with contextlib.suppress(OSError, ValueError):
                limit, used = (int((level / name).read_text()) for name in names)  # "max": none
                stat = dict(line.split() for line in (level / "memory.stat").open())
                # Files in the cache give way.
                cache = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
                yield max(limit - used + cache, 0)
            if level == top:
                break


def measure_speed(
    config: Config, batches: Sequence[Batch], device: torch.device
) -> tuple[float, Updater]:
    """Target tokens a second of some updates after a first one, and what made them.

    Where a batch would take too long, a part of it is computed.
    """
    with torch.random.fork_rng():
        updater = _throwaway(config, device)

        def seconds(batch: Batch) -> float:
            start = time.monotonic()
            updater.update([batch], 1)
            updater.results()  # waits for the device
            return time.monotonic() - start

        trial = _part(batches[0], PROBES[1])
        seconds(trial)  # the first one allocates
        rate = trial.n_tokens / seconds(trial)
        speeds = []
        for batch in batches:
            if batch.n_tokens > rate * SPEED_SECONDS / SPEED_UPDATES:
                share = batch.n_tokens / (rate * SPEED_SECONDS / SPEED_UPDATES)
                batch = batch.split(int(share) + 1)[0]
            speeds.append(batch.n_tokens / seconds(batch))
    return statistics.median(speeds), updater
