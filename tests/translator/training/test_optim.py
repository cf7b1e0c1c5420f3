"""The learning rate's shape, and what the optimizer does with it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from translator.config.schema import TrainConfig
from translator.model.batch import collate
from translator.system.processes import Ranks
from translator.training.losses import Objective
from translator.training.optim import (
    Muon,
    build_optimizers,
    dropout_rate,
    learning_rate,
    orthogonalise,
    set_rate,
)

CONFIG = TrainConfig(steps=1_000_000, peak_lr=2e-3, warmup_steps=400, cooldown=0.0)


def test_rate_peaks_at_the_end_of_the_warm_up() -> None:
    rates = [learning_rate(step, CONFIG) for step in range(1, 2000)]
    assert max(rates) == learning_rate(400, CONFIG) == CONFIG.peak_lr
    assert all(a < b for a, b in pairwise(rates[:400]))
    assert all(a > b for a, b in pairwise(rates[399:]))


@pytest.mark.parametrize("step", [1, 100, 399])
def test_warm_up_is_linear(step: int) -> None:
    assert learning_rate(step, CONFIG) == pytest.approx(CONFIG.peak_lr * step / 400)


@pytest.mark.parametrize("step", [400, 777, 100_000])
def test_decay_is_the_inverse_square_root(step: int) -> None:
    assert learning_rate(4 * step, CONFIG) == pytest.approx(learning_rate(step, CONFIG) / 2)


@pytest.mark.parametrize("step", [1, 4000, 50_000])
def test_equals_the_papers_equation(step: int) -> None:
    """Equation 3, with the peak that it has for D = 512 and 4,000 warm-up steps."""
    d_model, warmup = 512, 4000
    config = replace(CONFIG, peak_lr=d_model**-0.5 * warmup**-0.5, warmup_steps=warmup)
    expected = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
    assert learning_rate(step, config) == pytest.approx(expected)


def test_no_warm_up_starts_at_the_peak() -> None:
    config = replace(CONFIG, peak_lr=1e-3, warmup_steps=0)
    assert learning_rate(1, config) == 1e-3
    assert learning_rate(4, config) == pytest.approx(5e-4)


def test_cooldown_is_linear_down_to_zero() -> None:
    config = replace(CONFIG, steps=1000, warmup_steps=100, cooldown=0.25)
    plain = replace(config, cooldown=0.0)
    shares = [learning_rate(s, config) / learning_rate(s, plain) for s in range(1, 1001)]
    assert shares[:751] == [1.0] * 751
    assert shares[750:] == pytest.approx([1 - i / 250 for i in range(250)])


def test_dropout_falls_only_in_the_cooldown() -> None:
    config = replace(CONFIG, steps=1000, cooldown=0.5, cooldown_dropout=0.1)
    rates = [dropout_rate(step, 0.3, config) for step in range(1, 1001)]
    assert rates[:501] == [pytest.approx(0.3)] * 501
    assert all(a > b for a, b in pairwise(rates[500:]))
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert dropout_rate(1000, 0.05, config) == 0.05  # never raised


def test_first_update_moves_every_weight_by_the_rate() -> None:
    """Adam divides a first gradient by its own size; it minimises, so it goes against it."""
    layer = torch.nn.Linear(3, 2)
    optimizer = build_optimizers(layer, CONFIG)[0]
    before = layer.weight.detach().clone()
    (layer(torch.tensor([1.0, -2.0, 0.5])) * torch.tensor([1.0, -1.0])).sum().backward()
    optimizer.step()
    expected = -CONFIG.peak_lr * layer.weight.grad.sign()
    torch.testing.assert_close(layer.weight.detach() - before, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["adam", "adamw", "muon"])
def test_each_parameter_has_one_optimizer_and_the_configs_settings(make_model, kind: str) -> None:
    model = make_model()
    config = TrainConfig(optimizer=kind, beta1=0.8, beta2=0.95, weight_decay=0.0)
    optimizers = build_optimizers(model, config)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    assert {g["betas"] for g in optimizers[-1].param_groups} == {(0.8, 0.95)}
    set_rate(optimizers, 0.5)
    peaks = {"adam": {1e-3}, "adamw": {1e-3}, "muon": {1e-3, 0.01}}  # half of theirs
    assert {group["lr"] for group in groups} == peaks[kind]


def test_only_matrices_decay(make_model) -> None:
    model = make_model()
    config = TrainConfig(optimizer="adamw", weight_decay=0.1, peak_lr=0.5)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    (optimizer,) = build_optimizers(model, config)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        left = 0.95 if parameter.dim() > 1 else 1.0  # 1 - rate * decay
        torch.testing.assert_close(parameter.detach(), left * before[name])


def test_muon_moves_matrices_in_all_directions_alike(make_model) -> None:
    """Nearly orthogonal updates: the singular values of a step lie closer than the gradient's."""
    model = make_model()
    optimizers = build_optimizers(model, TrainConfig(optimizer="muon"))
    weight = model.encoder[0].feed_forward[0].weight
    before = weight.detach().clone()
    batch = collate([([5, 6, 7, 8], [9, 10]), ([11], [12, 13, 14])])
    Objective(model, TrainConfig())(batch)[0].backward()
    for optimizer in optimizers:
        optimizer.step()
    step, gradient = (torch.linalg.svdvals(m) for m in (weight.detach() - before, weight.grad))
    assert step.sum() / step.max() > 1.5 * gradient.sum() / gradient.max()
    direction = (weight.detach() - before).flatten() @ weight.grad.flatten()
    assert direction < 0  # downhill


