"""What this machine has: devices, precision, threads, memory."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from translator.config.errors import TranslatorError
from translator.system.threads import choose_threads

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def return_memory() -> None:
    """Gives freed memory back to the system, which each process that is forked now would have too.

    What glibc keeps after a big computation are hundreds of megabytes.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        TranslatorError: the device is unknown or not there.
    """
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if present[d]))
    if not present.get(name.partition(":")[0]):
        there = ", ".join(d for d, is_there in present.items() if is_there)
        raise TranslatorError(f'There is no device "{name}" here; there is: auto, {there}.')
    return torch.device(name)


def fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 much faster than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        there = torch.cpu.get_capabilities()
        return any(there.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` as "bf16" or "fp32"."""
    if precision == "auto":
        return "bf16" if fast_bf16(device) else "fp32"
    return precision


class MemoryPeak:
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
            return_memory()  # what glibc has kept would be used again and hide what is needed
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")  # the peak starts again

    def read(self) -> int | None:
        """The peak since `start`; None where it cannot be found out."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return process_status("VmHWM") if sys.platform == "linux" else None


def process_status(name: str) -> int | None:
    """A size from this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


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


def set_up_cpu(threads: int) -> None:
    """Sets the number of threads, 0 = as many as are idle, and lets the process keep freed memory.

    PyTorch frees and allocates megabytes with every operation. By default glibc returns them to
    the system each time, and the page faults cost up to a quarter of a search.
    """
    torch.set_num_threads(threads or choose_threads())
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most that there may be
        libc.mallopt(_M_TRIM_THRESHOLD, 2**30)
