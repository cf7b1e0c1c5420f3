"""Pairs of ids -> batches, in an order that is a pure function of seed and epoch."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_prep.augmentation.augment import Stretch
from data_prep.prepared.prepare import TrainingData
from translator.config.errors import TranslatorError
from translator.config.schema import Config
from translator.model.batch import Batch, batch_edges, collate
from translator.model.packing import PackedBatch, pack, place, row_length
from translator.system.machine import return_memory
from translator.system.seeds import derive_seed
from translator.text.tokenizer import IdPair

Position = tuple[int, int]  # epoch, and index of a batch in it
# (pair, the pair's index, epoch, seed) -> the pair as it is to be learnt from in this epoch.
Augment = Callable[[IdPair, int, int, int], IdPair]

# How much of a packed batch is filled, in per cent: the most at which all pairs find a place.
FILLS = range(97, 40, -1)


def pair_lengths(pairs: Sequence[IdPair]) -> Tensor:
    """`(2, N)`, ids of both sides of each pair."""
    return torch.tensor([[len(pair[side]) for pair in pairs] for side in (0, 1)]).view(2, -1)


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
        edges = batch_edges(longer, self.max_tokens)
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
            pairs = lengths[:, start:end].T.tolist()
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
class BatchSource:
    """Where batches come from: which pairs stand together, and what is done to each."""

    sampler: BatchSampler
    augmentation: Augment | None = None


def batch_sampler(
    data: TrainingData,
    config: Config,
    stretch: Stretch | None = None,
    device: torch.device | None = None,
) -> BatchSampler:
    """The batches of a run; `stretch` says what noise does to the lengths of the pairs.

    They are packed on a GPU and for compiled layers, both of which want one shape.
    """
    packed = config.train.compile or (device is not None and device.type == "cuda")
    return BatchSampler(
        *(data.train.lengths, config.train.max_tokens, config.train.seed, data.weights),
        row_length=row_length(config.data.max_length) if packed else 0,
        stretch=stretch,
    )


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
