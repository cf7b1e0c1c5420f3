"""The optimizer and its learning rate."""

import torch
from torch import nn

from translator.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then the inverse square root of the step (Vaswani et al., equation 3).

    `peak_lr` at `step == warmup_steps`; steps count from 1.
    """
    warmup = max(config.warmup_steps, 1)
    return config.peak_lr * min(step / warmup, (warmup / step) ** 0.5)


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam with the paper's betas (section 5.3); the trainer sets the rate of each step."""
    return torch.optim.Adam(
        model.parameters(),
        lr=config.peak_lr,
        betas=(config.beta1, config.beta2),
        eps=1e-9,
        fused=True,
    )
