"""The fused loss equals PyTorch's, in value and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from translator.config.schema import TrainConfig
from translator.model.batch import collate
from translator.text.tokenizer import BOS, EOS, PAD
from translator.training import losses
from translator.training.losses import (
    Objective,
    consistent_cross_entropy,
    drop_tokens,
    projected_cross_entropy,
)

D, V = 6, 11


def example(n: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(n)
    states = torch.randn(n, D, dtype=dtype, requires_grad=True)
    weight = torch.randn(V, D, dtype=dtype, requires_grad=True)
    targets = torch.randint(0, V, (n,))
    with torch.no_grad():
        states[targets == PAD] = 0.0  # as padding in a packed batch
    return states, weight, targets


def cross_entropy(
    states: Tensor, weight: Tensor, targets: Tensor, smoothing: float = 0.0
) -> Tensor:
    """PyTorch's."""
    logits = states @ weight.T
    return F.cross_entropy(
        logits, targets, reduction="sum", label_smoothing=smoothing, ignore_index=PAD
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("chunk", [5, 8])  # the last chunk of 8 is filled up to an even number
@pytest.mark.parametrize("n", [1, 4, 5, 8, 10, 13])  # below, at and beyond the borders of chunks
def test_equals_cross_entropy_of_torch(monkeypatch, n: int, chunk: int, smoothing: float) -> None:
    monkeypatch.setattr(losses, "CHUNK", chunk)
    states, weight, targets = example(n)
    loss_sum, nll_sum = projected_cross_entropy(states, weight, targets, smoothing)
    expected = cross_entropy(states, weight, targets, smoothing)
    assert_close(loss_sum, expected)
    assert_close(nll_sum, cross_entropy(states, weight, targets).detach())
    ours = torch.autograd.grad(loss_sum, (states, weight))
    assert_close(ours, torch.autograd.grad(expected, (states, weight)))


def test_equals_cross_entropy_with_the_real_chunk_in_single_precision() -> None:
    states, weight, targets = example(2 * losses.CHUNK + 37, torch.float32)
    loss_sum, _ = projected_cross_entropy(states, weight, targets, 0.1)
    expected = cross_entropy(states, weight, targets, 0.1)
    assert_close(loss_sum, expected)
    ours = torch.autograd.grad(loss_sum, (states, weight))
    assert_close(ours, torch.autograd.grad(expected, (states, weight)), atol=1e-4, rtol=1e-4)


def test_products_have_few_shapes(monkeypatch) -> None:
    """For each new one oneDNN makes code."""
    sizes, product = set(), torch.mm

    def spy(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        sizes.add(len(a))
        return product(a, b, out=out)

    monkeypatch.setattr(torch, "mm", spy)
    for n in range(1, 3 * losses.CHUNK, 67):
        projected_cross_entropy(*example(n, torch.float32), 0.1)
    assert sizes == {losses.CHUNK * quarters // 4 for quarters in (1, 2, 3, 4)}


def test_gradcheck(monkeypatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", 3)
    states, weight, targets = example(7)

    def loss(states: Tensor, weight: Tensor) -> Tensor:
        return projected_cross_entropy(states, weight, targets, 0.1)[0]

    assert torch.autograd.gradcheck(loss, (states, weight))


def test_gradients_scale_with_the_upstream_gradient() -> None:
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


def test_inputs_are_not_modified() -> None:
    states, weight, targets = example(9)
    before = states.detach().clone(), weight.detach().clone()
    projected_cross_entropy(states, weight, targets, 0.1)[0].backward()
    assert torch.equal(states, before[0]) and torch.equal(weight, before[1])


# Two views of the same positions.


def two_views(n: int) -> tuple[Tensor, Tensor, Tensor]:
    one, weight, targets = example(n)
    other = one.detach() + 0.3 * torch.randn_like(one)
    return torch.cat([one.detach(), other]).requires_grad_(), weight, targets


def divergence(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(p || q), summed over positions."""
    log_p, log_q = p_logits.log_softmax(dim=1), q_logits.log_softmax(dim=1)
    return F.kl_div(log_q, log_p, reduction="sum", log_target=True)


@pytest.mark.parametrize("method", ["r_drop", "simcut"])
def test_consistency_equals_the_papers_formulas(method: str) -> None:
    states, weight, targets = two_views(13)
    config = TrainConfig(**{method: 3.0})
    loss_sum, nll_sum = consistent_cross_entropy(states, weight, targets, config)
    one, other = states.chunk(2)
    real = (targets != PAD)[:, None]
    p, q = (view[targets != PAD] @ weight.T for view in (one, other))
    entropies = [cross_entropy(view, weight, targets, 0.1) for view in (one, other)]
    nlls = [cross_entropy(view, weight, targets) for view in (one, other)]
    if method == "r_drop":
        expected = sum(entropies) / 2 + 3.0 / 4 * (divergence(p, q) + divergence(q, p))
        nll = sum(nlls) / 2
    else:
        expected, nll = entropies[0] + 3.0 * divergence(p, q), nlls[0]
    assert_close(loss_sum, expected)
    assert_close(nll_sum, nll.detach())
    ours = torch.autograd.grad(loss_sum, (states, weight))
    assert_close(ours, torch.autograd.grad(expected, (states, weight)))
    assert not (ours[0] * ~real.repeat(2, 1)).any()  # padding learns nothing


def test_no_positions_give_zero_and_zero_gradients() -> None:
    """As in a process that got none of a batch's rows."""
    _, weight, _ = example(3)
    states = torch.zeros(0, D, dtype=torch.float64, requires_grad=True)
    loss_sum, nll_sum = projected_cross_entropy(states, weight, torch.zeros(0, dtype=torch.long))
    loss_sum.backward()
    assert loss_sum.item() == nll_sum.item() == 0
    assert not weight.grad.any()


def test_bf16_states_give_nearly_the_same() -> None:
    states, weight, targets = example(2000, torch.float32)
    whole, _ = projected_cross_entropy(states, weight, targets, 0.1)
    half, _ = projected_cross_entropy(states.bfloat16(), weight, targets, 0.1)
    assert half.item() == pytest.approx(whole.item(), rel=2e-3)
    exact, rough = (torch.autograd.grad(loss, (states, weight)) for loss in (whole, half))
    for one, other in zip(exact, rough, strict=True):
        assert other.dtype == torch.float32
        assert (one - other).norm() < 0.01 * one.norm()


def test_an_impossible_target_costs_a_finite_loss() -> None:
    states = torch.tensor([[100.0, 0.0]], requires_grad=True)
    weight = torch.tensor([[10.0, 0.0], [-10.0, 0.0]], requires_grad=True)
    loss_sum, _ = projected_cross_entropy(states, weight, torch.tensor([1]))
    loss_sum.backward()
    assert loss_sum.isfinite() and states.grad.isfinite().all()


# The objective.

BATCH = [([5, 6, 7, 8], [9, 10]), ([11], [12, 13, 14]), ([15, 16], [17])]


def test_dropped_tokens_are_a_share_and_never_the_ends() -> None:
    torch.manual_seed(1)
    ids = torch.randint(4, 90, (100, 200))
    ids[:, 0], ids[:, 150], ids[:, 151:] = BOS, EOS, PAD
    dropped = drop_tokens(ids, 0.2)
    assert (dropped[:, 0] == BOS).all() and (dropped[:, 150] == EOS).all()
    text = ids[:, 1:150]
    changed = dropped[:, 1:150] != text
    assert (dropped[:, 1:150][changed] == PAD).all()
    assert changed.float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(drop_tokens(ids, 0.0), ids)


def test_a_dropped_token_has_a_position_but_no_embedding(make_model) -> None:
    """What is left of it is its position, and attention still goes to it."""
    model = make_model()
    src = torch.tensor([[5, 6, 7, EOS]])
    mask = (src != PAD)[:, None, None, :]
    cut = src.masked_fill(src == 6, PAD)
    with torch.no_grad():
        memory, found_mask = model.encode(cut, mask)
        model.embedding.weight[6] = 0
        expected, _ = model.encode(src)
    assert_close(memory, expected)
    assert torch.equal(found_mask, mask)


@pytest.mark.parametrize("technique", ["r_drop", "simcut"])
def test_equal_views_add_nothing(make_model, technique: str) -> None:
    """Without dropout and without cuts both passes are the same."""
    model, batch = make_model(), collate(BATCH)
    changes = {technique: 5.0, "simcut_rate": 0.0}
    plain = Objective(model, TrainConfig()).train()(batch)
    found = Objective(model, TrainConfig(**changes)).train()(batch)
    assert_close(found[0], plain[0], atol=1e-4, rtol=1e-5)
    assert_close(found[1], plain[1], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("changes", [{"r_drop": 5.0}, {"simcut": 3.0, "simcut_rate": 0.5}])
def test_different_views_cost_something_only_in_training(make_model, changes) -> None:
    model, batch = make_model(dropout=0.5), collate(BATCH)
    torch.manual_seed(1)
    with_term = Objective(model, TrainConfig(**changes)).train()(batch)[0]
    torch.manual_seed(1)
    without = Objective(model, TrainConfig(**{**changes, next(iter(changes)): 1e-6})).train()
    assert with_term > without(batch)[0]
    plain, own = (Objective(model, TrainConfig(**c)).eval()(batch)[0] for c in ({}, changes))
    assert_close(own, plain)


def test_word_dropout_hides_words_only_in_training(make_model) -> None:
    model, batch = make_model(), collate(BATCH)
    objective = Objective(model, TrainConfig(word_dropout=0.5))
    plain = Objective(model, TrainConfig()).train()(batch)[0]
    torch.manual_seed(1)
    assert not torch.isclose(objective.train()(batch)[0], plain, rtol=1e-3)
    assert_close(objective.eval()(batch)[0], plain)
