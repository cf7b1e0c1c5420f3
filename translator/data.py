"""Pairs of ids -> batches, in an order that is a pure function of seed and epoch."""

import hashlib
import signal
import sys
from bisect import bisect_left
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

# The lengths that batches of fixed shapes are padded to: few, and an eighth of padding on average.
SHAPES = (8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 384, 512)


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

    def split(self, n_parts: int) -> list["Batch"]:
        """At most `n_parts` batches with the rows of this one."""
        if n_parts == 1:
            return [self]  # without a look at the device
        sizes = [len(part) for part in torch.arange(len(self.src)).tensor_split(n_parts)]
        rows = (t.split(sizes) for t in (self.src, self.tgt_in, self.tgt_out))
        return [_batch(*parts) for parts in zip(*rows, strict=True) if len(parts[0])]


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


def collate(pairs: Sequence[IdPair], n_rows: int = 0, length: int = 0) -> Batch:
    """Pairs of ids -> a batch; EOS closes the source, BOS opens and EOS closes the target.

    Filled up, if need be, to `n_rows` rows without target tokens and to `length` on both sides.
    """
    fill = max(n_rows, 1) - len(pairs)
    return _batch(
        src=pad_right([[*src, EOS] for src, _ in pairs] + [[EOS]] * fill, length),
        tgt_in=pad_right([[BOS, *tgt] for _, tgt in pairs] + [[BOS]] * fill, length),
        tgt_out=pad_right([[*tgt, EOS] for _, tgt in pairs] + [[PAD]] * fill, length),
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


def fixed_length(length: int) -> int:
    """The least of `SHAPES` that holds `length`; beyond them, a multiple of the longest."""
    longest = SHAPES[-1]
    if length > longest:
        return -(-length // longest) * longest
    return SHAPES[bisect_left(SHAPES, length)]


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
        fixed_shapes: count lengths as `fixed_length`, so that few shapes of batches occur.
        stretch: about how long the pairs will be in an epoch, if that is not as they are.
    """

    def __init__(
        self,
        lengths: Tensor,
        max_tokens: int,
        seed: int,
        weights: Tensor | None = None,
        fixed_shapes: bool = False,
        stretch: Stretch | None = None,
    ):
        self._lengths = lengths
        self.max_tokens = max_tokens
        self.seed = seed
        self.weights = weights
        self.fixed_shapes = fixed_shapes
        self.stretch = stretch
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
        # A stable sort keeps the random order among pairs of equal lengths. From one target length
        # to the next the source lengths go up, then down, so that they never jump in a batch.
        turned = torch.where(tgt_lengths % 2 == 0, src_lengths, -src_lengths)
        key = (tgt_lengths.long() << 32) + turned
        order = order[key[order].argsort(stable=True)]
        # The longer side decides about padding.
        longer = torch.maximum(src_lengths, tgt_lengths)[order].tolist()
        if self.fixed_shapes:
            longer = [fixed_length(length) for length in longer]
        edges = _edges(longer, self.max_tokens)
        return Batches(order, edges, torch.randperm(len(edges) - 1, generator=generator))


@dataclass(frozen=True)
class _Loading(Dataset[tuple[Batch, Position]]):
    """Makes one batch; runs in the main process or in a worker."""

    pairs: Sequence[IdPair]
    max_tokens: int
    seed: int
    augment: Augment | None
    fixed_shapes: bool
    rank: int
    world_size: int

    def __getitem__(self, key: tuple[list[int], int, Position]) -> tuple[Batch, Position]:
        indices, epoch, after = key
        pairs = [self.pairs[i] for i in indices]
        longest = max(max(map(len, pair)) + 1 for pair in pairs)
        mine = slice(self.rank, None, self.world_size)
        pairs = pairs[mine]
        if self.augment is not None:
            pairs = [
                self.augment(pair, i, epoch, self.seed)
                for pair, i in zip(pairs, indices[mine], strict=True)
            ]
            longest = max(longest, *(max(map(len, pair)) + 1 for pair in pairs), 1)
        if not self.fixed_shapes:
            return collate(pairs), after
        length = fixed_length(longest)
        n_rows = max(self.max_tokens // length // self.world_size, len(pairs))
        return collate(pairs, n_rows, length), after


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
            pairs, s.max_tokens, s.seed, augment, s.fixed_shapes, rank, world_size
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

    def load(self, indices: list[int], epoch: int = 0) -> Batch:
        """A batch of these pairs."""
        return self.loading[indices, epoch, (0, 0)][0]

    def batches(self, epoch: int, index: int) -> Iterator[tuple[Batch, Position]]:
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
