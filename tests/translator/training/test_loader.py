"""Batches: each pair once an epoch, within the token limit, from any position on."""

import itertools
import os
import random
import signal
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from translator.config.errors import TranslatorError
from translator.model.batch import Batch, collate, pad_right
from translator.model.batching import token_batches
from translator.model.packing import PackedBatch, assign_rows, pack, row_length
from translator.system.seeds import derive_seed
from translator.text.tokenizer import BOS, EOS, PAD, IdPair
from translator.training.loader import BatchSampler, Loader, pair_lengths

MAX_TOKENS = 60


@pytest.fixture(scope="module")
def pairs() -> list[IdPair]:
    """100 pairs with 1 to 20 ids a side; the first source id is the pair's own."""
    rng = random.Random(1)
    return [
        ([100 + i, *[5] * rng.randint(0, 19)], [rng.randint(4, 99)] * rng.randint(1, 20))
        for i in range(100)
    ]


def test_collate_adds_bos_and_eos_and_pads() -> None:
    batch = collate([([5, 6, 7], [8]), ([9], [10, 11])])
    assert batch.src.tolist() == [[5, 6, 7, EOS], [9, EOS, PAD, PAD]]
    assert batch.tgt_in.tolist() == [[BOS, 8, PAD], [BOS, 10, 11]]
    assert batch.tgt_out.tolist() == [[8, EOS, PAD], [10, 11, EOS]]
    assert batch.n_tokens == 5
    assert batch.tgt_out.flatten()[batch.positions].tolist() == [8, EOS, 10, 11, EOS]
    assert batch.src.dtype == torch.int64


def test_pad_right_keeps_the_rows() -> None:
    rows = [[4], [5, 6, 7], []]
    padded = pad_right(rows).tolist()
    assert [[i for i in row if i != PAD] for row in padded] == rows
    assert {len(row) for row in padded} == {3}


def test_batch_moves_as_a_whole() -> None:
    moved = collate([([5], [6])]).to(torch.device("meta"))
    assert moved.src.is_meta and moved.tgt_in.is_meta and moved.tgt_out.is_meta


@given(st.lists(st.integers(1, 50)), st.integers(1, 100))
def test_token_batches_keep_order_and_limit(lengths: list[int], max_tokens: int) -> None:
    batches = token_batches(lengths, max_tokens)
    assert list(itertools.chain(*batches)) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[i] for i in batch)
        assert padded <= max_tokens or len(batch) == 1
    for batch, following in itertools.pairwise(batches):  # none is closed too early
        longest = max(lengths[i] for i in [*batch, following[0]])
        assert longest * (len(batch) + 1) > max_tokens


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_index_occurs_once_per_epoch(pairs: list[IdPair], epoch: int) -> None:
    batches = BatchSampler(pair_lengths(pairs), MAX_TOKENS, seed=1).epoch(epoch)
    assert sorted(itertools.chain(*batches)) == list(range(len(pairs)))


def test_batches_are_full_but_within_the_limit(pairs: list[IdPair]) -> None:
    batches = BatchSampler(pair_lengths(pairs), MAX_TOKENS, seed=1).epoch(0)
    sizes = []
    for indices in batches:
        batch = collate([pairs[i] for i in indices])
        sizes.append(max(batch.src.numel(), batch.tgt_out.numel()))
    assert max(sizes) <= MAX_TOKENS
    assert sum(sizes) / len(sizes) > MAX_TOKENS / 2


def test_order_is_a_function_of_seed_and_epoch(pairs: list[IdPair]) -> None:
    orders = {}
    for seed, epoch in itertools.product((1, 2), (0, 1)):
        orders[seed, epoch] = list(BatchSampler(pair_lengths(pairs), MAX_TOKENS, seed).epoch(epoch))
        torch.rand(5)  # no randomness from outside
        again = BatchSampler(pair_lengths(pairs), MAX_TOKENS, seed).epoch(epoch)
        assert list(again) == orders[seed, epoch]
    assert all(a != b for a, b in itertools.combinations(orders.values(), 2))


def test_batches_can_be_indexed(pairs: list[IdPair]) -> None:
    batches = BatchSampler(pair_lengths(pairs), MAX_TOKENS, seed=1).epoch(0)
    every = list(batches)
    assert len(batches) == len(every) > 10
    assert [batches[i] for i in range(-len(every), len(every))] == every + every
    assert batches[3:7] == every[3:7]


def test_long_and_short_pairs_are_mixed_over_an_epoch(pairs: list[IdPair]) -> None:
    lengths = [
        len(pairs[batch[0]][1])
        for batch in BatchSampler(pair_lengths(pairs), MAX_TOKENS, seed=1).epoch(0)
    ]
    assert lengths != sorted(lengths)


