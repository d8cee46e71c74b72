"""What changes the speed of a run, or its last digits, and not what it means.

Kept apart from ``TrainConfig``: a run may be resumed with other settings here, and two runs that
differ only here are the same experiment. Recorded in ``environment.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from swe.base.config import require, require_between, require_count
from swe.run.attention import CHOICES
from swe.run.compiling import CompileMode
from swe.sharing.placement import Mode

LONGEST_MINUTES = 1e7
_BACKENDS = ("inductor", "aot_eager", "eager")


@dataclass(frozen=True, kw_only=True)
class SpeedConfig:
    """Speed options of one process: no part of a run's outcome.

    Raises ConfigError for values outside their ranges.
    """

    compile: CompileMode = "none"
    """torch.compile: each block in place (blocks), the whole loss (model), or none."""
    backend: str = "inductor"
    """torch.compile's backend; aot_eager and eager trace without generating code, for tests."""
    attention: str = "auto"
    """Attention kernel: the fastest by measurement, torch's default, or one by name; auto: measured
    on CUDA and in bfloat16, default in float32 on the CPU (swe.run.attention)."""
    measured_in: Path | None = None
    """Folder that keeps what was measured: runs that name the same one share it."""
    prefetch: int | None = None
    """Batches built ahead by a thread; 0: none; None: 2 on CUDA, 0 on the CPU, whose cores the
    update itself needs."""
    checkpoint_minutes: float | None = None
    """Minutes between checkpoints, beside those by share of the run and at every untie; None: 10,
    or as many more as keep saving under 2 % of the time (swe.run.due)."""

    def __post_init__(self) -> None:
        modes = ("none", "blocks", "model")
        require(self.compile in modes, "compile", self.compile, f"one of {', '.join(modes)}")
        require(
            self.backend in _BACKENDS, "backend", self.backend, f"one of {', '.join(_BACKENDS)}"
        )
        require(
            self.attention in CHOICES, "attention", self.attention, f"one of {', '.join(CHOICES)}"
        )
        if self.prefetch is not None:
            require_count("prefetch", self.prefetch, 0, 64)
        if self.checkpoint_minutes is not None:
            require_between(
                "checkpoint-minutes", self.checkpoint_minutes, 0, LONGEST_MINUTES, open_low=True
            )

    def validate(self, parallel: Mode) -> None:
        """Raise ConfigError for what does not work when the model is spread by ``parallel``."""
        if parallel != "none":
            require(
                self.compile != "model",
                "compile",
                self.compile,
                f"none or blocks with parallel = {parallel!r} (an untie rebuilds what it wraps)",
            )

    def shared_in(self, folder: Path) -> SpeedConfig:
        """Return these options with what is measured kept in ``folder``, if it is in none yet."""
        return self if self.measured_in else replace(self, measured_in=folder)

    def prefetch_on(self, device: torch.device) -> int:
        """Batches to build ahead for ``device``."""
        if self.prefetch is None:
            return 2 if device.type == "cuda" else 0
        return self.prefetch
