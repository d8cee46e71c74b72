"""AdamW as BERT is trained: warm-up, linear decay to zero, no weight decay on vectors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW, Optimizer

from swe.base.config import require, require_between, require_count


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW and its schedule, warm-up and linear decay to zero; rates per update.

    Raises ConfigError for values outside their ranges. Source: Yang et al., arXiv 2110.03848,
    section 5: betas 0.9/0.999, weight decay 0.01, 10k of 500k updates of warm-up.
    """

    peak_lr: float = 3e-4
    """Learning rate at the end of the warm-up (paper: 3e-4 Pre-LN, 1e-4 Post-LN)."""
    warmup: int | float = 0.02
    """Warm-up: updates (int) or fraction of the run (float in [0, 1))."""
    weight_decay: float = 0.01
    """Decoupled; matrices only, not biases or LayerNorm parameters."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.999
    """Decay of the second moment."""
    eps: float = 1e-6
    """Added to the root of the second moment (original BERT: 1e-6)."""
    clip_norm: float | None = 1.0
    """Untied-equivalent global gradient norm above which gradients are scaled down; None: never."""

    def __post_init__(self) -> None:
        require_between("peak_lr", self.peak_lr, 0, 10, open_low=True)
        if isinstance(self.warmup, float):
            require_between("warmup", self.warmup, 0, 1, open_high=True)
        else:
            require_count("warmup", self.warmup, 0)
        require_between("weight_decay", self.weight_decay, 0, 1)
        require_between("beta1", self.beta1, 0, 1, open_high=True)
        require_between("beta2", self.beta2, 0, 1, open_high=True)
        require_between("eps", self.eps, 0, 1)
        if self.clip_norm is not None:
            require_between("clip_norm", self.clip_norm, 0, 1e9, open_low=True)

    def warmup_steps(self, steps: int) -> int:
        """Warm-up in updates of a run of ``steps``. ConfigError when it outlasts the run."""
        count = round(self.warmup * steps) if isinstance(self.warmup, float) else self.warmup
        require(count < steps, "warmup", self.warmup, f"shorter than the run of {steps} steps")
        return count

    def learning_rate(self, step: int, steps: int) -> float:
        """Rate of update ``step`` (from 0): (t+1)/W up, then (T-t)/(T-W) down to zero at T."""
        warmup = self.warmup_steps(steps)
        if step < warmup:
            return self.peak_lr * (step + 1) / warmup
        return self.peak_lr * (steps - step) / (steps - warmup)


def build_adamw(model: nn.Module, config: OptimizerConfig) -> AdamW:
    """Build AdamW over the model's parameters, in order; fused (one kernel) on every device."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=config.peak_lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