def test_derive_seed_distinguishes_its_parts() -> None:
    parts = [(1,), (2,), (1, 23), (12, 3), (1, "order", 0), (1, "order", 1), (1, "copy", 0), ("1",)]
    seeds = {derive_seed(*part) for part in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds == {derive_seed(*part) for part in parts}


def reverse_source(pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
    """An augmentation that shows its arguments in the target."""
    return pair[0][::-1], [1000 + index, 2000 + epoch, 3000 + seed]


@pytest.mark.parametrize("augment", [None, reverse_source])
def test_loader_resumes_at_any_position(pairs: list[IdPair], augment) -> None:
    def take(epoch: int, index: int, n: int):
        loader = Loader(pairs, BatchSampler(pair_lengths(pairs), MAX_TOKENS, 1), augment)
        return list(itertools.islice(loader.batches(epoch, index), n))

    n = (
        2 * len(BatchSampler(pair_lengths(pairs), MAX_TOKENS, 1).epoch(0)) + 5
    )  # into the third epoch
    whole = take(0, 0, n)
    assert {epoch for _, (epoch, _) in whole} == {0, 1, 2}
    for done in range(1, n):
        position = whole[done - 1][1]
        (batch, after), (expected, expected_after) = take(*position, 1)[0], whole[done]
        assert after == expected_after
        assert torch.equal(batch.src, expected.src)
        assert torch.equal(batch.tgt_out, expected.tgt_out)


def test_loader_gives_each_pair_once_an_epoch(pairs: list[IdPair]) -> None:
    seen: dict[int, list[int]] = {}
    position = (0, 0)
    for batch, after in Loader(pairs, BatchSampler(pair_lengths(pairs), MAX_TOKENS, 1)).batches(
        0, 0
    ):
        seen.setdefault(position[0], []).extend(batch.src[:, 0].tolist())
        position = after
        if position[0] == 2:
            break
    expected = [src[0] for src, _ in pairs]
    assert sorted(seen[0]) == sorted(seen[1]) == expected
    assert seen[0] != seen[1]


def test_loader_augments_with_index_epoch_and_seed(pairs: list[IdPair]) -> None:
    loader = Loader(pairs, BatchSampler(pair_lengths(pairs), MAX_TOKENS, 4), reverse_source)
    indices = loader.sampler.epoch(3)[2]
    batch, _ = next(loader.batches(3, 2))
    assert batch.tgt_out.tolist() == [[1000 + i, 2003, 3004, EOS] for i in indices]


def same(one: Batch, other: Batch) -> bool:
    tensors = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in tensors)


def test_workers_load_the_same_as_one_process(pairs: list[IdPair]) -> None:
    sampler = BatchSampler(pair_lengths(pairs), MAX_TOKENS, 1)
    n = 2 * len(sampler.epoch(0)) + 3
    runs = []
    for workers in (0, 2):
        loader = Loader(pairs, sampler, reverse_source, workers=workers)
        runs.append(list(itertools.islice(loader.batches(1, 2), n)))
    for (batch, after), (other, other_after) in zip(*runs, strict=True):
        assert after == other_after and same(batch, other)


def sentences(batch: Batch | PackedBatch) -> list[tuple[list[int], list[int], list[int]]]:
    """`src`, `tgt_in` and `tgt_out` of each pair, sorted."""
    found = []
    if isinstance(batch, Batch):
        for ids in zip(batch.src, batch.tgt_in, batch.tgt_out, strict=True):
            found.append(tuple([i for i in row.tolist() if i != PAD] for row in ids))
        return sorted(pair for pair in found if pair[2])
    src, tgt_in, tgt_out, src_pair, tgt_pair, *_ = batch.table
    for row in range(len(src)):
        for pair in range(1, int(src_pair[row].max()) + 1):
            source, target = src_pair[row] == pair, tgt_pair[row] == pair
            found.append(
                tuple(
                    ids[row][where].tolist()
                    for ids, where in ((src, source), (tgt_in, target), (tgt_out, target))
                )
            )
    return sorted(found)


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("length", [0, 24])
def test_ranks_share_each_batch(pairs: list[IdPair], world_size: int, length: int) -> None:
    sampler = BatchSampler(pair_lengths(pairs), 4 * MAX_TOKENS, 1, row_length=length)
    n = len(sampler.epoch(0))
    whole = itertools.islice(Loader(pairs, sampler).batches(0, 0), n)
    shares = [
        itertools.islice(Loader(pairs, sampler, None, rank, world_size).batches(0, 0), n)
        for rank in range(world_size)
    ]
    for (batch, after), *parts in zip(whole, *shares, strict=True):
        assert {position for _, position in parts} == {after}
        assert sorted(sum((sentences(part) for part, _ in parts), [])) == sentences(batch)
        assert sum(part.n_tokens for part, _ in parts) == batch.n_tokens


def test_packed_batches_hold_the_pairs_of_padded_ones() -> None:
    rng = random.Random(3)
    many = [
        ([rng.randint(4, 99) for _ in range(rng.randint(1, 40))], [7] * rng.randint(1, 40))
        for _ in range(3000)
    ]
    sampler = BatchSampler(pair_lengths(many), 4096, seed=1, row_length=row_length(40))
    n = len(sampler.epoch(0))
    batches = [b for b, _ in itertools.islice(Loader(many, sampler).batches(0, 0), n)]
    assert {batch.table.shape for batch in batches} == {(7, 64, 64)}
    found = sorted(sum((sentences(batch) for batch in batches), []))
    every = sentences(collate(many))
    assert all(pair in every for pair in found)
    assert len(found) > 0.998 * len(every)  # hardly any are dropped
    assert [b.n_tokens for b in batches] == [sum(len(t) for *_, t in sentences(b)) for b in batches]
    filled = sum(batch.n_tokens for batch in batches[:-1]) / (4096 * (n - 1))
    assert filled > 0.8
    for batch in batches:
        assert not batch.table[:, :, -1].any()  # PAD, of no pair
        starts = batch.tgt_positions == 0
        assert set(batch.tgt_in[starts].tolist()) == {BOS, PAD}


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=30), st.integers(1, 5))
def test_pairs_are_placed_within_their_rows(lengths: list[tuple[int, int]], n_rows: int) -> None:
    rows = assign_rows(lengths, n_rows, 10)
    assert len(rows) == n_rows
    placed = sum(rows, [])
    assert len(set(placed)) == len(placed)
    for side in (0, 1):
        assert all(sum(lengths[i][side] for i in row) < 10 for row in rows)
    for i in set(range(len(lengths))) - set(placed):  # the dropped pairs fit nowhere
        for row in rows:
            assert any(sum(lengths[k][s] for k in row) + lengths[i][s] >= 10 for s in (0, 1))


