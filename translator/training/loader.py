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
from translator.config.errors import TranslatorError
from translator.model.batch import Batch, collate
from translator.model.batching import batch_edges
from translator.model.packing import PackedBatch, assign_rows, pack
from translator.system.machine import return_memory
from translator.system.seeds import derive_seed
from translator.text.tokenizer import IdPair

Position = tuple[int, int]  # epoch, and index of a batch in it
# (pair, the pair's index, epoch, seed) -> the pair to train on in this epoch.
Augment = Callable[[IdPair, int, int, int], IdPair]

# Candidates for how full packed batches are, in per cent: the first with which all pairs fit is
# used.
FILLS = range(97, 40, -1)


def pair_lengths(pairs: Sequence[IdPair]) -> Tensor:
    """`(2, N)`, the number of ids on both sides of each pair."""
    return torch.tensor([[len(pair[side]) for pair in pairs] for side in (0, 1)]).view(2, -1)


class Batches(Sequence[list[int]]):
    """The batches of an epoch, as lists of indices into the corpus.

    The lists are built on request, because those of millions of pairs would take gigabytes.

    Args:
        indices: `(N,)`, the indices of all batches.
        edges: batch b is `indices[edges[b] : edges[b + 1]]`.
        order: `(batches,)`, the order of the batches.
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
        """`(batches,)`, the number of pairs in each."""
        return torch.tensor(self.edges).diff()[self.order]

    def longest(self, lengths: Tensor) -> Tensor:
        """`(2, batches)`, the longest of the lengths `(2, N)` in each batch."""
        sizes = torch.tensor(self.edges).diff()
        batch = torch.arange(len(sizes)).repeat_interleave(sizes).expand(2, -1)
        longest = lengths.new_zeros(2, len(sizes))
        return longest.scatter_reduce_(1, batch, lengths[:, self.indices], "amax")[:, self.order]


@dataclass(eq=False)
class BatchSampler:
    """Token-bucket batches of a corpus: pairs of similar length, batches in random order.

    `epoch(e)` depends only on the lengths, the weights, the seed and e, so a run can resume at any
    position.

    Attributes:
        plain_lengths: `(2, N)`, the number of ids on both sides of each pair, see `pair_lengths`.
        max_tokens: the limit of padded tokens on the longer side of a batch.
        seed: of the order.
        weights: how often each pair occurs in an epoch; 0.5 means every other epoch, at random.
        row_length: of a `PackedBatch`, which takes pairs of all lengths in random order; 0 for
            `Batch`.
        stretch: estimates the lengths in an epoch, if augmentation changes them.
    """

    plain_lengths: Tensor
    max_tokens: int
    seed: int
    weights: Tensor | None = None
    row_length: int = 0
    stretch: Stretch | None = None
    _fill: int | None = None
    _last: tuple[int, Batches] | None = None

    @property
    def n_rows(self) -> int:
        """Rows of a `PackedBatch`."""
        return max(self.max_tokens // self.row_length, 1)

    def lengths(self, epoch: int) -> Tensor:
        """`(2, N)`, the tokens of both sides in an epoch, with EOS or BOS."""
        lengths = self.plain_lengths
        if self.stretch:
            lengths = self.stretch(lengths, epoch, self.seed)
        return lengths + 1

    def epoch(self, epoch: int) -> Batches:
        """The batches of an epoch; the result of the last call is cached."""
        if self._last is None or self._last[0] != epoch:
            self._last = epoch, self._batches(epoch)
        return self._last[1]

    def _batches(self, epoch: int) -> Batches:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        src_lengths, tgt_lengths = self.lengths(epoch)
        order = self._random_order(generator)
        if self.row_length:
            edges = self._packed_edges(torch.stack([src_lengths, tgt_lengths])[:, order])
            return Batches(order, edges, torch.arange(len(edges) - 1))
        # A stable sort keeps the random order among pairs of equal lengths. Source lengths
        # alternately ascend and descend from one target length to the next, so that they never
        # jump within a batch.
        signed = torch.where(tgt_lengths % 2 == 0, src_lengths, -src_lengths)
        key = (tgt_lengths.long() << 32) + signed
        order = order[key[order].argsort(stable=True)]
        # The longer side determines the padding.
        longer = torch.maximum(src_lengths, tgt_lengths)[order].tolist()
        edges = batch_edges(longer, self.max_tokens)
        return Batches(order, edges, torch.randperm(len(edges) - 1, generator=generator))

    def _random_order(self, generator: torch.Generator) -> Tensor:
        """The indices of pairs, each as often as its weight says, in random order."""
        n = self.plain_lengths.shape[1]
        if self.weights is None:
            return torch.randperm(n, generator=generator)
        times = (self.weights + torch.rand(n, generator=generator)).floor().long()
        order = torch.arange(n).repeat_interleave(times)
        return order[torch.randperm(len(order), generator=generator)]

    def _packed_edges(self, lengths: Tensor) -> list[int]:
        """Cuts pairs `(2, N)`, in their order, into batches that are as full as possible.

        The fill is the highest at which all pairs of a few random batches fit into their rows.
        """
        if self._fill is None:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "fill"))
            order = self._random_order(generator)[:20_000]
            trial = self.plain_lengths[:, order] + 1
            self._fill = next((f for f in FILLS if self._all_fit(trial, f)), FILLS[-1])
        return _capacity_edges(lengths, self._capacity(self._fill))

    def _capacity(self, fill: int) -> int:
        return fill * self.n_rows * (self.row_length - 1) // 100

    def _all_fit(self, lengths: Tensor, fill: int) -> bool:
        edges = _capacity_edges(lengths, self._capacity(fill))
        for start, end in pairwise(edges[:9]):
            pairs = lengths[:, start:end].T.tolist()
            if sum(map(len, assign_rows(pairs, self.n_rows, self.row_length))) < len(pairs):
                return False
        return True


def _capacity_edges(lengths: Tensor, capacity: int) -> list[int]:
    """Cuts pairs `(2, N)` into batches with at most `capacity` tokens on either side.

    Returns:
        Where the batches begin, and where the last one ends.
    """
    ends = lengths.long().cumsum(1)
    edges = [0]
    while edges[-1] < ends.shape[1]:
        start = edges[-1]
        before = ends[:, start - 1] if start else torch.zeros(2, dtype=torch.long)
        end = torch.searchsorted(ends, (before + capacity)[:, None], right=True)
        edges.append(max(int(end.min()), start + 1))
    return edges


def _ignore_signals(_worker: int) -> None:
    """Leaves it to the main process to handle Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@dataclass(frozen=True, eq=False)
