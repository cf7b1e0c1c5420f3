"""Several processes, started by `torchrun`; one process runs the same code."""

import datetime
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from translator.config.errors import TranslatorError


@dataclass(frozen=True)
class Ranks:
    """Which process this is, of how many."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_size: int = 1  # processes on this machine

    @property
    def first(self) -> bool:
        """Whether this process speaks, writes and validates for all."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """The sums over all processes; through the CPU, so that no GPU is waited for."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def from_first(self, *values: float) -> list[float]:
        """The first process's values, in all processes."""
        if self.world_size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(tensor, src=0)
        return tensor.tolist()

    def send(self, tensor: torch.Tensor, owner: int) -> Callable[[], object]:
        """Begins to replace a tensor by that of the process `owner`; returns what waits for it.

        All processes call this in the same order.
        """
        if self.world_size == 1:
            return lambda: None
        work = dist.broadcast(tensor, src=owner, async_op=True)
        assert work is not None
        return work.wait

    def wait(self) -> None:
        """Until all processes are here."""
        self.sum(0.0)

    def device(self, device: torch.device) -> torch.device:
        """The GPU of this process, if it is to be on one."""
        if device.type == "cuda" and self.world_size > 1:
            return torch.device("cuda", self.local_rank)
        return device


def current_ranks() -> Ranks:
    """From the environment that torchrun sets."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    rank, world_size, local_rank, local_size = (int(os.environ.get(name, "-1")) for name in names)
    if world_size < 2:
        return Ranks()
    return Ranks(rank, world_size, max(local_rank, 0), max(local_size, 1))


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """Joins the processes that torchrun has started, if it has; leaves them at the end.

    Numbers travel through gloo on the CPU, gradients on GPUs through NCCL.
    """
    ranks = current_ranks()
    if ranks.world_size == 1 or dist.is_initialized():
        yield ranks
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(ranks.device(device))
        backend = "cpu:gloo,cuda:nccl"
    # A validation is made by one process while the others wait.
    dist.init_process_group(backend, timeout=datetime.timedelta(hours=2))
    try:
        yield ranks
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise TranslatorError(
            "Another process of this run has failed, see its own error; this one ends too."
        ) from None
    finally:
        # What still holds the group, such as DistributedDataParallel in its cycles of references,
        # would have its threads end with the interpreter, which now and then aborts the process.
        gc.collect()
        dist.destroy_process_group()


def _is_lost_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection" in str(error)
