"""Lists of ids -> padded batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translator.text.tokenizer import BOS, EOS, PAD, IdPair

CHUNK = 512  # positions whose logits are computed at a time; in training a GPU takes more


@dataclass(frozen=True)
class Batch:
    """Padded ids. `tgt_in` is BOS + target, `tgt_out` is target + EOS."""

    src: Tensor  # (B, S)
    tgt_in: Tensor  # (B, T)
    tgt_out: Tensor  # (B, T)
    positions: Tensor  # (N,), indices of the real target tokens in `tgt_out.flatten()`

    @property
    def n_tokens(self) -> int:
        """The number of real target tokens, EOS included."""
        return len(self.positions)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(*(change(t) for t in (self.src, self.tgt_in, self.tgt_out, self.positions)))

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`; the copy from pinned memory is asynchronous."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The same batch in pinned memory, so that copies to a GPU overlap with its work."""
        return self._map(Tensor.pin_memory)

    src_positions = tgt_positions = None  # 0, 1, ... in each row

    def masks(self, dtype: torch.dtype) -> tuple[Tensor, None, Tensor]:
        """The masks of source, target (None: causal) and cross-attention.

        `dtype` is only used by `PackedBatch`.
        """
        src_mask = (self.src != PAD)[:, None, None, :]  # (B, 1, 1, S)
        return src_mask, None, src_mask

    def select_targets(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States `(B, T, D)` -> those at the N real target positions `(N, D)`, and the targets.

        States `(2B, T, D)` of a batch made by `duplicate` -> `(2N, D)`, and the targets once.
        """
        flat = states.flatten(0, 1).unflatten(0, (-1, self.tgt_out.numel()))  # (views, B * T, D)
        selected = flat.index_select(1, self.positions).flatten(0, 1)
        return selected, self.tgt_out.flatten()[self.positions]

    def duplicate(self) -> "Batch":
        """A batch with all input rows followed by a copy of them; the targets occur once."""
        src, tgt_in = (torch.cat([ids, ids]) for ids in (self.src, self.tgt_in))
        return Batch(src, tgt_in, self.tgt_out, self.positions)

    def split(self, n_parts: int) -> list["Batch"]:
        """Splits the rows into at most `n_parts` batches."""
        if n_parts == 1:
            return [self]  # without waiting for the device
        sizes = [len(part) for part in torch.arange(len(self.src)).tensor_split(n_parts)]
        rows = (t.split(sizes) for t in (self.src, self.tgt_in, self.tgt_out))
        return [_batch(*parts) for parts in zip(*rows, strict=True) if len(parts[0])]


def _batch(src: Tensor, tgt_in: Tensor, tgt_out: Tensor) -> Batch:
    return Batch(src, tgt_in, tgt_out, (tgt_out != PAD).flatten().nonzero().flatten())


def pad_right(rows: Sequence[Sequence[int]]) -> Tensor:
    """Lists of ids -> `(B, longest)`, padded with PAD."""
    length = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (length - len(row))] for row in rows])


def collate(pairs: Sequence[IdPair]) -> Batch:
    """Pairs of ids -> a batch; EOS ends the source, BOS begins and EOS ends the target.

    Without pairs the batch has a single row without target tokens.
    """
    fill = not pairs
    return _batch(
        src=pad_right([[*src, EOS] for src, _ in pairs] + [[EOS]] * fill),
        tgt_in=pad_right([[BOS, *tgt] for _, tgt in pairs] + [[BOS]] * fill),
        tgt_out=pad_right([[*tgt, EOS] for _, tgt in pairs] + [[PAD]] * fill),
    )
