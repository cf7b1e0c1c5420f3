"""The optimizer, its learning rate, and its state on disk."""

import torch
from torch import Tensor, nn

from translator.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then the inverse square root of the step (Vaswani et al., equation 3).

    `peak_lr` at `step == warmup_steps`; steps count from 1. In the last part of the run, a share
    `cooldown` of its steps, the rate is also led to zero in a straight line (Hägele et al. 2024).
    """
    warmup = max(config.warmup_steps, 1)
    return config.peak_lr * min(step / warmup, (warmup / step) ** 0.5) * _left(step, config)


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


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam with the paper's betas (section 5.3); the trainer sets the rate of each step."""
    return torch.optim.Adam(
        model.parameters(),
        lr=config.peak_lr,
        betas=(config.beta1, config.beta2),
        eps=1e-9,
        fused=True,
    )


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state as named tensors."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """The inverse of `optimizer_tensors`."""
    for name, parameter in model.named_parameters():
        keys = [key for key in tensors if key.rpartition("/")[0] == name]
        # Adam counts steps on the parameter's device when it is fused.
        optimizer.state[parameter] = {
            key.rpartition("/")[2]: tensors[key].to(parameter.device) for key in keys
        }
