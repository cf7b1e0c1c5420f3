"""How much memory and time a run needs, measured by real updates of a throwaway model."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from data_prep.cleaning.corpus_checks import Finding
from translator.config.schema import Config, ModelConfig
from translator.model.batch import Batch
from translator.model.packing import PackedBatch
from translator.model.transformer import Transformer
from translator.system.machine import MemoryPeak, available_memory, process_status
from translator.system.processes import Ranks
from translator.training.loader import Batches, BatchSampler
from translator.training.update import Updater

# Padded tokens of the two parts of the largest batch that are computed: enough to see the slope,
# too few for the system to kill the process.
PROBES = (512, 1536)
# What a long run needs beyond the measurement (a factor and a constant): memory fragmentation
# between batches of many shapes, and on a CPU code for each shape. Updates of `tiny` and `small`
# (2,048 tokens) and `general` (3,072) measured 388, 471 and 1,057 MiB; runs took 948, 1,156, 2,263.
MARGIN = {"cpu": (2.0, 256 * 2**20), "cuda": (1.25, 0)}
SPEED_SECONDS = 6.0  # about how long to measure the speed
SPEED_UPDATES = 3


def format_size(n_bytes: float) -> str:
    """Formats bytes as MiB or GiB."""
    if n_bytes < 2**30:
        return f"{n_bytes / 2**20:,.0f} MiB"
    return f"{n_bytes / 2**30:,.1f} GiB"


@dataclass(frozen=True)
class Memory:
    """The memory a run needs, in bytes, beyond what the process uses before building the model."""

    update: int  # for one update with the largest batch, of one process
    need: int  # for the whole run, of all processes on this machine
    available: int | None  # None if it cannot be determined
    batch: str  # rows x pieces of the source, of the target

    def warning(self) -> Finding | None:
        """The warning to show if the system may kill the run."""
        if self.available is None or self.need <= 0.9 * self.available:
            return None
        text = (
            f"With its largest batch ({self.batch}) the run needs about {format_size(self.need)} "
            f"of memory, but only {format_size(self.available)} are free: the system may kill it. "
            "Use smaller batches (--set train.max_tokens=...) and proportionally more of them per "
            "update (--set train.accum_steps=...), or a smaller model."
        )
        return Finding("memory", "warning", text)


def largest_batch(sampler: BatchSampler, batches: Batches, model: ModelConfig) -> list[int]:
    """The batch that needs the most memory for the states of all layers and attention scores."""
    s, t = batches.longest(sampler.lengths(0)).double()  # (batches,) each
    encoder = model.n_encoder_layers * (s * (8 * model.d_model + model.d_ff))
    decoder = model.n_decoder_layers * (t * (12 * model.d_model + model.d_ff))
    squares = model.n_encoder_layers * s * s + model.n_decoder_layers * t * (t + s)
    cost = batches.sizes * (encoder + decoder + 3 * model.n_heads * squares)
    return batches[int(cost.argmax())]


def _take_part(
    batch: Batch | PackedBatch, max_tokens: int, device: torch.device, min_rows: int = 1
) -> Batch | PackedBatch:
    """The first rows of a batch with at most `max_tokens` padded tokens, but at least `min_rows`.

    On a GPU it stays whole, because an update is captured for batches of one shape.
    """
    if device.type == "cuda":
        return batch
    longest = max(batch.src.shape[1], batch.tgt_in.shape[1])
    return batch.split(-(-len(batch.src) // max(max_tokens // longest, min_rows)))[0]


def probe_memory(
    config: Config,
    batch: Batch | PackedBatch,
    device: torch.device,
    ranks: Ranks | None = None,
) -> Memory | None:
    """Estimates the memory that updates with `batch` need, from real updates of parts of it.

    The memory of an update grows linearly with the rows of a batch. So two parts are computed with
    a throwaway model and the result is extrapolated to the whole batch. The states of the random
    number generators do not change.

    Args:
        config: including the vocabulary size.
        batch: the largest one.
        device: of the run.
        ranks: the processes, each of which computes its share of the rows.

    Returns:
        None if memory cannot be measured.
    """
    peak = MemoryPeak(device)
    peak.start()
    base = peak.read()
    if base is None:
        return None
    if device.type == "cpu":
        base = process_status("VmRSS") or base
    available = available_memory(device)
    ranks = ranks or Ranks()
    share = batch.split(ranks.world_size)[0]
    # The slope needs two numbers of rows.
    parts = [_take_part(share, tokens, device, rows) for rows, tokens in enumerate(PROBES, 1)]
    with torch.random.fork_rng():
        updater = _build_throwaway(config, device)
        updater.update(parts[1:], 1)  # allocates what persists, such as the optimizer's state
        used = []
        for part in parts:
            peak.start()
            updater.update([part], 1)
            used.append((peak.read() or 0) - base)
    rows = [len(part.src) for part in parts]
    slope = (used[1] - used[0]) / (rows[1] - rows[0]) if rows[1] > rows[0] else 0.0
    need = max(used) + max(slope, 0.0) * (len(share.src) - rows[1])
    size = f"{len(batch.src)} x {batch.src.shape[1]} and {batch.tgt_in.shape[1]} pieces"
    factor, extra = MARGIN.get(device.type, (1.25, 0))
    whole = (int(need * factor) + extra) * ranks.local_size
    return Memory(int(need), whole, available, size)


def _build_throwaway(config: Config, device: torch.device) -> Updater:
    """The run's initial model and optimizer; not compiled on a CPU, where that takes minutes."""
    return Updater(Transformer(config.model).to(device), replace(config.train, compile=False))


def measure_speed(
    config: Config, batches: Sequence[Batch | PackedBatch], device: torch.device
) -> tuple[float, Updater]:
    """Measures target tokens per second; returns them and the updater that was used.

    If a batch would take too long, only a part of it is computed.
    """
    with torch.random.fork_rng():
        updater = _build_throwaway(config, device)

        def seconds(batch: Batch | PackedBatch) -> float:
            start = time.monotonic()
            updater.update([batch], 1)
            updater.take_outcomes()  # waits for the device
            return time.monotonic() - start

        trial = _take_part(batches[0], PROBES[1], device)
        seconds(trial)  # the first update allocates memory
        rate = trial.n_tokens / seconds(trial)
        speeds = []
        for batch in batches:
            slow = batch.n_tokens > rate * SPEED_SECONDS / SPEED_UPDATES
            if slow and device.type != "cuda":
                share = batch.n_tokens / (rate * SPEED_SECONDS / SPEED_UPDATES)
                batch = batch.split(int(share) + 1)[0]
            speeds.append(batch.n_tokens / seconds(batch))
    return statistics.median(speeds), updater
