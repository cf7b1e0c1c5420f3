"""Pairs of ids -> batches, in an order that is a pure function of seed and epoch."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translator.tokenizer import BOS, EOS, PAD

IdPair = tuple[list[int], list[int]]  # source and target ids, without BOS and EOS


@dataclass(frozen=True)
class Batch:
    """Padded ids. `tgt_in` is BOS + target, `tgt_out` is target + EOS."""

    src: Tensor  # (B, S)
    tgt_in: Tensor  # (B, T)
    tgt_out: Tensor  # (B, T)

    @property
    def n_tokens(self) -> int:
        """Real target tokens, EOS included."""
        return int((self.tgt_out != PAD).sum())

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        return Batch(self.src.to(device), self.tgt_in.to(device), self.tgt_out.to(device))


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and words, so that no randomness depends on what ran before."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def pad_right(rows: Sequence[Sequence[int]]) -> Tensor:
    """Lists of ids -> `(B, longest)`, filled up with PAD."""
    length = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (length - len(row))] for row in rows])


def collate(pairs: Sequence[IdPair]) -> Batch:
    """Pairs of ids -> a batch; EOS closes the source, BOS opens and EOS closes the target."""
    return Batch(
        src=pad_right([[*src, EOS] for src, _ in pairs]),
        tgt_in=pad_right([[BOS, *tgt] for _, tgt in pairs]),
        tgt_out=pad_right([[*tgt, EOS] for _, tgt in pairs]),
    )


def token_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Splits 0..n-1, in the given order, into runs of at most `max_tokens` padded tokens.

    A single item that is longer still gets a run of its own.
    """
    batches: list[list[int]] = []
    longest = 0
    for index, length in enumerate(lengths):
        longest = max(longest, length)
        if not batches or longest * (len(batches[-1]) + 1) > max_tokens:
            batches.append([])
            longest = length
        batches[-1].append(index)
    return batches


class BatchSampler:
    """Token-bucket batches of a corpus: like lengths together, batches in random order.

    `epoch(e)` depends on the lengths, the seed and e alone, so any position can be returned to.
    """

    def __init__(self, pairs: Sequence[IdPair], max_tokens: int, seed: int):
        # EOS or BOS makes each side one longer; the longer side decides about padding.
        self.src_lengths = torch.tensor([len(src) + 1 for src, _ in pairs])
        self.tgt_lengths = torch.tensor([len(tgt) + 1 for _, tgt in pairs])
        self.max_tokens = max_tokens
        self.seed = seed

    def epoch(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, as lists of indices into the corpus."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
        order = torch.randperm(len(self.tgt_lengths), generator=generator)
        # Stable sorts keep the random order among pairs of equal lengths.
        order = order[self.src_lengths[order].argsort(stable=True)]
        order = order[self.tgt_lengths[order].argsort(stable=True)]
        longer = torch.maximum(self.src_lengths, self.tgt_lengths)[order].tolist()
        batches = token_batches(longer, self.max_tokens)
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        indices = order.tolist()
        return [[indices[i] for i in batches[b]] for b in shuffled]


class Loader:
    """Endless training batches from a position (epoch, index of the batch in it) on."""

    def __init__(
        self,
        pairs: Sequence[IdPair],
        max_tokens: int,
        seed: int,
        augment: Callable[[IdPair, int, int, int], IdPair] | None = None,
    ):
        """`augment(pair, pair's index, epoch, seed)` changes a pair anew in each epoch."""
        self.pairs = pairs
        self.sampler = BatchSampler(pairs, max_tokens, seed)
        self.seed = seed
        self.augment = augment

    def batches(self, epoch: int, index: int) -> Iterator[tuple[Batch, tuple[int, int]]]:
        """Yields each batch with the position that follows it."""
        while True:
            order = self.sampler.epoch(epoch)
            for i in range(index, len(order)):
                after = (epoch, i + 1) if i + 1 < len(order) else (epoch + 1, 0)
                yield self._load(order[i], epoch), after
            epoch, index = epoch + 1, 0

    def _load(self, indices: list[int], epoch: int) -> Batch:
        pairs = [self.pairs[i] for i in indices]
        if self.augment is not None:
            pairs = [
                self.augment(pair, i, epoch, self.seed)
                for pair, i in zip(pairs, indices, strict=True)
            ]
        return collate(pairs)
