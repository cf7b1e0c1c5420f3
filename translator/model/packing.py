"""Pairs of ids -> packed batches: rows of one length that hold several pairs each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translator.model.transformer import mask_bias
from translator.text.tokenizer import BOS, EOS, PAD, IdPair

# Rows are whole multiples of this, which attention on a GPU likes.
ROW_STEP = 64


@dataclass(frozen=True)
class PackedBatch:
    """Rows of a fixed length L, each of which holds several pairs, one behind the other.

    All batches of a run have this one shape, so that a GPU can be given the whole update at once
    (a CUDA graph), and hardly any of it is padding. Attention stays within a pair by masks, and
    positions count anew in each sentence, so a pair gives the same states as in a row of its own
    (Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination").

    `table` `(7, R, L)` holds the ids `src`, `tgt_in` and `tgt_out`; the number of the pair in its
    row, from 1 on, for both sides; and the position in the sentence, for both sides. What is left
    at the end of a row is PAD, of pair 0; on both sides there is at least one.
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
        """The same batch on `device`; from pinned memory without waiting."""
        return PackedBatch(self.table.to(device, non_blocking=True), self.n_tokens)

    def pin_memory(self) -> "PackedBatch":
        """The same batch in pinned memory, for copies to a GPU beside its work."""
        return PackedBatch(self.table.pin_memory(), self.n_tokens)

    def masks(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """As numbers to be added to scores: source `(R, 1, L, L)`, target, target in source."""
        src, tgt = self.table[3], self.table[4]
        # Padding attends to padding, so that no row of a mask is empty.
        within, behind, across = (
            query[:, None, :, None] == key[:, None, None, :]
            for query, key in ((src, src), (tgt, tgt), (tgt, src))
        )
        behind = behind.tril()
        return mask_bias(within, dtype), mask_bias(behind, dtype), mask_bias(across, dtype)

    def learnt(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States `(R, L, D)` -> `(R * L, D)`, zero where the target is PAD, and the targets.

        `(2R, L, D)`, of a batch that was doubled by `twice` -> twice as many, the targets once.
        """
        targets = self.table[2].flatten().long()
        flat = states.flatten(0, 1)
        real = (targets != PAD).repeat(len(flat) // len(targets))
        return flat.where(real[:, None], 0.0), targets

    def twice(self) -> "PackedBatch":
        """All inputs twice, one half behind the other."""
        return PackedBatch(torch.cat([self.table, self.table], dim=1), self.n_tokens)


def row_length(max_length: int) -> int:
    """L for pairs of at most `max_length` pieces a side: BOS or EOS, tags and a PAD fit too."""
    return -(-(max_length + 4) // ROW_STEP) * ROW_STEP


def place(lengths: Sequence[Sequence[int]], n_rows: int, length: int) -> list[list[int]]:
    """Puts pairs of source and target tokens into rows, the longest first, each into the first row
    with room for both of its sides and a PAD behind. A pair that finds none is left out."""
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
    """Pairs of ids -> the rows `mine` of `n_rows` packed ones."""
    lengths = [(len(src) + 1, len(tgt) + 1) for src, tgt in pairs]
    rows = place(lengths, n_rows, length)[mine]
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
