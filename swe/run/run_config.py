"""Everything that decides the outcome of one training run, beside the task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from swe.base.config import LATER, require, require_count
from swe.run.optimizer import OptimizerConfig
from swe.sharing.dropping import Dropping
from swe.sharing.gradients import Convention
from swe.sharing.schedule import NeverShared, Schedule
from swe.sharing.similarity import LayerSimilarity
from swe.sharing.submodels import SubmodelTraining
from swe.sharing.unshare import Moments
from swe.transforms.stage import Stage, ends_of


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
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the forward pass (bfloat16 by autocast; weights stay float32). auto: the faster
    one, which ``train`` settles before update 0 (swe.run.precision)."""
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

    stages: tuple[Stage, ...] = field(default=(), metadata=LATER)
    """Models that the run begins as, one after the other; ``schedule`` is that of its own
    model, behind them."""
    dropping: Dropping | None = field(default=None, metadata=LATER)
    """Layers left out of updates at random; None: all run (swe.sharing.dropping,
    swe.sharing.submodels)."""
    similarity: LayerSimilarity | None = field(default=None, metadata=LATER)
    """Penalty on layers that differ, in the gradient alone: losses logged are the task's."""
    extended_at: tuple[int, ...] = field(default=(), metadata=LATER)
    """Updates from which the run was extended (swe.run.extend), ascending."""
    extended_from: tuple[int, ...] = field(default=(), metadata=LATER)
    """The steps that it had before each of them, ascending."""

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
            ("precision", ("float32", "bfloat16", "auto")),
        ):
            value = getattr(self, name)
            require(value in options, name, value, f"one of {', '.join(options)}")
        self.optimizer.warmup_steps(self.steps)
        ends_of(self.stages, self.steps)
        if isinstance(self.dropping, SubmodelTraining):
            self.dropping.during(self.steps)
            require(
                self.similarity is None,
                "similarity",
                self.similarity,
                "left out with sub-model training (its gradient would move frozen layers)",
            )
        require(
            len(self.extended_at) == len(self.extended_from),
            "extended_at",
            self.extended_at,
            f"as many as extended_from, {len(self.extended_from)}",
        )
        first, lengths = 0, [*self.extended_from, self.steps]
        for at, before, after in zip(self.extended_at, lengths[:-1], lengths[1:], strict=True):
            require_count("extended_from", before)
            require_count("extended_at", at, max(1, first), before)
            require(before < after, "extended_from", before, f"below {after}")
            first = at

    def length_at(self, step: int) -> int:
        """Updates of the run as it was when it made update ``step``, before later extensions."""
        lengths = (*self.extended_from, self.steps)
        return lengths[sum(at <= step for at in self.extended_at)]

    def sampler_of(self, number: int) -> Dropping | None:
        """Return the sampler of stage ``number``, the run's own model last; None where it has no
        update that draws. A stage with an early end may be followed that much earlier."""
        if self.dropping is None:
            return None
        ends = [0, *ends_of(self.stages, self.steps), self.steps]
        early = any(stage.early is not None for stage in self.stages[:number])
        first, drawn = 0 if early else ends[number], self.dropping.during(self.steps)
        return self.dropping if drawn.start < ends[number + 1] and first < drawn.stop else None

    @property
    def former_ends(self) -> tuple[int, ...]:
        """Updates at which the run was finished before it was extended."""
        pairs = zip(self.extended_at, self.extended_from, strict=True)
        return tuple(at for at, steps in pairs if at == steps)

    def learning_rate(self, step: int) -> float:
        """Rate of update ``step`` (from 0): the optimiser's, of a run of ``steps`` updates.

        Of a run extended from N to M updates at E, with W updates of warm-up: r_N(t) for t < E;
        then r_M(t), to which it climbs from r_N(E) in W shares: at t = E + k - 1, k < W, it is
        r_N(E) + (r_M(t) - r_N(E)) k / W. At E = N, the end of a finished run, r_N(E) = 0.
        """
        return self._rate(step, len(self.extended_at))

    def _rate(self, step: int, extensions: int) -> float:
        lengths = (*self.extended_from, self.steps)
        own = self.optimizer.learning_rate(step, lengths[extensions])
        if extensions == 0:
            return own
        at = self.extended_at[extensions - 1]
        if step < at:
            return self._rate(step, extensions - 1)
        climb = self.optimizer.warmup_steps(lengths[0])
        done = step - at + 1
        if done >= climb:
            return own
        before = self._rate(at, extensions - 1)
        return before + (own - before) * done / climb
