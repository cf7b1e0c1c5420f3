"""One update of the weights: micro-batches, precision, clipping, and handling of failures."""

import contextlib
import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from translator.config.errors import TranslatorError
from translator.config.schema import TrainConfig
from translator.model.batch import Batch
from translator.model.packing import PackedBatch
from translator.model.transformer import Transformer
from translator.system.graphs import record, warm_up
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
_MIN_NORMS = 10.0  # how many norms (decayed count) the mean needs before it is used
_RAW, _AVERAGED = "raw", "averaged"  # names in a training state


@dataclass(frozen=True)
class Outcome:
    """The outcome of one update."""

    nll_sum: float  # of `-log p` over the target tokens
    norm: float  # of the gradient before clipping
    skipped: bool
    n_tokens: int


class Updater:
    """Updates the weights of a model.

    With "bf16", matrix products are computed in bfloat16 (Micikevicius et al. 2018; Kalamkar et
    al. 2019): the weights are cast once for each micro-batch; their masters, the residual stream,
    all sums and the optimizer stay in fp32.

    An update is skipped if its gradient is not finite or its norm exceeds `skip_norm` times the
    running mean. The device decides this, so the processor does not have to wait for it.

    Args:
        model: the model, on its device.
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
        self.optimizers = build_optimizers(model, config, self.ranks)
        self.averaged = copy.deepcopy(model) if config.ema_decay > 0 else None
        self.n_averaged = 0  # updates included in the moving average
        self.norms = torch.zeros(2, device=self.device)  # decayed sum and count of norms
        self.rate_scale = 1.0  # halved by each return to an earlier checkpoint
        self.n_parts = 1  # parts each micro-batch is split into after running out of memory
        self._outcomes: list[Tensor] = []  # of pending updates: nll, norm, whether skipped
        self._counts: list[int] = []  # their target tokens
        self._current_dropout = -1.0
        # Of the current update, on the device: the sum of -log p so far, and the outcome.
        self._nll = torch.zeros((), device=self.device)
        self._outcome = torch.zeros(3, device=self.device)
        objective = Objective(model, config)
        self.objective: torch.nn.Module = objective
        if self.ranks.world_size > 1:
            self.objective = DistributedDataParallel(
                self.objective,
                gradient_as_bucket_view=True,  # no second copy of all gradients
            )
            if self.precision == "bf16":  # gradients are as exact as their products
                self.objective.register_comm_hook(self.ranks, _average_in_bf16)
        on_gpu = self.device.type == "cuda"
        if config.compile or on_gpu:
            _compile_layers(model)
            # Its many steps over `(2N, V)` become a few.
            objective.consistency = torch.compile(objective.consistency, dynamic=False)
        self.captured = _CapturedUpdate(self) if on_gpu and self.ranks.world_size == 1 else None

    @property
    def eval_model(self) -> Transformer:
        """The model to validate and save: the moving average of the weights if there is one."""
        return self.averaged or self.model

    @torch.no_grad()
    def _average(self, averaged: Transformer) -> None:
        """Moves the average towards the weights; the first update copies them.

        The decay then grows from 0.18 (as in TensorFlow), so that the start is soon forgotten.
        """
        n = self.n_averaged
        decay = min(self.config.ema_decay, (1 + n) / (10 + n)) if n else 0.0
        torch._foreach_lerp_(list(averaged.parameters()), list(self.model.parameters()), 1 - decay)
        self.n_averaged += 1

    def update(self, batches: Sequence[Batch | PackedBatch], step: int) -> int:
        """Makes one update from this process's share of the micro-batches; steps count from 1.

        Dropout depends only on the seed, the step and the rank, so a resumed run draws the same.

        Returns:
            The number of target tokens in all processes.

        Raises:
            TranslatorError: a batch does not fit in the memory and cannot be split: it is a single
                row, its update is captured, or several processes share it.
        """
        c = self.config
        (n_tokens,) = self.ranks.sum(sum(batch.n_tokens for batch in batches))
        self.model.train()
        dropout = dropout_rate(step, self.dropout, c)
        if dropout != self._current_dropout:
            self.model.set_dropout(dropout)
            self._current_dropout = dropout
        set_rate(self.optimizers, rate_factor(step, c) * self.rate_scale)
        seed = derive_seed(c.seed, "update", step, self.ranks.rank)
        if self.captured:
            self.captured.update(batches, int(n_tokens), seed)
        else:
            self._update_eagerly(batches, int(n_tokens), seed)
        if self.averaged is not None:
            self._average(self.averaged)
        self._outcomes.append(self._outcome.clone())
        self._counts.append(int(n_tokens))
        return int(n_tokens)

    def _update_eagerly(
        self, batches: Sequence[Batch | PackedBatch], n_tokens: int, seed: int
    ) -> None:
        batches = [batch.to(self.device) for batch in batches]
        while True:
            torch.manual_seed(seed)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            self._nll.zero_()
            try:
                self._backward(batches, n_tokens)
                break
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if not _is_out_of_memory(error):
                    raise
                self._split_further(batches)
        self._apply()

    def _apply(self) -> None:
        """Updates the weights from the accumulated gradients; does not wait for the device."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        skipped = ~norm.isfinite()
        if self.config.skip_norm > 0:
            total, count = self.norms
            skipped |= (count >= _MIN_NORMS) & (norm * count > self.config.skip_norm * total)
        for optimizer in self.optimizers:
            optimizer.found_inf = skipped.float()  # type: ignore[attr-defined]
            optimizer.step()
        counted_norm = torch.where(skipped, 0.0, norm)
        decay = torch.where(skipped, 1.0, _NORM_DECAY)
        self.norms.mul_(decay).add_(torch.stack([counted_norm, (~skipped).float()]))
        self._outcome.copy_(torch.stack([self._nll, norm, skipped.float()]))

    def _accumulate(self, batch: Batch | PackedBatch, scale: float | Tensor) -> None:
        """Adds the gradients of a micro-batch, times `scale`, to the accumulated ones."""
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            loss_sum, nll_sum = self.objective(batch)
        (loss_sum * scale).backward()
        self._nll += nll_sum

    def _backward(self, batches: Sequence[Batch | PackedBatch], n_tokens: int) -> None:
        """Accumulates the gradients of all micro-batches."""
        parts = list(batches)
        if self.n_parts > 1:
            parts = [part for batch in batches for part in batch.split(self.n_parts)]
        for i, part in enumerate(parts):
            wait = i + 1 < len(parts) and isinstance(self.objective, DistributedDataParallel)
            # Processes exchange gradients once per update, with the last micro-batch.
            with cast(Any, self.objective).no_sync() if wait else contextlib.nullcontext():
                # DistributedDataParallel averages over the processes; the sum is needed.
                self._accumulate(part, self.ranks.world_size / n_tokens)

    def _split_further(self, batches: Sequence[Batch | PackedBatch]) -> None:
        """Splits micro-batches into more parts after one did not fit; updates stay the same."""
        n_rows = max(len(batch.src) for batch in batches)
        if self.ranks.world_size > 1 or self.n_parts >= n_rows:
            raise TranslatorError(OUT_OF_MEMORY)
        self.n_parts *= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning(
            "Out of memory: from now on each batch is processed in %d parts. The updates stay the "
            "same; --set train.max_tokens=... makes smaller batches.",
            self.n_parts,
        )

    def take_outcomes(self) -> list[Outcome]:
        """The outcome of each update since the last call. Waits for the device."""
        if not self._outcomes:
            return []
        table = torch.stack(self._outcomes).double().cpu()
        nll = self.ranks.sum(*table[:, 0].tolist())
        outcomes = [
            Outcome(total, norm, skipped > 0, n_tokens)
            for total, (_, norm, skipped), n_tokens in zip(
                nll, table.tolist(), self._counts, strict=True
            )
        ]
        self._outcomes, self._counts = [], []
        return outcomes

    def tensors(self) -> dict[str, Tensor]:
        """Everything that updates depend on besides the weights of `eval_model`, by name."""
        found = optimizer_tensors(self.model, self.optimizers)
        found["norms"] = self.norms
        if self.averaged is not None:
            found |= {f"{name}/{_RAW}": weight for name, weight in self.model.state_dict().items()}
            found[_AVERAGED] = torch.tensor(self.n_averaged)
        return found

    def restore(self, weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
        """Restores what `eval_model.state_dict()` and `tensors()` returned."""
        tensors = dict(tensors)
        if "norms" in tensors:  # missing in runs of the first version
            self.norms.copy_(tensors.pop("norms"))
        if self.averaged is not None:
            self.averaged.load_state_dict(weights)
            self.n_averaged = int(tensors.pop(_AVERAGED))
            weights = {name: tensors.pop(f"{name}/{_RAW}") for name in weights}
        self.model.load_state_dict(weights)
        restore_optimizers(self.model, self.optimizers, tensors)


OUT_OF_MEMORY = (
    "Out of memory: use smaller batches (--set train.max_tokens=...) and proportionally more of "
    "them per update (--set train.accum_steps=...)."
)


class _CapturedUpdate:
    """An update on a GPU as two CUDA graphs, which the GPU replays without the processor.

    One adds the gradients of a packed batch to the accumulated ones, the other updates the
    weights. They are captured with the first batch, whose shape all later ones share; everything
    that differs between updates is in tensors.
    """

    def __init__(self, updater: "Updater"):
        self.updater = updater
        self.graphs: tuple[Callable[[], Any], Callable[[], Any]] | None = None
        self.scale = torch.zeros((), device=updater.device)

    def update(self, batches: Sequence[Batch | PackedBatch], n_tokens: int, seed: int) -> None:
        """Like `Updater._update_eagerly`."""
        if self.graphs is None:
            try:
                self.graphs = self._capture(cast(PackedBatch, batches[0]))
            except torch.OutOfMemoryError:
                raise TranslatorError(OUT_OF_MEMORY) from None
        accumulate, apply = self.graphs
        torch.manual_seed(seed)
        self.scale.fill_(1 / n_tokens)
        for batch in batches:
            self.table.copy_(cast(PackedBatch, batch).table, non_blocking=True)
            accumulate()
        apply()

    def _capture(self, batch: PackedBatch) -> tuple[Callable[[], Any], Callable[[], Any]]:
        updater = self.updater
        self.table = batch.table.to(updater.device, copy=True)
        # A longer search replaces the model's; the graph goes on reading these.
        self.positions = updater.model.positions
        static = PackedBatch(self.table, 0)
        weights = list(updater.model.parameters())
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        gradients = [cast(Tensor, weight.grad) for weight in weights]

        def accumulate() -> None:
            updater._accumulate(static, self.scale)

        def apply() -> None:
            updater._apply()
            torch._foreach_zero_(gradients)
            updater._nll.zero_()

        def initialise_optimizers() -> None:
            """Creates the optimizers' state; an infinite gradient changes no weight."""
            gradients[0].fill_(float("inf"))
            apply()

        def run_first() -> None:
            norms = updater.norms.clone()
            for _ in range(2):
                accumulate()
            initialise_optimizers()
            updater.norms.copy_(norms)

        warm_up(run_first, updater.device)
        return record(accumulate, updater.device), record(apply, updater.device)


def _average_in_bf16(ranks: Ranks, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Averages gradients over the processes: half the bytes of fp32."""
    shares = bucket.buffer().bfloat16().div_(ranks.world_size)
    work = dist.all_reduce(shares, async_op=True)
    assert work is not None
    return work.get_future().then(lambda sums: bucket.buffer().copy_(sums.value()[0]))


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _compile_layers(model: Transformer) -> None:
    """Compiles the embedding and the layers for the one shape that all batches have."""
    model.embed = torch.compile(model.embed, dynamic=False)  # type: ignore[method-assign]
    for layer in [*model.encoder, *model.decoder]:
        layer.compile(dynamic=False)
