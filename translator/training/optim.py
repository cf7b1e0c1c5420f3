"""The optimizers and their state on disk, and the schedules of learning rate and dropout."""

import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from translator.config.schema import TrainConfig
from translator.system.processes import Ranks


def rate_factor(step: int, config: TrainConfig) -> float:
    """The learning rate at a step, as a share of its peak; steps count from 1.

    A linear warm-up to 1 at `warmup_steps`, then according to `schedule`:

    - `inverse-sqrt` of the step (Vaswani et al. 2017, equation 3), or `constant`. Over the last
      share `cooldown` of the steps, both also decay linearly to zero: warm-up, stable, decay (Hu
      et al. 2024; Hägele et al. 2024).
    - `cosine`: half a period, reaching zero at the end (Loshchilov & Hutter 2017, equation 5).
    """
    warmup = max(config.warmup_steps, 1)
    if step < warmup:
        factor = step / warmup
    elif config.schedule == "cosine":
        progress = (step - warmup) / max(config.steps - warmup, 1)
        return (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    elif config.schedule == "constant":
        factor = 1.0
    else:
        factor = (warmup / step) ** 0.5
    return factor * _cooldown_factor(step, config)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Adam's learning rate at a step: `peak_lr` times `rate_factor`."""
    return config.peak_lr * rate_factor(step, config)


def dropout_rate(step: int, dropout: float, config: TrainConfig) -> float:
    """The dropout rate at a step: `dropout`, falling to `cooldown_dropout` in the cooldown.

    Annealed dropout (Rennie et al. 2014): on a short budget, the noise that a small network needs
    at first holds it back at the end.
    """
    lowest = min(dropout, config.cooldown_dropout)
    return lowest + (dropout - lowest) * _cooldown_factor(step, config)


def _cooldown_factor(step: int, config: TrainConfig) -> float:
    """1 until the cooldown begins, then linearly down to (almost) 0."""
    return min((config.steps - step + 1) / max(config.cooldown * config.steps, 1), 1.0)


# Newton-Schulz: iterating a x + b x^3 + c x^5 moves singular values towards 1 (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrices: Tensor) -> Tensor:
    """Matrices `U S V^T`, `(N, rows, columns)` -> approximately `U V^T`, in bf16."""
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, gram, x, beta=_A)
    return x.mT if tall else x


PART = 2**21  # numbers in the matrices that a CPU updates at a time


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum (Jordan et al. 2024), with the same results as `torch.optim.Muon`.

    Matrices of one shape are batched: each product is computed for all of them at once. Like the
    fused Adam, it skips a step where the tensor `found_inf` is 1; a GPU is not waited for.

    On a CPU a few matrices at a time are updated in place, while they are in the caches, and
    processes (`ranks`) share the orthogonalisation out, so that all have the same weights.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        ranks: Ranks | None = None,
    ):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.found_inf: Tensor | None = None
        self.ranks = ranks or Ranks()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates all matrices that have a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
                    if not self.state[matrix]:
                        self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
            if group["params"][0].device.type != "cpu":
                for matrices in shapes.values():
                    self._update_at_once(group, matrices)
            elif self.found_inf is None or not self.found_inf:
                self._update_in_parts(group, list(shapes.values()))

    def _buffers(self, matrices: list[Tensor]) -> list[Tensor]:
        return [self.state[matrix]["momentum_buffer"] for matrix in matrices]

    def _update_at_once(self, group: dict[str, Any], matrices: list[Tensor]) -> None:
        buffers = self._buffers(matrices)
        grad = torch.stack([cast(Tensor, m.grad) for m in matrices])
        before = torch.stack(buffers)
        momentum = before.lerp(grad, 1 - group["momentum"])
        update = orthogonalise(grad.lerp(momentum, group["momentum"]))  # Nesterov momentum
        weights = torch.stack(list(matrices))
        decay = 1 - group["lr"] * group["weight_decay"]
        after = weights * decay - update.float() * _scaled_rate(group, matrices[0])
        if self.found_inf is not None:
            skip = self.found_inf > 0
            momentum, after = torch.where(skip, before, momentum), torch.where(skip, weights, after)
        torch._foreach_copy_(buffers, list(momentum))
        torch._foreach_copy_(matrices, list(after))

    def _update_in_parts(self, group: dict[str, Any], shapes: list[list[Tensor]]) -> None:
        work = [0] * self.ranks.world_size  # of each process
        pending = []
        for matrices in shapes:
            size = max(PART // matrices[0].numel(), 1)
            for part in (matrices[i : i + size] for i in range(0, len(matrices), size)):
                owner = work.index(min(work))
                work[owner] += len(part) * part[0].numel() * min(part[0].shape)
                buffers, grads = self._buffers(part), [cast(Tensor, m.grad) for m in part]
                torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
                if owner == self.ranks.rank:
                    nesterov = torch._foreach_lerp(grads, buffers, group["momentum"])
                    update = orthogonalise(torch.stack(list(nesterov))).contiguous()
                else:
                    update = torch.empty((len(part), *part[0].shape), dtype=torch.bfloat16)
                pending.append((part, update, self.ranks.send(update, owner)))
        for part, update, wait in pending:
            wait()
            if group["weight_decay"]:
                torch._foreach_mul_(part, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(part, list(update.float()), alpha=-_scaled_rate(group, part[0]))


def _scaled_rate(group: dict[str, Any], matrix: Tensor) -> Any:
    """The rate of a matrix: higher where there are more rows than columns."""
    rows, columns = matrix.shape
    return group["lr"] * math.sqrt(max(1, rows / columns))


def build_optimizers(
    model: nn.Module, config: TrainConfig, ranks: Ranks | None = None
) -> list[torch.optim.Optimizer]:
    """Builds Adam with the paper's betas (section 5.3), or Muon and AdamW.

    - `adam`, or `adamw` with decoupled `weight_decay` of the matrices (Loshchilov & Hutter 2019);
    - `muon`: Muon for the matrices of the layers (Jordan et al. 2024; Liu et al. 2025 for the
      decay); AdamW for embedding, biases and norms.

    Each parameter group has a `peak_lr`, from which `set_rate` computes the rate of a step.
    """
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    on_gpu = vectors[0].device.type == "cuda"
    optimizers: list[torch.optim.Optimizer] = []
    if config.optimizer == "muon":
        embedding = model.get_parameter("embedding.weight")
        muon = Muon(
            [p for p in matrices if p is not embedding],
            lr=config.muon_lr,
            weight_decay=config.weight_decay,
            ranks=ranks,
        )
        matrices = [embedding]
        optimizers.append(muon)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    adam = kind(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.peak_lr,
        betas=(config.beta1, config.beta2),
        eps=1e-9,
        fused=True,
        capturable=on_gpu,
    )
    optimizers.append(adam)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
            if on_gpu:  # a plain number would be a constant in a captured update
                group["lr"] = torch.tensor(group["lr"], device="cuda")
    return optimizers


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Sets each group's rate to its peak times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = group["peak_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


def optimizer_tensors(
    model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """The optimizers' state as named tensors; each parameter belongs to one optimizer."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizers(
    model: nn.Module, optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Restores the state that `optimizer_tensors` returned."""
    owners = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        states.setdefault(parameter, {})[key] = tensor
    for name, weight in model.named_parameters():
        # The fused Adam keeps its step counts on the parameter's device.
        state = {key: value.to(weight.device) for key, value in states.get(name, {}).items()}
        owners[weight].state[weight] = state
