"""A run that begins as a smaller model: until when, of what size, and how it grows from there.

With sharing this makes programs: grow, then share, then unshare, or share the small one and grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swe.base.config import require, require_between, require_count
from swe.sharing.schedule import NeverShared, Schedule
from swe.transforms.carry import Carry
from swe.transforms.growth import Growth


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The model of a run's first updates. ConfigError for impossible values."""

    until: int | float
    """First update of the next stage: a step, or a fraction of the run in (0, 1)."""
    depth: int
    """Layers."""
    widths: dict[str, int] = field(default_factory=dict)
    """Units of the spaces that are smaller than in the run's own model (swe.transforms.anatomy)."""
    schedule: Schedule = field(default_factory=NeverShared)
    """Sharing within the stage; its steps are those of the whole run."""
    growth: Growth = field(default_factory=Growth)
    """How it becomes the next stage's model."""
    carry: Carry = "mapped"
    """What becomes of the optimiser's moments."""

    def __post_init__(self) -> None:
        require_count("depth", self.depth)
        for space, width in self.widths.items():
            require_count(f"widths.{space}", width)
        if isinstance(self.until, float):
            require_between("until", self.until, 0, 1, open_low=True, open_high=True)
        else:
            require_count("until", self.until)

    def end(self, steps: int) -> int:
        """First update of the next stage, in a run of ``steps`` updates."""
        return max(1, round(self.until * steps)) if isinstance(self.until, float) else self.until


def ends_of(stages: tuple[Stage, ...], steps: int) -> list[int]:
    """Return the first update after each stage. ConfigError unless they rise and end in the run."""
    ends = [stage.end(steps) for stage in stages]
    for number, (before, end) in enumerate(zip([0, *ends], ends, strict=False)):
        require(
            before < end < steps,
            f"stages[{number}].until",
            stages[number].until,
            f"after update {before} and before {steps}",
        )
    return ends
