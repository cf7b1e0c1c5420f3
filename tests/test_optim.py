"""The learning rate's shape, and what the optimizer does with it."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from translator.config import TrainConfig
from translator.optim import build_optimizer, dropout_rate, learning_rate

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


def test_cooldown_leads_to_zero_in_a_straight_line() -> None:
    config = replace(CONFIG, steps=1000, warmup_steps=100, cooldown=0.25)
    plain = replace(config, cooldown=0.0)
    shares = [learning_rate(s, config) / learning_rate(s, plain) for s in range(1, 1001)]
    assert shares[:751] == [1.0] * 751
    assert shares[750:] == pytest.approx([1 - i / 250 for i in range(250)])


def test_dropout_falls_in_the_cooldown_alone() -> None:
    config = replace(CONFIG, steps=1000, cooldown=0.5, cooldown_dropout=0.1)
    rates = [dropout_rate(step, 0.3, config) for step in range(1, 1001)]
    assert rates[:501] == [pytest.approx(0.3)] * 501
    assert all(a > b for a, b in pairwise(rates[500:]))
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert dropout_rate(1000, 0.05, config) == 0.05  # never raised


def test_first_update_moves_every_weight_by_the_rate() -> None:
    """Adam divides a first gradient by its own size; it minimises, so it goes against it."""
    layer = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(layer, CONFIG)
    before = layer.weight.detach().clone()
    (layer(torch.tensor([1.0, -2.0, 0.5])) * torch.tensor([1.0, -1.0])).sum().backward()
    optimizer.step()
    expected = -CONFIG.peak_lr * layer.weight.grad.sign()
    torch.testing.assert_close(layer.weight.detach() - before, expected, rtol=1e-3, atol=1e-6)


def test_optimizer_has_all_parameters_and_the_configs_betas(make_model) -> None:
    model = make_model()
    (group,) = build_optimizer(model, TrainConfig(beta1=0.8, beta2=0.95)).param_groups
    assert group["betas"] == (0.8, 0.95)
    assert {id(p) for p in group["params"]} == {id(p) for p in model.parameters()}
