"""One update: any split gives the same gradients, and failures only cost time."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from translator.config.errors import TranslatorError
from translator.config.schema import TrainConfig
from translator.model.batch import collate
from translator.model.packing import pack
from translator.model.transformer import Transformer
from translator.training.update import Updater, _CapturedUpdate

PAIRS = [([5, 6, 7, 8], [9, 10]), ([11], [12, 13, 14]), ([15, 16], [17]), ([18], [19, 20])]
CONFIG = TrainConfig(precision="fp32", peak_lr=1e-2, warmup_steps=0, clip_norm=1e9, cooldown=0.0)
Make = Callable[..., Transformer]


def updater(make_model: Make, seed: int = 0, **changes: Any) -> Updater:
    return Updater(make_model(seed=seed), replace(CONFIG, **changes))


def gradients(made: Updater) -> list[torch.Tensor]:
    return [p.grad for p in made.model.parameters()]


def weights(made: Updater) -> list[torch.Tensor]:
    return [p.detach().clone() for p in made.model.parameters()]


@pytest.mark.parametrize("split", [[[0], [1], [2], [3]], [[0, 1], [2, 3]], [[3, 0, 2], [1]]])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_do_not_depend_on_micro_batches(
    make_model: Make, split: list[list[int]], precision: str
) -> None:
    results = []
    for rows in ([[0, 1, 2, 3]], split):
        made = updater(make_model, precision=precision)
        n_tokens = made.update([collate([PAIRS[i] for i in row]) for row in rows], 1)
        (result,) = made.take_outcomes()
        results.append(((result.nll_sum, result.norm, n_tokens), gradients(made)))
    (whole, expected), (parts, found) = results
    rounding = 1e-5 if precision == "fp32" else 1e-2
    assert parts == pytest.approx(whole, rel=rounding)
    assert whole[2] == sum(len(tgt) + 1 for _, tgt in PAIRS)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= 10 * rounding * other.norm() + 1e-6


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_captured_updates_equal_eager_ones(make_model: Make, optimizer: str) -> None:
    """Through the interface of a GPU; a CPU calls the two works instead of replaying them."""
    whole, first, second = (pack(rows, 4, 8, slice(None)) for rows in (PAIRS, PAIRS[:2], PAIRS[2:]))
    made, other = (updater(make_model, optimizer=optimizer) for _ in range(2))
    other.captured = _CapturedUpdate(other)
    for one in (made, other):
        for step, batches in enumerate(([whole], [first, second], [second], [whole]), start=1):
            one.update(batches, step)
    assert made.take_outcomes() == other.take_outcomes()
    assert all(map(torch.equal, weights(made), weights(other)))


def test_update_descends_the_mean_loss_of_all_target_tokens(make_model: Make) -> None:
    made = updater(make_model)
    batch = collate(PAIRS)
    reference = make_model()
    logits = reference(batch.src, batch.tgt_in)
    expected = F.cross_entropy(
        logits.flatten(0, 1), batch.tgt_out.flatten(), ignore_index=0, label_smoothing=0.1
    )
    expected.backward()
    n_tokens = made.update([batch], 1)
    (result,) = made.take_outcomes()
    wanted = [p.grad for p in reference.parameters()]
    assert_close(gradients(made), wanted, atol=1e-6, rtol=1e-4)
    norm = float(torch.cat([g.flatten() for g in wanted]).norm())
    assert result.norm == pytest.approx(norm, rel=1e-4)
    plain = F.cross_entropy(logits.flatten(0, 1), batch.tgt_out.flatten(), ignore_index=0)
    assert result.nll_sum / n_tokens == pytest.approx(plain.item(), rel=1e-4)


def test_bf16_masters_and_gradients_are_fp32(make_model: Make) -> None:
    made = updater(make_model, precision="bf16")
    made.update([collate(PAIRS)], 1)
    assert {p.dtype for p in made.model.parameters()} == {torch.float32}
    assert {g.dtype for g in gradients(made)} == {torch.float32}
    exact = updater(make_model)
    exact.update([collate(PAIRS)], 1)
    rough, fine = (torch.cat([g.flatten() for g in gradients(m)]) for m in (made, exact))
    assert 0 < (rough - fine).norm() < 0.1 * fine.norm()


def test_gradients_are_clipped_and_the_rate_is_set(make_model: Make) -> None:
    made = updater(make_model, clip_norm=0.01, warmup_steps=10)
    made.update([collate(PAIRS)], 5)
    clipped = torch.cat([g.flatten() for g in gradients(made)]).norm().item()
    (result,) = made.take_outcomes()
    assert clipped == pytest.approx(0.01, rel=1e-3) and result.norm > 0.01
    rates = {group["lr"] for optimizer in made.optimizers for group in optimizer.param_groups}
    assert list(rates) == pytest.approx([CONFIG.peak_lr / 2])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_restored_updater_continues_exactly(
    make_model: Make, optimizer: str, ema_decay: float
) -> None:
    changes = {"optimizer": optimizer, "ema_decay": ema_decay}
    made, fresh = updater(make_model, **changes), updater(make_model, seed=1, **changes)
    for step in (1, 2):
        made.update([collate(PAIRS)], step)
    kept = {name: weight.clone() for name, weight in made.eval_model.state_dict().items()}
    fresh.restore(kept, {name: tensor.clone() for name, tensor in made.tensors().items()})
    for one in (made, fresh):
        one.update([collate(PAIRS)], 3)
    for ours, theirs in ((made.model, fresh.model), (made.eval_model, fresh.eval_model)):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(p, q)
    assert torch.equal(made.norms, fresh.norms)


def test_moving_average_is_that_of_the_weights(make_model: Make) -> None:
    made = updater(make_model, ema_decay=0.5)
    expected: list[torch.Tensor] = []
    for step in range(1, 8):
        made.update([collate(PAIRS)], step)
        decay = min(0.5, step / (step + 9))  # how much of the past is kept
        expected = [
            decay * old + (1 - decay) * new
            for old, new in zip(expected or weights(made), weights(made), strict=True)
        ]
    assert_close([p.detach() for p in made.eval_model.parameters()], expected)
    assert made.eval_model is not made.model


# --- failures


def spoil(made: Updater, value: float) -> None:
    """Multiplies the next gradient of the embedding by `value`."""
    handles = []

    def change(grad: torch.Tensor) -> torch.Tensor:
        for handle in handles:
            handle.remove()
        return grad * value

    parameter = made.model.embedding.weight
    handles.append(parameter.register_hook(change))


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e6])
def test_a_bad_update_is_skipped_without_a_trace(
    make_model: Make, value: float, optimizer: str
) -> None:
    made = updater(make_model, optimizer=optimizer)
    for step in range(1, 15):
        made.update([collate(PAIRS)], step)
    before = weights(made), {k: v.clone() for k, v in made.tensors().items()}
    spoil(made, value)
    made.update([collate(PAIRS)], 15)
    assert all(map(torch.equal, before[0], weights(made)))
    after = made.tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before[1].items())
    assert [result.skipped for result in made.take_outcomes()] == [False] * 14 + [True]
    made.update([collate(PAIRS)], 16)
    assert not any(map(torch.equal, before[0][:1], weights(made)[:1]))
    assert [result.skipped for result in made.take_outcomes()] == [False]


def test_large_gradients_pass_at_first_and_when_skipping_is_off(make_model: Make) -> None:
    early, off = updater(make_model), updater(make_model, skip_norm=0.0)
    for step in range(1, 15):
        off.update([collate(PAIRS)], step)
    for made in (early, off):
        spoil(made, 1e6)
        made.update([collate(PAIRS)], 15)
        assert not any(result.skipped for result in made.take_outcomes())


@pytest.mark.parametrize("packed", [False, True])
def test_out_of_memory_splits_the_batch_and_changes_nothing(
    make_model: Make,
    packed: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batch = pack(PAIRS, 4, 16, slice(None)) if packed else collate(PAIRS)
    expected = updater(make_model)
    expected.update([batch], 1)
    made = updater(make_model)
    forward = made.objective.forward
    rows = []

    def small_memory(batch):  # noqa: ANN001, ANN202
        rows.append(len(batch.src))
        if len(batch.src) > 1:
            loss = forward(batch)
            loss[0].backward()  # gradients of the failed attempt must not remain
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(batch)

    monkeypatch.setattr(made.objective, "forward", small_memory)
    made.update([batch], 1)
    assert_close(gradients(made), gradients(expected), atol=1e-6, rtol=1e-4)
    assert rows == [4, 2, 1, 1, 1, 1] and made.n_parts == 4
    assert "in 4 parts" in caplog.text
    (one,), (other,) = made.take_outcomes(), expected.take_outcomes()
    assert one.nll_sum == pytest.approx(other.nll_sum, rel=1e-5)
    made.update([batch], 2)
    assert rows[6:] == [1, 1, 1, 1]  # it remembers the split


def test_a_single_row_that_does_not_fit_is_one_line(make_model: Make, monkeypatch) -> None:
    made = updater(make_model)

    def no_memory(batch):  # noqa: ANN001, ANN202
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(made.objective, "forward", no_memory)
    with pytest.raises(TranslatorError, match=r"train\.max_tokens"):
        made.update([collate(PAIRS)], 1)


def test_other_errors_are_not_hidden(make_model: Make, monkeypatch) -> None:
    made = updater(make_model)

    def broken(batch):  # noqa: ANN001, ANN202
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(made.objective, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        made.update([collate(PAIRS)], 1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("simcut", [0.0, 2.0])
def test_compiled_layers_give_the_same(make_model: Make, simcut: float) -> None:
    results = []
    for compiled in (False, True):
        made = updater(make_model, compile=compiled, simcut=simcut)
        for step, rows in enumerate((PAIRS, PAIRS[:2], PAIRS), start=1):
            made.update([pack(rows, 4, 8, slice(None))], step)
        results.append([(r.nll_sum, r.norm) for r in made.take_outcomes()])
    assert_close(torch.tensor(results[1]), torch.tensor(results[0]), atol=0, rtol=1e-5)