class Loader(Dataset[tuple[Batch | PackedBatch, Position]]):
    """Endless training batches, starting at any position (epoch, index of the batch in it).

    Attributes:
        pairs: the corpus.
        sampler: which pairs form a batch.
        augment: changes a pair, differently in each epoch; a pure function.
        rank, world_size: this process gets every `world_size`-th row of each batch.
        workers: the number of processes that prepare batches in advance; with 0 each batch is
            built when it is needed.
        pin_memory: whether batches go to a GPU.
    """

    pairs: Sequence[IdPair]
    sampler: BatchSampler
    augment: Augment | None = None
    rank: int = 0
    world_size: int = 1
    workers: int = 0
    pin_memory: bool = False

    def __getitem__(
        self, key: tuple[list[int], int, Position]
    ) -> tuple[Batch | PackedBatch, Position]:
        """Builds a batch, in the main process or in a worker."""
        (indices, epoch, after), sampler = key, self.sampler
        mine = slice(self.rank, None, self.world_size)
        if not sampler.row_length:  # packed batches are shared out by rows, not by pairs
            indices = indices[mine]
        pairs = [self.pairs[i] for i in indices]
        if self.augment is not None:
            pairs = [
                self.augment(pair, i, epoch, sampler.seed)
                for pair, i in zip(pairs, indices, strict=True)
            ]
        if not sampler.row_length:
            return collate(pairs), after
        return pack(pairs, sampler.n_rows, sampler.row_length, mine), after

    def _keys(self, epoch: int, index: int) -> Iterator[tuple[list[int], int, Position]]:
        while True:
            order = self.sampler.epoch(epoch)
            for i in range(index, len(order)):
                after = (epoch, i + 1) if i + 1 < len(order) else (epoch + 1, 0)
                yield order[i], epoch, after
            epoch, index = epoch + 1, 0

    def load(self, indices: list[int], epoch: int = 0) -> Batch | PackedBatch:
        """Builds a batch of these pairs."""
        return self[indices, epoch, (0, 0)][0]

    def batches(self, epoch: int, index: int) -> Iterator[tuple[Batch | PackedBatch, Position]]:
        """Yields each batch with the position that follows it."""
        keys = self._keys(epoch, index)
        if not self.workers and not self.pin_memory:
            yield from map(self.__getitem__, keys)
            return
        return_memory()
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=keys,
            num_workers=self.workers,
            pin_memory=self.pin_memory,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_ignore_signals,
            # With other methods a worker's parent may be another process, and the worker would
            # not notice the end of this one.
            multiprocessing_context="fork" if self.workers and sys.platform == "linux" else None,
        )
        try:
            for batch, after in loader:  # the loader turns tuples into lists
                yield batch, (after[0], after[1])
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TranslatorError(
                "A process that loads batches was killed, perhaps because memory ran out: use "
                "fewer (--set train.workers=0). The same command continues from the last "
                "checkpoint."
            ) from None
