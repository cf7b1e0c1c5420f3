"""A packed batch teaches what a padded one does."""

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from translator.config.schema import ModelConfig, TrainConfig
from translator.model.batch import collate
from translator.model.packing import pack, row_length
from translator.model.transformer import Transformer
from translator.text.tokenizer import IdPair
from translator.training.losses import Objective

MODEL = ModelConfig(32, 64, 4, 2, 2, dropout=0.0, norm="pre", vocab_size=50)


def pairs(n: int, longest: int = 12) -> list[IdPair]:
    rng = random.Random(n)
    return [
        tuple([rng.randint(40, 49) for _ in range(rng.randint(1, longest))] for _ in range(2))
        for _ in range(n)
    ]


def gradients(model: Transformer, objective: Objective, batch) -> tuple[Tensor, ...]:
    loss_sum, nll_sum = objective(batch)
    found = torch.autograd.grad(loss_sum, list(model.parameters()))
    return loss_sum.detach(), nll_sum, *found


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("changes", [{}, {"r_drop": 2.0}, {"simcut": 2.0, "simcut_rate": 0.0}])
def test_loss_and_gradients_equal_those_of_a_padded_batch(norm: str, changes: dict) -> None:
    torch.manual_seed(1)
    model = Transformer(replace(MODEL, norm=norm)).double()
    model.positions = model.positions.double()
    objective = Objective(model, TrainConfig(**changes)).train()
    some = pairs(20)
    packed = pack(some, 12, 32, slice(None))
    assert packed.n_tokens == collate(some).n_tokens
    assert_close(gradients(model, objective, packed), gradients(model, objective, collate(some)))


def test_a_pair_does_not_see_its_neighbours() -> None:
    torch.manual_seed(1)
    model = Transformer(MODEL).eval()
    objective = Objective(model, TrainConfig(label_smoothing=0.0))
    some = pairs(6, longest=4)
    together = objective(pack(some, 1, 64, slice(None)))[1]
    alone = sum(objective(pack([pair], 1, 16, slice(None)))[1] for pair in some)
    assert_close(together, alone)


def test_ids_of_the_padding_do_not_matter() -> None:
    torch.manual_seed(1)
    model = Transformer(MODEL).eval()
    objective = Objective(model, TrainConfig())
    batch = pack(pairs(5), 4, 32, slice(None))
    before = gradients(model, objective, batch)
    padding = batch.table[3] == 0
    batch.table[0][padding] = 45
    assert_close(gradients(model, objective, batch), before)


def test_parts_of_a_batch_add_up_to_it() -> None:
    torch.manual_seed(1)
    model = Transformer(MODEL).double()
    model.positions = model.positions.double()
    objective = Objective(model, TrainConfig())
    batch = pack(pairs(9), 5, 32, slice(None))
    parts = batch.split(2)
    assert [len(part.src) for part in parts] == [3, 2]
    assert sum(part.n_tokens for part in parts) == batch.n_tokens
    found = [gradients(model, objective, part) for part in parts]
    assert_close(
        tuple(a + b for a, b in zip(*found, strict=True)), gradients(model, objective, batch)
    )


@pytest.mark.parametrize("changes", [{}, {"r_drop": 2.0}])
def test_a_process_without_rows_adds_nothing(changes: dict) -> None:
    model = Transformer(MODEL)
    objective = Objective(model, TrainConfig(**changes)).train()
    batch = pack(pairs(2, longest=4), 1, 16, slice(1, None, 2))
    assert len(batch.src) == batch.n_tokens == 0
    loss_sum, nll_sum = objective(batch)
    loss_sum.backward()
    assert loss_sum.item() == nll_sum.item() == 0
    assert all(weight.grad is None or not weight.grad.any() for weight in model.parameters())


def test_a_row_may_be_longer_than_the_positions_so_far() -> None:
    torch.manual_seed(1)
    model = Transformer(MODEL).eval()
    some = [([45] * 700, [46] * 600)]
    assert row_length(700) > len(model.positions)
    objective = Objective(model, TrainConfig())
    packed, padded = pack(some, 1, row_length(700), slice(None)), collate(some)
    assert_close(objective(packed), objective(padded))
