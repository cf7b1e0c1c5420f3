"""The fused loss equals PyTorch's, in value and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from translator import losses
from translator.losses import projected_cross_entropy

D, V = 6, 11


def example(n: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(n)
    states = torch.randn(n, D, dtype=dtype, requires_grad=True)
    weight = torch.randn(V, D, dtype=dtype, requires_grad=True)
    return states, weight, torch.randint(0, V, (n,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("n", [1, 4, 5, 10, 13])  # below, at and beyond the borders of chunks of 5
def test_equals_cross_entropy_of_torch(monkeypatch, n: int, smoothing: float) -> None:
    monkeypatch.setattr(losses, "CHUNK", 5)
    states, weight, targets = example(n)
    loss_sum, nll_sum = projected_cross_entropy(states, weight, targets, smoothing)
    expected = F.cross_entropy(
        states @ weight.T, targets, reduction="sum", label_smoothing=smoothing
    )
    assert_close(loss_sum, expected)
    assert_close(nll_sum, F.cross_entropy(states @ weight.T, targets, reduction="sum").detach())
    ours = torch.autograd.grad(loss_sum, (states, weight))
    assert_close(ours, torch.autograd.grad(expected, (states, weight)))


def test_equals_cross_entropy_with_the_real_chunk_in_single_precision() -> None:
    states, weight, targets = example(2 * losses.CHUNK + 37, torch.float32)
    loss_sum, _ = projected_cross_entropy(states, weight, targets, 0.1)
    expected = F.cross_entropy(states @ weight.T, targets, reduction="sum", label_smoothing=0.1)
    assert_close(loss_sum, expected)
    ours = torch.autograd.grad(loss_sum, (states, weight))
    assert_close(ours, torch.autograd.grad(expected, (states, weight)), atol=1e-4, rtol=1e-4)


def test_gradcheck(monkeypatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", 3)
    states, weight, targets = example(7)

    def loss(states: Tensor, weight: Tensor) -> Tensor:
        return projected_cross_entropy(states, weight, targets, 0.1)[0]

    assert torch.autograd.gradcheck(loss, (states, weight))


def test_gradients_scale_with_what_comes_from_above() -> None:
    states, weight, targets = example(9)
    once = torch.autograd.grad(
        projected_cross_entropy(states, weight, targets, 0.1)[0], (states, weight)
    )
    thrice = torch.autograd.grad(
        3 * projected_cross_entropy(states, weight, targets, 0.1)[0], (states, weight)
    )
    assert_close(thrice, tuple(3 * gradient for gradient in once))


def test_plain_log_probability_has_no_gradient() -> None:
    loss_sum, nll_sum = projected_cross_entropy(*example(4), 0.1)
    assert loss_sum.requires_grad and not nll_sum.requires_grad


def test_inputs_are_left_as_they_are() -> None:
    states, weight, targets = example(9)
    before = states.detach().clone(), weight.detach().clone()
    projected_cross_entropy(states, weight, targets, 0.1)[0].backward()
    assert torch.equal(states, before[0]) and torch.equal(weight, before[1])