@pytest.mark.parametrize("schedule", ["inverse-sqrt", "cosine", "constant"])
def test_schedules_share_warm_up_and_peak(schedule: str) -> None:
    config = replace(CONFIG, steps=2000, schedule=schedule, cooldown=0.0)
    rates = [learning_rate(step, config) for step in range(1, 2001)]
    assert rates[:400] == pytest.approx([CONFIG.peak_lr * s / 400 for s in range(1, 401)])
    assert all(a >= b for a, b in pairwise(rates[399:]))


def test_cosine_is_half_way_in_the_middle_and_ends_at_zero() -> None:
    config = replace(CONFIG, steps=2400, schedule="cosine", cooldown=0.3)
    assert learning_rate(1400, config) == pytest.approx(CONFIG.peak_lr / 2)
    assert learning_rate(2400, config) == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(900, config) > 0.8 * CONFIG.peak_lr


def test_stable_then_decay() -> None:
    config = replace(CONFIG, steps=1000, schedule="constant", cooldown=0.2)
    rates = [learning_rate(step, config) for step in range(1, 1001)]
    assert rates[400:801] == [CONFIG.peak_lr] * 401
    assert rates[-1] == pytest.approx(CONFIG.peak_lr / 200)


def matrices(seed: int = 1) -> list[torch.nn.Parameter]:
    torch.manual_seed(seed)
    shapes = [(8, 8), (16, 8), (8, 24), (8, 8), (16, 8)]
    return [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_muon_by_shapes_equals_torchs_one_by_one(weight_decay: float) -> None:
    ours, theirs = matrices(), matrices()
    settings = {"lr": 0.02, "weight_decay": weight_decay}
    optimizers = Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for step in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = other.grad = torch.randn(one.shape) * 10.0**step
        for optimizer in optimizers:
            optimizer.step()
    for one, other, first in zip(ours, theirs, matrices(), strict=True):
        assert (one - other).norm() < 0.02 * (other - first).norm()  # products are in bf16
        assert_close(
            optimizers[0].state[one]["momentum_buffer"],
            optimizers[1].state[other]["momentum_buffer"],
        )


def test_two_processes_share_muons_matrices_and_have_the_same_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def update(ranks: Ranks) -> list[torch.nn.Parameter]:
        found = matrices()
        for matrix in found:
            matrix.grad = matrix.detach().cos()
        Muon(found, lr=0.02, weight_decay=0.1, ranks=ranks).step()
        return found

    updates: dict[int, torch.Tensor] = {}
    owners: list[int] = []

    def send(self: Ranks, tensor: torch.Tensor, owner: int) -> Callable[[], object]:
        number = len(owners)
        owners.append(owner)
        if owner == self.rank:
            updates[number] = tensor.clone()
        return lambda: tensor.copy_(updates.get(number, torch.zeros(())))

    alone = update(Ranks())
    monkeypatch.setattr(Ranks, "send", send)
    for rank in (0, 1, 0):  # the first time the other's updates are not there yet
        owners.clear()
        found = update(Ranks(rank, 2))
        assert all(map(torch.equal, found, alone)) == (len(updates) == len(owners))
    assert set(owners) == {0, 1}


def test_orthogonalise_gives_singular_values_near_one() -> None:
    torch.manual_seed(1)
    for shape in ((3, 20, 8), (3, 8, 20), (2, 12, 12)):
        found = torch.linalg.svdvals(orthogonalise(torch.randn(shape)).float())
        assert ((found > 0.6) & (found < 1.3)).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.0])
def test_muon_skips_a_step_without_a_trace(value: float) -> None:
    found = matrices()
    optimizer = Muon(found, lr=0.02, weight_decay=0.1)
    for matrix in found:
        matrix.grad = torch.randn_like(matrix)
    optimizer.step()
    before = [(m.detach().clone(), optimizer.state[m]["momentum_buffer"].clone()) for m in found]
    for matrix in found:
        matrix.grad = torch.full_like(matrix, value)
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    for matrix, (weight, momentum) in zip(found, before, strict=True):
        assert torch.equal(matrix, weight)
        assert torch.equal(optimizer.state[matrix]["momentum_buffer"], momentum)
