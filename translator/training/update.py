"""One update of the weights: micro-batches, precision, clipping, and what is done if it fails."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from translator.config.errors import TranslatorError
from translator.config.schema import TrainConfig
from translator.model.batch import Batch
from translator.model.transformer import Transformer
from translator.system.machine import resolve_precision
from translator.system.processes import Ranks
from translator.system.seeds import derive_seed
from translator.training.losses import Objective
from translator.training.optim import (
    build_optimizers,
    dropout_rate,
    optimizer_tensors,
    rate_factor,
    restore_optimizers,
    set_rate,
)

log = logging.getLogger("translator")

_NORM_DECAY = 0.98  # of the running mean of gradient norms
_NORM_MINIMUM = 10.0  # so many norms make a mean that can be compared with
_RAW, _AVERAGED = "raw", "averaged"  # names in a training state


@dataclass(frozen=True)
class Result:
    """What came of an update."""

    nll_sum: float  # of `-log p` over the target tokens
    norm: float  # of the gradient before clipping
    left_out: bool
    n_tokens: int


class Updater:
    """Updates the weights of a model.

    With "bf16" matrix products are computed in bfloat16 (Micikevicius et al. 2018; Kalamkar et al.
    2019): the weights are cast once for each micro-batch, their masters, the residual stream, all
    sums and the optimizer stay in fp32.

    An update whose gradient is not finite, or `skip_norm` times as long as usual, is left out;
    whether it is, is decided on the device, so that nothing waits for it.

    Args:
        model: on its device.
        config: the recipe.
        ranks: which process this is.
    """

    def __init__(self, model: Transformer, config: TrainConfig, ranks: Ranks | None = None):
        self.model = model
        self.config = config
        self.ranks = ranks or Ranks()
        self.device = model.embedding.weight.device
        self.precision = resolve_precision(config.precision, self.device)
        self.dropout = model.config.dropout
        self.optimizers = build_optimizers(model, config)
        self.averaged: AveragedModel | None = None
        if config.ema_decay > 0:
            self.averaged = AveragedModel(model, multi_avg_fn=self._moving_average)
        self.norms = torch.zeros(2, device=self.device)  # decayed sum of norms, and of their count
        self.rate_scale = 1.0  # lowered after a fall back
        self.n_parts = 1  # that each micro-batch is cut into, for want of memory
        self._results: list[Tensor] = []  # of updates: nll, norm, whether it was left out
        self._counts: list[int] = []  # of their target tokens
        if config.compile:
            _compile_layers(model)
        self.objective: torch.nn.Module = Objective(model, config)
        if self.ranks.world_size > 1:
            self.objective = DistributedDataParallel(self.objective)

    @property
    def kept(self) -> Transformer:
        """The model that is validated and kept: the moving average of the weights, if there is."""
        return cast(Transformer, self.averaged.module) if self.averaged else self.model

    def _moving_average(self, averaged: Any, current: Any, n: Any) -> None:
        """The decay grows from 0.18 on (as in TensorFlow), so that the start is soon forgotten."""
        count = int(n)
        decay = min(self.config.ema_decay, (1 + count) / (10 + count))
        get_ema_multi_avg_fn(decay)(averaged, current, n)

    def update(self, batches: Sequence[Batch], step: int) -> int:
        """One update from this process's share of the micro-batches; steps count from 1.

        Dropout depends on the seed, the step and the rank alone, so a resumed run draws the same.

        Returns:
            The target tokens of all processes.

        Raises:
            TranslatorError: a single sentence does not fit in the memory.
        """
        c = self.config
        (n_tokens,) = self.ranks.sum(sum(batch.n_tokens for batch in batches))
        batches = [batch.to(self.device) for batch in batches]
        self.model.train()
        self.model.set_dropout(dropout_rate(step, self.dropout, c))
        while True:
            torch.manual_seed(derive_seed(c.seed, "update", step, self.ranks.rank))
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            try:
                nll = self._backward(batches, int(n_tokens))
                break
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if not _is_out_of_memory(error):
                    raise
                self._divide(max(len(batch.src) for batch in batches))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), c.clip_norm)
        left_out = ~norm.isfinite()
        if c.skip_norm > 0:
            total, count = self.norms
            left_out |= (count >= _NORM_MINIMUM) & (norm * count > c.skip_norm * total)
        set_rate(self.optimizers, rate_factor(step, c) * self.rate_scale)
        for optimizer in self.optimizers:
            if optimizer.defaults.get("fused"):
                optimizer.found_inf = left_out.float()  # type: ignore[attr-defined]
                optimizer.step()
            elif not left_out:
                optimizer.step()
        kept_norm = torch.where(left_out, 0.0, norm)
        decay = torch.where(left_out, 1.0, _NORM_DECAY)
        self.norms.mul_(decay).add_(torch.stack([kept_norm, (~left_out).float()]))
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self._results.append(torch.stack([nll, norm, left_out.float()]))
        self._counts.append(int(n_tokens))
        return int(n_tokens)

    def _backward(self, batches: Sequence[Batch], n_tokens: int) -> Tensor:
        """Adds up the gradients of all micro-batches; returns the sum of `-log p`."""
        parts = [part for batch in batches for part in batch.split(self.n_parts)]
        nll_total = torch.zeros((), device=self.device)
        bf16 = self.precision == "bf16"
        for i, part in enumerate(parts):
            wait = i + 1 < len(parts) and isinstance(self.objective, DistributedDataParallel)
            # Gradients travel between processes once an update, with the last micro-batch.
            with cast(Any, self.objective).no_sync() if wait else contextlib.nullcontext():
                with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                    loss_sum, nll_sum = self.objective(part)
                # DistributedDataParallel takes the mean over the processes; the sum is wanted.
                (loss_sum * (self.ranks.world_size / n_tokens)).backward()
            nll_total += nll_sum
        return nll_total

    def _divide(self, n_rows: int) -> None:
        """Makes micro-batches smaller after one did not fit; updates stay as they are."""
        if self.ranks.world_size > 1 or self.n_parts >= n_rows:
            raise TranslatorError(
                "Out of memory: use smaller batches (--set train.max_tokens=...) and as many more "
                "of them for an update (--set train.accum_steps=...)."
            )
        self.n_parts *= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning(
            "Out of memory: from now on each batch goes through in %d parts. The updates stay the "
            "same; --set train.max_tokens=... makes smaller batches.",
            self.n_parts,
        )

    def results(self) -> list["Result"]:
        """What came of each update since the last call. Waits for the device."""
        if not self._results:
            return []
        table = torch.stack(self._results).double().cpu()
        nll = self.ranks.sum(*table[:, 0].tolist())
        found = [
            Result(total, norm, left_out > 0, n_tokens)
            for total, (_, norm, left_out), n_tokens in zip(
                nll, table.tolist(), self._counts, strict=True
            )
        ]
        self._results, self._counts = [], []
        return found

    def tensors(self) -> dict[str, Tensor]:
        """All that updates depend on and that is not in `kept`, by name."""
        found = optimizer_tensors(self.model, self.optimizers)
        found["norms"] = self.norms
        if self.averaged is not None:
            found |= {f"{name}/{_RAW}": weight for name, weight in self.model.state_dict().items()}
            found[_AVERAGED] = self.averaged.n_averaged
        return found

    def restore(self, kept: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
        """The inverse of `kept.state_dict()` and `tensors()`."""
        tensors = dict(tensors)
        if "norms" in tensors:  # runs of the first version have none
            self.norms.copy_(tensors.pop("norms"))
        weights = kept
        if self.averaged is not None:
            self.averaged.module.load_state_dict(kept)
            self.averaged.n_averaged.copy_(tensors.pop(_AVERAGED))
            weights = {name: tensors.pop(f"{name}/{_RAW}") for name in kept}
        self.model.load_state_dict(weights)
        restore_optimizers(self.model, self.optimizers, tensors)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _compile_layers(model: Transformer) -> None:
    """Compiles one layer of each kind, for each of the few shapes that batches have."""
    torch._dynamo.config.recompile_limit = 64
    for layer in [*model.encoder, *model.decoder]:
        layer.compile(dynamic=False)
