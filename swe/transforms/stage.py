"""A run that begins as another model: until when, of what size, and how it goes on from there.

With sharing this makes programs: grow, then share, then unshare; or train factors and multiply out;
or build a stack upwards, its top in training alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swe.base.config import LATER, require, require_count
from swe.sharing.schedule import NeverShared, Schedule
from swe.sharing.triggers import Trigger, require_moment, update_of
from swe.transforms.carry import Carry
from swe.transforms.growth import Growth
from swe.transforms.transform import Transform


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The model of a run's first updates. ConfigError for impossible values."""

    until: int | float
    """First update of the next stage, at the latest: a step, or a fraction of the run in (0, 1)."""
    depth: int
    """Layers."""
    widths: dict[str, int] = field(default_factory=dict)
    """Units of the spaces that are smaller than in the run's own model (swe.transforms.anatomy)."""
    schedule: Schedule = field(default_factory=NeverShared)
    """Sharing within the stage; its steps are those of the whole run."""
    growth: Transform = field(default_factory=Growth)
    """How it becomes the next stage's model."""
    carry: Carry = "mapped"
    """What becomes of the optimiser's moments."""
    trained: int | None = field(default=None, metadata=LATER)
    """Top layers in training, what is below them frozen (swe.transforms.layerwise); None: all. Only
    without sharing."""
    rank: int | None = field(default=None, metadata=LATER)
    """Of the products that the layers' matrices are, to be multiplied out; None: whole matrices."""
    early: Trigger | None = field(default=None, metadata=LATER)
    """What ends it before ``until``, asked at each logged row of the training loss."""

    def __post_init__(self) -> None:
        require_count("depth", self.depth)
        for space, width in self.widths.items():
            require_count(f"widths.{space}", width)
        require_moment("until", self.until)
        if self.trained is not None:
            require_count("trained", self.trained, 1, self.depth)
            apart = isinstance(self.schedule, NeverShared)
            require(apart, "schedule", self.schedule.kind, "never-shared where layers are frozen")
            require(self.rank is None, "trained", self.trained, "nothing for a factored model")
        if self.rank is not None:
            require_count("rank", self.rank)
        allowed = "given where growth is multiply-out, and only there"
        require((self.rank is not None) == self.growth.multiplies, "rank", self.rank, allowed)

        if self.early is not None:
            kinds = ", ".join(sorted(self.early.kinds))
            require(bool(self.early.kind), "early", self.early, f"of a kind: {kinds}")

    def end(self, steps: int) -> int:
        """First update of the next stage at the latest, in a run of ``steps`` updates."""
        return update_of(self.until, steps)


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
