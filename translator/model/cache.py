"""What incremental decoding keeps from step to step: keys and values of each layer.

A slot is the place of one token of one hypothesis in the cache of a self-attention.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


class KeyValueCache:
    """Keys and values of a layer's self-attention, slot after slot: `(2, B * H, capacity, Dh)`."""

    def __init__(self) -> None:
        self.buffer: Tensor | None = None

    def append(self, new: Tensor, end: int) -> tuple[Tensor, Tensor]:
        """Writes `new` `(2, B, H, K, Dh)` into the slots before `end`; `(B * H, end, Dh)` each."""
        _, batch, n_heads, n_new, d_head = new.shape
        start, buffer = end - n_new, self.buffer
        if buffer is None or buffer.shape[2] < end:
            self.buffer = new.new_empty(2, batch * n_heads, max(2 * end, 8 * n_new), d_head)
            if buffer is not None:
                self.buffer[:, :, :start] = buffer[:, :, :start]
            buffer = self.buffer
        buffer.view(2, batch, n_heads, -1, d_head).narrow(3, start, n_new).copy_(new)
        key, value = buffer.narrow(2, 0, end).unbind(0)
        return key, value

    def keep(self, heads: Tensor) -> None:
        """Keeps only the rows `heads` `(new B * H,)`."""
        if self.buffer is not None:
            self.buffer = self.buffer[:, heads]

    def gather(self, slots: Tensor) -> None:
        """Keeps only `slots` `(B * H, n)` of each row, in this order."""
        assert self.buffer is not None
        index = slots[None, :, :, None].expand(2, -1, -1, self.buffer.shape[3])
        self.buffer = self.buffer.gather(2, index)


@dataclass
class CrossAttentionCache:
    """Keys and values of the sources for the cross-attention of a layer, computed once.

    Keys are `(B * H, Dh, S)`, values `(B * H, S, Dh)`, and `bias`, which is added to the scores,
    `(B * H, 1, S)` or nothing; if `joined` with the projections, `(B, D, H * S)`, `(B, H * S, D)`
    and `(B, 1, H * S)`.
    """

    key: Tensor
    value: Tensor
    bias: Tensor | None
    joined: bool

    def keep(self, sources: Tensor, heads: Tensor) -> None:
        """Keeps only `sources` `(new B,)`, which are the rows `heads` `(new B * H,)`."""
        rows = sources if self.joined else heads
        self.key, self.value = self.key[rows], self.value[rows]
        if self.bias is not None:
            self.bias = self.bias[rows]


@dataclass
class DecoderState:
    """The progress of a batch of sources; `IncrementalDecoder.start` makes one."""

    n_sources: int
    n_heads: int
    cross_caches: list[CrossAttentionCache]  # one for each layer
    self_caches: list[KeyValueCache]  # one for each layer
    length: int = 0  # tokens decoded so far
    n_slots: int = 0
    compact_at: int = 32  # slots
    # (B, K, slots): 0 where a slot belongs to the hypothesis' own past, else -inf; None: all do
    visible: Tensor | None = None

    def extend(self, n_hypotheses: int, like: Tensor) -> Tensor | None:
        """Adds a slot for each hypothesis. Returns `visible` for each head: `(B * H, K, slots)`."""
        self.length += 1
        self.n_slots += n_hypotheses
        if self.visible is None and n_hypotheses == 1:
            return None
        own = like.new_full((n_hypotheses, n_hypotheses), float("-inf")).fill_diagonal_(0.0)
        own = own.expand(self.n_sources, -1, -1)
        self.visible = own if self.visible is None else torch.cat([self.visible, own], dim=2)
        return self.visible.repeat_interleave(self.n_heads, dim=0)

    def reorder(self, parents: Tensor) -> None:
        """From now on hypothesis k of source b continues `parents[b, k]`."""
        if self.visible is None:
            if parents.shape[1] > 1:  # the only hypothesis has several children
                self.visible = self.cross_caches[0].value.new_zeros(*parents.shape, self.n_slots)
            return
        index = parents[:, :, None].expand(-1, -1, self.n_slots)
        self.visible = self.visible.gather(1, index)
        if self.n_slots >= self.compact_at:
            self._compact(self.visible)

    def _compact(self, visible: Tensor) -> None:
        """Frees the slots that no hypothesis sees any more: most soon have no descendants."""
        live = (visible == 0).any(dim=1)  # (B, slots)
        n_live = int(live.sum(dim=1).max())
        if n_live <= 0.7 * self.n_slots:
            # Stable: the live ones keep their order.
            order = live.int().argsort(dim=1, descending=True, stable=True)[:, :n_live]
            index = order[:, None, :].expand(-1, visible.shape[1], -1)
            self.visible, self.n_slots = visible.gather(2, index), n_live
            for cache in self.self_caches:
                cache.gather(order.repeat_interleave(self.n_heads, dim=0))
        self.compact_at = self.n_slots + 16

    def keep(self, sources: Tensor) -> None:
        """Keeps only these sources `(new B,)`."""
        heads = torch.arange(self.n_sources * self.n_heads, device=sources.device)
        heads = heads.view(self.n_sources, self.n_heads)[sources].flatten()
        self.n_sources = len(sources)
        if self.visible is not None:
            self.visible = self.visible[sources]
        for cross, own in zip(self.cross_caches, self.self_caches, strict=True):
            cross.keep(sources, heads)
            own.keep(heads)
