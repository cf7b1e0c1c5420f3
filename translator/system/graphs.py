"""Work of a GPU that is recorded once as a CUDA graph, and replayed without the processor.

Such work depends on tensors that stay where they are, changes them in place, and never waits for
the device. Elsewhere it is simply called.
"""

from collections.abc import Callable
from typing import Any

import torch


def warm_up(work: Callable[[], Any], device: torch.device) -> None:
    """Runs `work` as it must have run before it is recorded; nothing on other devices.

    Compilers and libraries do here what may not be done while a graph is recorded.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                work()
            torch.cuda.current_stream().wait_stream(side)


def record(work: Callable[[], Any], device: torch.device, pool: Any = None) -> Callable[[], Any]:
    """Records `work`, without running it. Returns what runs it; on other devices `work` itself.

    Args:
        work: what `warm_up` has run.
        device: where it runs.
        pool: of another graph, to use the same memory; they must not run at the same time.
    """
    if device.type != "cuda":
        return work
    graph = torch.cuda.CUDAGraph()
    options = {"pool": pool, "capture_error_mode": "thread_local"}
    with torch.cuda.device(device), torch.cuda.graph(graph, **options):
        work()
    return graph.replay
