"""A CUDA graph on a CPU: operations that are recorded once and replayed without Python."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

ASKING = {"item", "_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal"}
ASKING |= {"repeat_interleave"}  # with a tensor; in some versions of PyTorch with a number too


class _Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self.made: set[int] = set()  # by the calls
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # what they found, and a copy of it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        assert name not in ASKING, f"{name} waits for the device"
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                assert not value.is_meta, f"{name} of a tensor that is made elsewhere"
                if id(value) not in self.made:
                    self.before.setdefault(id(value), (value, value.clone()))
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        self.made |= {id(value) for value in tree_leaves(result)} - self.before.keys()
        return result


def record(work: Callable[[], Any], device: torch.device, pool: Any = None) -> Callable[[], None]:
    """As `translator.system.graphs.record` on a GPU: changes nothing, returns what replays it.

    All that `work` computes in Python is as it was once and for all; tensors that it makes where it
    does not say must not meet others, for they would not be on the GPU.
    """
    tape = _Tape()
    with torch.device("meta"), tape:
        work()
    for value, copy in tape.before.values():
        if not torch.equal(value, copy):
            value.copy_(copy)

    def replay() -> None:
        now: dict[int, Tensor] = {}
        for func, args, kwargs, result in tape.calls:
            args, kwargs = tree_map_only(Tensor, lambda t: now.get(id(t), t), (args, kwargs))
            found = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(found), strict=True):
                if id(old) not in tape.before:
                    now[id(old)] = new

    return replay
