"""Pairs of ids -> batches, in an order that is a pure function of seed and epoch."""

import hashlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from translator.config import TranslatorError
from translator.distributed import return_memory
from translator.tokenizer import BOS, EOS, PAD

IdPair = tuple[list[int], list[int]]  # source and target ids, without BOS and EOS
Position = tuple[int, int]  # epoch, and index of a batch in it
# (pair, the pair's index, epoch, seed) -> the pair as it is to be learnt from in this epoch.
Augment = Callable[[IdPair, int, int, int], IdPair]
# (lengths, epoch, seed) -> the lengths in this epoch, `(2, N)` both.
Stretch = Callable[[Tensor, int, int], Tensor]

# Rows of packed batches are whole multiples of this, which attention on a GPU likes.
ROW_STEP = 64
# How much of a packed batch is filled, in per cent: the most at which all pairs find a place.
FILLS = range(97, 40, -1)


@dataclass(frozen=True)
class Batch:
    """Padded ids. `tgt_in` is BOS + target, `tgt_out` is target + EOS."""

    src: Tensor  # (B, S)
    tgt_in: Tensor  # (B, T)
    tgt_out: Tensor  # (B, T)
    positions: Tensor  # (N,), the places of the real target tokens in `tgt_out.flatten()`

    @property
    def n_tokens(self) -> int:
        """Real target tokens, EOS included."""
        return len(self.positions)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(*(change(t) for t in (self.src, self.tgt_in, self.tgt_out, self.positions)))

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`; from pinned memory without waiting."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The same batch in pinned memory, for copies to a GPU beside its work."""
        return self._map(Tensor.pin_memory)

    src_positions = tgt_positions = None  # they count from 0 in each row

    def masks(self, dtype: torch.dtype) -> tuple[Tensor, None, Tensor]:
        """What the source attends to, the target (to what precedes), and the target in the source.

        `dtype` is what `PackedBatch` needs.
        """
        src_mask = (self.src != PAD)[:, None, None, :]  # (B, 1, 1, S)
        return src_mask, None, src_mask

    def learnt(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States `(B, T, D)` -> those of the N real target positions `(N, D)`, and the targets.

        `(2B, T, D)`, of a batch that was doubled by `twice` -> `(2N, D)`, and the targets once.
        """
        flat = states.flatten(0, 1).unflatten(0, (-1, self.tgt_out.numel()))  # (views, B * T, D)
        found = flat.index_select(1, self.positions).flatten(0, 1)
        return found, self.tgt_out.flatten()[self.positions]

    def twice(self) -> "Batch":
        """All inputs twice, one half behind the other; the targets once."""
        src, tgt_in = (torch.cat([ids, ids]) for ids in (self.src, self.tgt_in))
        return Batch(src, tgt_in, self.tgt_out, self.positions)

    def split(self, n_parts: int) -> list["Batch"]:
        """At most `n_parts` batches with the rows of this one."""
        if n_parts == 1:
            return [self]  # without a look at the device
        sizes = [len(part) for part in torch.arange(len(self.src)).tensor_split(n_parts)]
        rows = (t.split(sizes) for t in (self.src, self.tgt_in, self.tgt_out))
        return [_batch(*parts) for parts in zip(*rows, strict=True) if len(parts[0])]


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


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask as numbers to add to scores: 0 where it is True, else -inf."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def row_length(max_length: int) -> int:
    """L for pairs of at most `max_length` pieces a side: BOS or EOS, tags and a PAD fit too."""
    return -(-(max_length + 4) // ROW_STEP) * ROW_STEP


def place(lengths: Sequence[tuple[int, int]], n_rows: int, length: int) -> list[list[int]]:
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


def _batch(src: Tensor, tgt_in: Tensor, tgt_out: Tensor) -> Batch:
    return Batch(src, tgt_in, tgt_out, (tgt_out != PAD).flatten().nonzero().flatten())


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and words, so that no randomness depends on what ran before."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def pad_right(rows: Sequence[Sequence[int]], length: int = 0) -> Tensor:
    """Lists of ids -> `(B, longest or length)`, filled up with PAD."""
    length = max(length, *map(len, rows))
    return torch.tensor([[*row, *[PAD] * (length - len(row))] for row in rows])


def collate(pairs: Sequence[IdPair]) -> Batch:
    """Pairs of ids -> a batch; EOS closes the source, BOS opens and EOS closes the target.

    No pairs make one row without target tokens.
    """
    fill = not pairs
    return _batch(
        src=pad_right([[*src, EOS] for src, _ in pairs] + [[EOS]] * fill),
        tgt_in=pad_right([[BOS, *tgt] for _, tgt in pairs] + [[BOS]] * fill),
        tgt_out=pad_right([[*tgt, EOS] for _, tgt in pairs] + [[PAD]] * fill),
    )


def pair_lengths(pairs: Sequence[IdPair]) -> Tensor:
    """`(2, N)`, ids of both sides of each pair."""
    return torch.tensor([[len(pair[side]) for pair in pairs] for side in (0, 1)]).view(2, -1)


def token_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Splits 0..n-1, in the given order, into runs of at most `max_tokens` padded tokens.

    A single item that is longer still gets a run of its own.
    """
    edges = _edges(lengths, max_tokens)
    return [list(range(first, end)) for first, end in pairwise(edges)]


def _edges(lengths: Sequence[int], max_tokens: int) -> list[int]:
    """Where those runs begin, and where the last one ends."""
    edges = [0]
    longest = 0
    for index, length in enumerate(lengths):
        if length > longest:
            longest = length
        if longest * (index + 1 - edges[-1]) > max_tokens and index > edges[-1]:
            edges.append(index)
            longest = length
    return [*edges, len(lengths)] if lengths else edges


class Batches(Sequence[list[int]]):
    """The batches of an epoch, as lists of indices into the corpus.

    They are lists only when they are asked for: those of millions of pairs fill gigabytes.

    Args:
        indices: `(N,)`, those of all batches.
        edges: batch b is `indices[edges[b] : edges[b + 1]]`.
        order: `(batches,)`, in which they come.
    """

    def __init__(self, indices: Tensor, edges: Sequence[int], order: Tensor):
        self.indices, self.edges, self.order = indices, edges, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        batch = int(self.order[i])
        return self.indices[self.edges[batch] : self.edges[batch + 1]].tolist()

    @property
    def sizes(self) -> Tensor:
        """`(batches,)`, pairs of each."""
        return torch.tensor(self.edges).diff()[self.order]

    def longest(self, lengths: Tensor) -> Tensor:
        """`(2, batches)`, the most of the lengths `(2, N)` of each batch's pairs."""
        sizes = torch.tensor(self.edges).diff()
        batch = torch.arange(len(sizes)).repeat_interleave(sizes).expand(2, -1)
        found = lengths.new_zeros(2, len(sizes))
        return found.scatter_reduce_(1, batch, lengths[:, self.indices], "amax")[:, self.order]


class BatchSampler:
    """Token-bucket batches of a corpus: like lengths together, batches in random order.

    `epoch(e)` depends on the lengths, the weights, the seed and e alone, so any position can be
    returned to.

    Args:
        lengths: `(2, N)`, ids of both sides of each pair, see `pair_lengths`.
        max_tokens: padded tokens of the longer side in a batch.
        seed: of the order.
        weights: how often each pair comes in an epoch; 0.5 is every other epoch, at random.
        row_length: of `PackedBatch`, whose pairs are as they come, of all lengths; 0 for `Batch`.
        stretch: about how long the pairs will be in an epoch, if that is not as they are.
    """

    def __init__(
        self,
        lengths: Tensor,
        max_tokens: int,
        seed: int,
        weights: Tensor | None = None,
        row_length: int = 0,
        stretch: Stretch | None = None,
    ):
        self._lengths = lengths
        self.max_tokens = max_tokens
        self.seed = seed
        self.weights = weights
        self.row_length = row_length
        self.n_rows = max(max_tokens // row_length, 1) if row_length else 0
        self.stretch = stretch
        self._fill: int | None = None
        self._last: tuple[int, Batches] | None = None

    def lengths(self, epoch: int) -> Tensor:
        """`(2, N)`, tokens of both sides in an epoch: EOS or BOS makes each one longer."""
        lengths = self._lengths
        if self.stretch:
            lengths = self.stretch(lengths, epoch, self.seed)
        return lengths + 1

    def epoch(self, epoch: int) -> Batches:
        """The batches of an epoch. Those of the last call are kept."""
        if self._last is None or self._last[0] != epoch:
            self._last = epoch, self._batches(epoch)
        return self._last[1]

    def _batches(self, epoch: int) -> Batches:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        src_lengths, tgt_lengths = self.lengths(epoch)
        n = len(tgt_lengths)
        order = torch.randperm(n, generator=generator)
        if self.weights is not None:
            times = (self.weights + torch.rand(n, generator=generator)).floor().long()
            order = order.repeat_interleave(times[order])
        if self.row_length:
            edges = self._packed_edges(torch.stack([src_lengths, tgt_lengths])[:, order])
            return Batches(order, edges, torch.arange(len(edges) - 1))
        # A stable sort keeps the random order among pairs of equal lengths. From one target length
        # to the next the source lengths go up, then down, so that they never jump in a batch.
        turned = torch.where(tgt_lengths % 2 == 0, src_lengths, -src_lengths)
        key = (tgt_lengths.long() << 32) + turned
        order = order[key[order].argsort(stable=True)]
        # The longer side decides about padding.
        longer = torch.maximum(src_lengths, tgt_lengths)[order].tolist()
        edges = _edges(longer, self.max_tokens)
        return Batches(order, edges, torch.randperm(len(edges) - 1, generator=generator))

    def _packed_edges(self, lengths: Tensor) -> list[int]:
        """Cuts pairs `(2, N)`, in their order, into batches that fill as much of their rows as
        lets all pairs find a place: that is tried with the first batches of a run."""
        if self._fill is None:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "fill"))
            order = torch.randperm(lengths.shape[1], generator=generator)[:20_000]
            some = self._lengths[:, order] + 1
            self._fill = next(fill for fill in FILLS if self._all_fit(some, fill) or fill == 41)
        return _full_edges(lengths, self._room(self._fill))

    def _room(self, fill: int) -> int:
        return fill * self.n_rows * (self.row_length - 1) // 100

    def _all_fit(self, lengths: Tensor, fill: int) -> bool:
        edges = _full_edges(lengths, self._room(fill))
        for start, end in pairwise(edges[:9]):
            pairs = [(src, tgt) for src, tgt in lengths[:, start:end].T.tolist()]
            if sum(map(len, place(pairs, self.n_rows, self.row_length))) < len(pairs):
                return False
        return True


def _full_edges(lengths: Tensor, room: int) -> list[int]:
    """Where batches begin that have `room` for pairs `(2, N)` on both sides, and the last ends."""
    ends = lengths.long().cumsum(1)
    edges = [0]
    while edges[-1] < ends.shape[1]:
        start = edges[-1]
        before = ends[:, start - 1] if start else torch.zeros(2, dtype=torch.long)
        fits = torch.searchsorted(ends, (before + room)[:, None], right=True)
        edges.append(max(int(fits.min()), start + 1))
    return edges


@dataclass(frozen=True)
class _Loading(Dataset[tuple[Batch | PackedBatch, Position]]):
    """Makes one batch; runs in the main process or in a worker."""

    pairs: Sequence[IdPair]
    max_tokens: int
    seed: int
    augment: Augment | None
    row_length: int
    rank: int
    world_size: int

    def __getitem__(
        self, key: tuple[list[int], int, Position]
    ) -> tuple[Batch | PackedBatch, Position]:
        indices, epoch, after = key
        mine = slice(self.rank, None, self.world_size)
        if not self.row_length:  # of a packed batch each process takes rows, not pairs
            indices = indices[mine]
        pairs = [self.pairs[i] for i in indices]
        if self.augment is not None:
            pairs = [
                self.augment(pair, i, epoch, self.seed)
                for pair, i in zip(pairs, indices, strict=True)
            ]
        if not self.row_length:
            return collate(pairs), after
        n_rows = max(self.max_tokens // self.row_length, 1)
        return pack(pairs, n_rows, self.row_length, mine), after


def _keep_out_of_signals(_worker: int) -> None:
    """The main process decides what a Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Loader:
    """Endless training batches from a position (epoch, index of the batch in it) on.

    Args:
        pairs: the corpus.
        sampler: which pairs stand together in a batch.
        augment: changes a pair anew in each epoch; a pure function.
        rank, world_size: of each batch, this process gets every `world_size`-th row.
        workers: processes that make batches ahead of time; 0 makes them when they are asked for.
        pin_memory: for a GPU.
    """

    def __init__(
        self,
        pairs: Sequence[IdPair],
        sampler: BatchSampler,
        augment: Augment | None = None,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
        pin_memory: bool = False,
    ):
        s = sampler
        self.sampler = sampler
        self.loading = _Loading(
            pairs, s.max_tokens, s.seed, augment, s.row_length, rank, world_size
        )
        self.workers = workers
        self.pin_memory = pin_memory

    def _keys(self, epoch: int, index: int) -> Iterator[tuple[list[int], int, Position]]:
        while True:
            order = self.sampler.epoch(epoch)
            for i in range(index, len(order)):
                after = (epoch, i + 1) if i + 1 < len(order) else (epoch + 1, 0)
                yield order[i], epoch, after
            epoch, index = epoch + 1, 0

    def load(self, indices: list[int], epoch: int = 0) -> Batch | PackedBatch:
        """A batch of these pairs."""
        return self.loading[indices, epoch, (0, 0)][0]

    def batches(self, epoch: int, index: int) -> Iterator[tuple[Batch | PackedBatch, Position]]:
        """Yields each batch with the position that follows it."""
        keys = self._keys(epoch, index)
        if not self.workers and not self.pin_memory:
            yield from map(self.loading.__getitem__, keys)
            return
        return_memory()
        loader = DataLoader(
            self.loading,
            batch_size=None,
            sampler=keys,
            num_workers=self.workers,
            pin_memory=self.pin_memory,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_keep_out_of_signals,
            # Elsewhere, a worker's parent may be another process, whose end it would not see.
            multiprocessing_context="fork" if self.workers and sys.platform == "linux" else None,
        )
        try:
            for batch, after in loader:  # which makes lists of tuples
                yield batch, (after[0], after[1])
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TranslatorError(
                "A process that loads batches was killed, perhaps for want of memory: use fewer "
                "(--set train.workers=0). The same command goes on from the last checkpoint."
            ) from None