def test_an_empty_share_still_has_a_valid_shape() -> None:
    assert pack([], 4, 8, slice(1, None, 2)).table.shape == (7, 2, 8)


@pytest.mark.parametrize("length", [0, 64])
def test_weights_are_how_often_a_pair_occurs(pairs: list[IdPair], length: int) -> None:
    weights = torch.tensor([[0.25, 1.0, 2.5][i % 3] for i in range(len(pairs))])
    sampler = BatchSampler(pair_lengths(pairs), MAX_TOKENS, 1, weights, length)
    counts = torch.zeros(len(pairs))
    for epoch in range(200):
        for index in itertools.chain(*sampler.epoch(epoch)):
            counts[index] += 1
    assert (counts / 200 - weights).abs().max() < 0.15
    assert (counts[1::3] == 200).all()
    again = BatchSampler(pair_lengths(pairs), MAX_TOKENS, 1, weights, length)
    assert list(sampler.epoch(3)) == list(again.epoch(3))


@pytest.mark.parametrize("length", [0, 256])
def test_copies_of_a_pair_are_spread_over_the_batches(length: int) -> None:
    many = torch.full((2, 2000), 7)
    sampler = BatchSampler(many, 256, 1, torch.full((2000,), 2.0), length)
    twice = sum(len(batch) - len(set(batch)) for batch in sampler.epoch(0))
    assert twice < 200  # copies side by side would give 1,000 or more


@pytest.mark.parametrize("n_parts", [1, 2, 3, 50])
def test_a_batch_splits_into_its_rows(n_parts: int) -> None:
    batch = collate([([5, 6, 7], [8]), ([9], [10, 11]), ([12], [13])])
    parts = batch.split(n_parts)
    assert len(parts) == min(n_parts, 3)
    for name in ("src", "tgt_in", "tgt_out"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    assert sum(part.n_tokens for part in parts) == batch.n_tokens


def test_padding_is_little() -> None:
    """Less than with source lengths in rising order throughout."""
    rng = random.Random(2)
    many = [([5] * rng.randint(3, 15), [6] * n) for n in range(3, 16) for _ in range(60)]
    sampler = BatchSampler(pair_lengths(many), 400, seed=1)
    rising = sorted(range(len(many)), key=lambda i: (len(many[i][1]), len(many[i][0])))
    longer = [max(map(len, many[i])) + 1 for i in rising]
    other = [[rising[i] for i in batch] for batch in token_batches(longer, 400)]

    def waste(batches: list[list[int]], side: int) -> float:
        padded = sum(len(b) * max(len(many[i][side]) + 1 for i in b) for b in batches)
        return padded / sum(len(pair[side]) + 1 for pair in many) - 1

    assert waste(sampler.epoch(0), 0) < 0.75 * waste(other, 0)
    assert waste(sampler.epoch(0), 1) < 0.05


def kill_the_worker(pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
    os.kill(os.getpid(), signal.SIGKILL)
    return pair


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_worker_is_one_line(pairs: list[IdPair]) -> None:
    loader = Loader(
        pairs, BatchSampler(pair_lengths(pairs), MAX_TOKENS, 1), kill_the_worker, workers=1
    )
    with pytest.raises(TranslatorError, match=r"train\.workers=0"):
        next(loader.batches(0, 0))
