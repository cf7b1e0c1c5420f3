"""Pairs of ids -> packed batches: rows of one fixed length that hold several pairs each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translator.model.transformer import mask_bias
from translator.text.tokenizer import BOS, EOS, PAD, IdPair

# Row lengths are multiples of this: on a GPU attention is fastest for them.
ROW_STEP = 64


@dataclass(frozen=True)
class PackedBatch:
    """R rows of a fixed length L, each of which holds several pairs one after another.

    All batches of a run have the same shape, so that a GPU can capture a whole update as a CUDA
    graph and a CPU needs code for one shape only, and very little of a batch is padding. Masks
    confine attention to a pair and positions restart at 0 in each sentence, so a pair yields the
    same states as in a row of its own (Krell et al. 2021, "Efficient Sequence Packing without
    Cross-contamination").

    `table` `(7, R, L)` holds the ids `src`, `tgt_in` and `tgt_out`; the number of the pair in its
    row, starting at 1, for both sides; and the position in the sentence, for both sides. The rest
    of a row, at least one position on each side, is PAD and belongs to pair 0.
    """

    table: Tensor
    n_tokens: int  # real target tokens, EOS included

    @property
    def src(self) -> Tensor:
        return self.table[0]

    @property
    def tgt_in(self) -> Tensor:
        return self.table[1]

    @property
    def src_positions(self) -> Tensor:
        return self.table[5]

    @property
    def tgt_positions(self) -> Tensor:
        return self.table[6]

    def to(self, device: torch.device) -> "PackedBatch":
        """The same batch on `device`; the copy from pinned memory is asynchronous."""
        return PackedBatch(self.table.to(device, non_blocking=True), self.n_tokens)

    def pin_memory(self) -> "PackedBatch":
        """The same batch in pinned memory, so that copies to a GPU overlap with its work."""
        return PackedBatch(self.table.pin_memory(), self.n_tokens)

    def masks(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """The masks of source, target and cross-attention as numbers to add to scores.

        Each is `(R, 1, L, L)`.
        """
        src, tgt = self.table[3], self.table[4]
        # Padding attends to padding, so that no row of a mask is empty.
        src_mask, tgt_mask, cross_mask = (
            query[:, None, :, None] == key[:, None, None, :]
            for query, key in ((src, src), (tgt, tgt), (tgt, src))
        )
        return (
            mask_bias(src_mask, dtype),
            mask_bias(tgt_mask.tril(), dtype),
            mask_bias(cross_mask, dtype),
        )

    def select_targets(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States `(R, L, D)` -> `(R * L, D)`, zero where the target is PAD, and the targets.

        States `(2R, L, D)` of a batch made by `duplicate` -> `(2 * R * L, D)`, and the targets
        once.
        """
        targets = self.table[2].flatten().long()
        flat = states.flatten(0, 1)
        n_views = len(states) // max(len(self.src), 1)  # a process may have got no rows
        real = (targets != PAD).repeat(n_views)
        return flat.where(real[:, None], 0.0), targets

    def duplicate(self) -> "PackedBatch":
        """A batch with all rows followed by a copy of them; `n_tokens` stays the same."""
        return PackedBatch(torch.cat([self.table, self.table], dim=1), self.n_tokens)

    def split(self, n_parts: int) -> list["PackedBatch"]:
        """Splits the rows into at most `n_parts` batches."""
        parts = self.table.tensor_split(n_parts, dim=1)
        return [PackedBatch(part, int((part[2] != PAD).sum())) for part in parts if part.numel()]


def row_length(max_length: int) -> int:
    """L for pairs of up to `max_length` pieces a side, with room for BOS or EOS, tags and a PAD."""
    return -(-(max_length + 4) // ROW_STEP) * ROW_STEP


def assign_rows(lengths: Sequence[Sequence[int]], n_rows: int, length: int) -> list[list[int]]:
    """Distributes pairs over rows: first fit, longest first.

    Args:
        lengths: source and target tokens of each pair.
        n_rows: the number of rows.
        length: of a row, which must end in at least one PAD on both sides.

    Returns:
        The indices of the pairs in each row. Pairs that fit nowhere are dropped.
    """
    rows: list[list[int]] = [[] for _ in range(n_rows)]
    room = [(length - 1, length - 1)] * n_rows
    for i in sorted(range(len(lengths)), key=lambda i: -max(lengths[i])):
        src, tgt = lengths[i]
        for row in range(n_rows):
            src_room, tgt_room = room[row]
            if src <= src_room and tgt <= tgt_room:
                rows[row].append(i)
                room[row] = src_room - src, tgt_room - tgt
                break
    return rows


def pack(pairs: Sequence[IdPair], n_rows: int, length: int, mine: slice) -> PackedBatch:
    """Packs pairs of ids into `n_rows` rows and returns the rows `mine` of them."""
    lengths = [(len(src) + 1, len(tgt) + 1) for src, tgt in pairs]
    rows = assign_rows(lengths, n_rows, length)[mine]
    columns: list[list[int]] = [[] for _ in range(7)]
    for row in rows:
        parts: list[list[int]] = [[] for _ in range(7)]
        for number, i in enumerate(row, 1):
            src, tgt = pairs[i]
            parts[0] += [*src, EOS]
            parts[1] += [BOS, *tgt]
            parts[2] += [*tgt, EOS]
            for side, n in enumerate(lengths[i]):
                parts[3 + side] += [number] * n
                parts[5 + side] += range(n)
        for column, part in zip(columns, parts, strict=True):
            column += part + [0] * (length - len(part))
    table = torch.tensor(columns, dtype=torch.int32).view(7, len(rows), length)
    return PackedBatch(table, int((table[2] != PAD).sum()))
