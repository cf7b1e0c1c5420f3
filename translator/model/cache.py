"""What incremental decoding keeps from step to step: keys and values of each layer.

A slot is the place of one token of one hypothesis in the cache of a self-attention.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from translator.model.transformer import Transformer


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

    def position(self, model: Transformer) -> Tensor:
        """The encoding of the position of the next token: `(1, D)`."""
        return model.position(self.length, self.length + 1)

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


class FixedCache(KeyValueCache):
    """A cache whose capacity is given, and which a tensor tells the next slots.

    Args:
        buffer: `(2, B * H, capacity, Dh)`.
        slots: `(K,)`, where the next tokens are put.
    """

    def __init__(self, buffer: Tensor, slots: Tensor):
        self.buffer, self.slots = buffer, slots

    def append(self, new: Tensor, end: int) -> tuple[Tensor, Tensor]:
        """Writes `new` `(2, B, H, K, Dh)` into the next slots; all before `end` as for others."""
        assert self.buffer is not None
        _, batch, n_heads, _, d_head = new.shape
        self.buffer.view(2, batch, n_heads, -1, d_head).index_copy_(3, self.slots, new)
        key, value = self.buffer.narrow(2, 0, end).unbind(0)
        return key, value


class FixedState(DecoderState):
    """A state in tensors that stay where they are, so that a GPU can replay a step.

    Each slot is used once. Whoever calls `IncrementalDecoder.step` sets `n_slots`, of which at
    least those must be taken in that are in use: a step reads no others.

    Args:
        like: a state whose sources have the length and the type that these will have.
        n_sources, n_hypotheses: of the buffers.
        positions: `(T, D)`, the encodings of as many positions as there can be steps.
    """

    def __init__(self, like: DecoderState, n_sources: int, n_hypotheses: int, positions: Tensor):
        key, n_heads = like.cross_caches[0].key, like.n_heads  # (B * H, Dh, S)
        heads, (_, d_head, length) = n_sources * n_heads, key.shape
        self.positions = positions
        self.step = torch.zeros(1, dtype=torch.long, device=key.device)
        self.first_slots = torch.arange(-n_hypotheses, 0, device=key.device)
        self.slots = self.first_slots.clone()
        n_slots = n_hypotheses * len(positions)
        cross_caches = [
            CrossAttentionCache(
                key.new_zeros(heads, d_head, length),
                key.new_zeros(heads, length, d_head),
                key.new_zeros(heads, 1, length),
                joined=False,
            )
            for _ in like.cross_caches
        ]
        self_caches: list[KeyValueCache] = [
            FixedCache(key.new_zeros(2, heads, n_slots, d_head), self.slots) for _ in cross_caches
        ]
        super().__init__(n_sources, n_heads, cross_caches, self_caches)
        self.seen = key.new_zeros(n_sources, n_hypotheses, n_slots)  # as `visible`
        own = key.new_full((n_hypotheses, n_hypotheses), float("-inf")).fill_diagonal_(0.0)
        self.own = own.expand(n_sources, -1, -1)

    def load(self, started: DecoderState) -> None:
        """Begins with the sources of `started`, as many as there are, in the first rows."""
        self.step.zero_()
        self.slots.copy_(self.first_slots)
        self.seen.fill_(float("-inf"))
        for cache, new in zip(self.cross_caches, started.cross_caches, strict=True):
            assert cache.bias is not None and not new.joined
            rows = len(new.key)
            cache.key[:rows], cache.value[:rows] = new.key, new.value
            cache.bias[:rows] = 0.0 if new.bias is None else new.bias

    def position(self, model: Transformer) -> Tensor:
        return self.positions.index_select(0, self.step)

    def extend(self, n_hypotheses: int, like: Tensor) -> Tensor:
        self.step += 1
        self.slots += n_hypotheses
        self.seen.index_copy_(2, self.slots, self.own)
        seen = self.seen[:, None, :, : self.n_slots].expand(-1, self.n_heads, -1, -1)
        return seen.reshape(-1, n_hypotheses, self.n_slots)

    def reorder(self, parents: Tensor) -> None:
        index = parents[:, :, None].expand(-1, -1, self.seen.shape[2])
        self.seen.copy_(self.seen.gather(1, index))
