"""What a checkpoint keeps beside tensors: where the loop, its schedule and its rows were.

A typed configuration like any other (``swe.base.config``), because it is read from a file that
anybody may have written: unknown names, wrong types and impossible values are refused by name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from swe.base.config import from_dict, require_between, require_count
from swe.base.errors import CheckpointError, ConfigError
from swe.run.checkpoint import Checkpoint
from swe.sharing.event import SweState


@dataclass(frozen=True, kw_only=True)
class Rows:
    """How many rows the line files of a run folder have."""

    metrics: int
    events: int

    def __post_init__(self) -> None:
        require_count("rows.metrics", self.metrics, 0)
        require_count("rows.events", self.events, 0)


@dataclass(frozen=True, kw_only=True)
class Outgrown:
    """What is known of a growth before the large model has run."""

    held_loss: float
    """The held batch's, of the small model."""
    why_not: str
    """Why the function changes; "" where it stays."""
    flops: float = 0.0
    """What the change cost (a fit)."""


@dataclass(frozen=True, kw_only=True)
class StageState:
    """What smaller models a run was before (swe.transforms.stage)."""

    over: int = 0
    """Stages that are over."""
    began: int | None = None
    """First update of the present one; None: as the plan has it."""
    memory: tuple[float, ...] = ()
    """What the trigger that ends it early remembers."""
    due: bool = False
    """Whether that has fired."""
    flops: float = 0.0
    """What they cost, probes included."""
    probes: int = 0
    """Probes made in them."""
    grown: tuple[Outgrown, ...] = ()
    """The growth that this is the outcome of, until that is logged."""

    def __post_init__(self) -> None:
        require_count("stages.over", self.over, 0)
        require_count("stages.began", self.began or 0, 0)
        require_count("stages.probes", self.probes, 0)
        require_between("stages.flops", self.flops, 0, 1e40)


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """State of a run before update ``begun + 1`` or later; ConfigError for impossible values."""

    config: str
    """Digest of the run's configuration and task: whose checkpoint it is."""
    swe: SweState
    """Where the schedule's runner was."""
    rows: Rows
    """Rows of each line file."""
    seconds: float
    """Wall time so far."""
    loss_sum: float
    """Sum of the losses since the last logged row."""
    loss_count: int
    """Their number."""
    stages: StageState = field(default_factory=StageState)
    """Where a run in stages is; left out of other runs' checkpoints."""

    def __post_init__(self) -> None:
        require_count("loss_count", self.loss_count, 0)
        require_between("seconds", self.seconds, 0, 1e12)
        require_between("loss_sum", self.loss_sum, -1e300, 1e300)


def saved_state(found: Checkpoint, digest: str, digests: Collection[str], steps: int) -> SavedState:
    """Read what a checkpoint of a run of ``steps`` updates keeps beside tensors.

    CheckpointError for one that is not this run's, whose configuration has ``digest``, or had one
    of ``digests``.
    """
    try:
        saved = from_dict(SavedState, found.state)
    except ConfigError as error:
        raise CheckpointError(f"{found.path}: of another run ({error})") from None
    if saved.config not in digests or found.step > steps:
        raise CheckpointError(
            f"{found.path}: of another run (of update {found.step}, configuration "
            f"{saved.config[:12]}, not {digest[:12]})"
        )
    return saved
