"""Everything that decides the outcome of one training run, beside the task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from swe.base.config import require, require_count
from swe.run.optimizer import OptimizerConfig
from swe.sharing.gradients import Convention
from swe.sharing.schedule import NeverShared, Schedule
from swe.sharing.unshare import Moments


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run. All fields but the intervals and ``precision`` decide the outcome.

    Lengths are counted in updates. Raises ConfigError for values outside their ranges.
    """

    steps: int
    """Updates of the whole run; the rate decays to zero at its end."""
    seed: int = 0
    """Seed of weights, data order, masks and dropout."""
    schedule: Schedule = field(default_factory=NeverShared)
    """When to unshare."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """AdamW and its rate."""
    accumulation: int = 1
    """Batches per update."""
    convention: Convention = "mean"
    """Gradient of a tied layer: mean of its uses' gradients (paper) or their sum."""
    moments: Moments = "copy"
    """Adam's moments at an untie."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass (bfloat16 by autocast; weights stay float32)."""
    log_interval: int = 10
    """Updates between rows of the training loss."""
    eval_interval: int = 100
    """Updates between evaluations; there is one at the end in any case."""
    probe_interval: int = 0
    """Updates between logged gradient probes; 0: only those that the schedule needs."""
    split_probes: bool = False
    """Log each such probe for the two halves of its batch too: what tells gradient from noise."""
    checkpoint_interval: int = 500
    """Updates between checkpoints; an untie writes one too, and so does the clock (swe.run.due)."""

    def __post_init__(self) -> None:
        require_count("steps", self.steps)
        require_count("seed", self.seed, 0)
        require_count("accumulation", self.accumulation)
        require_count("log_interval", self.log_interval)
        require_count("eval_interval", self.eval_interval)
        require_count("probe_interval", self.probe_interval, 0)
        require_count("checkpoint_interval", self.checkpoint_interval)
        for name, options in (
            ("convention", ("mean", "sum")),
            ("moments", ("copy", "reset", "rescale")),
            ("precision", ("float32", "bfloat16")),
        ):
            value = getattr(self, name)
            require(value in options, name, value, f"one of {', '.join(options)}")
        self.optimizer.warmup_steps(self.steps)
