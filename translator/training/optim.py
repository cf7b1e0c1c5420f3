"""The optimizers, the learning rate, and their state on disk."""

import math

import torch
from torch import Tensor, nn

from translator.config.schema import TrainConfig


def rate_factor(step: int, config: TrainConfig) -> float:
    """The learning rate at a step, as a share of its peak; steps count from 1.

    A linear warm-up to 1 at `warmup_steps`, then by `schedule`:

    - `inverse-sqrt` of the step (Vaswani et al. 2017, equation 3), or `constant`; over the last
      part of the run, a share `cooldown` of its steps, both are also led to zero in a straight
      line: warm-up, stable, decay (Hu et al. 2024; Hägele et al. 2024);
    - `cosine`: half a period down to zero at the end (Loshchilov & Hutter 2017, equation 5).
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
    return factor * _left(step, config)


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of Adam at a step: `peak_lr` times `rate_factor`."""
    return config.peak_lr * rate_factor(step, config)


def dropout_rate(step: int, dropout: float, config: TrainConfig) -> float:
    """The probability at a step: `dropout`, and in the cooldown down to `cooldown_dropout`.

    Annealed dropout (Rennie et al. 2014): a small net on a short budget is held back by the noise
    that it needed at first.
    """
    lowest = min(dropout, config.cooldown_dropout)
    return lowest + (dropout - lowest) * _left(step, config)


def _left(step: int, config: TrainConfig) -> float:
    """1 until the cooldown begins, then in a straight line to (almost) 0."""
    return min((config.steps - step + 1) / max(config.cooldown * config.steps, 1), 1.0)


def build_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Adam with the paper's betas (section 5.3) for everything, or Muon beside it.

    - `adam`; `adamw` with decoupled `weight_decay` of the matrices (Loshchilov & Hutter 2019);
    - `muon`: the matrices of the layers follow their momentum, made orthogonal (Jordan et al.
      2024; Liu et al. 2025 for the decay); embedding, biases and norms stay with AdamW.

    Each group has a `peak_lr`; `set_rate` makes the rate of each step from it.
    """
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    found: list[torch.optim.Optimizer] = []
    if config.optimizer == "muon":
        embedding = model.get_parameter("embedding.weight")
        muon = torch.optim.Muon(
            [p for p in matrices if p is not embedding],
            lr=config.muon_lr,
            weight_decay=config.weight_decay,
        )
        matrices = [embedding]
        found.append(muon)
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
    )
    found.append(adam)
    for optimizer in found:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return found


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Sets each group's rate to its peak times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor


def optimizer_tensors(
    model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """The optimizers' state as named tensors; each parameter has one optimizer."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for optimizer in optimizers
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizers(
    model: nn.Module, optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """The inverse of `optimizer_tensors`."""
    owners = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        states.setdefault(parameter, {})[key] = tensor
    for name, weight in model.named_parameters():
        # Adam counts steps on the parameter's device when it is fused.
        state = {key: value.to(weight.device) for key, value in states.get(name, {}).items()}
        owners[weight].state[weight] = state
