"""What data-parallel ranks send and hold, and what that costs in time: formulas, no measurement.

Replicated weights (``swe.ranks.parallel``), N ranks, one reduction an update whatever the
accumulation, gradients in float32 under every precision. Time is that of whole updates; probes,
evaluations and checkpoints are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from bert.model.config import BertConfig
from swe.sharing.layout import Layout
from swe.sharing.schedule import (
    CycleReversed,
    Schedule,
    SequenceShared,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)

FLOAT = 4
"""Bytes of a float32."""
COPIES = 4
"""Weights, gradients and Adam's two moments."""
BACKWARD = 2 / 3
"""Share of forward and backward that is backward: its matrix products are twice as many."""


def parameters(config: BertConfig, layout: Layout) -> int:
    """Parameters that exist in a layout, the vocabulary's padding rows and their biases included.

    Depth L, so L - ``block_count`` layers less than :attr:`BertConfig.parameters` has.
    """
    padding = (config.padded_vocabulary - config.vocabulary) * (config.hidden + 1)
    missing = config.layers - layout.block_count
    return config.parameters + padding - missing * config.layer_parameters


def gradient_bytes(config: BertConfig, layout: Layout) -> int:
    """Bytes of gradients that an update averages over the ranks."""
    return FLOAT * parameters(config, layout)


def ring_seconds(payload: float, ranks: int, bandwidth: float) -> float:
    """Seconds to average ``payload`` bytes over N ranks that each send ``bandwidth`` bytes/s.

    A ring cuts the payload into N parts and passes one on at each of 2 (N - 1) turns (N - 1 to add
    up, N - 1 to hand round): every rank sends 2 (N - 1) / N of the payload. Without latency.
    Source: Patarasuk and Yuan, J. Parallel Distrib. Comput. 69 (2009), where no algorithm sends
    less.
    """
    return 2 * (ranks - 1) / ranks * payload / bandwidth


@dataclass(frozen=True)
class Bounds:
    """The least and the most that something can be; in the same unit."""

    low: float
    high: float

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.low + other.low, self.high + other.high)

    def times(self, count: float) -> Bounds:
        """So many of it; at least 0."""
        return Bounds(count * self.low, count * self.high)

    def either(self, other: Bounds) -> Bounds:
        """One or the other, it is not known which."""
        return Bounds(min(self.low, other.low), max(self.high, other.high))


def update_seconds(compute: float, micro_batches: int, reduce: float, *, tied: bool) -> Bounds:
    """Seconds of an update: ``compute`` of its micro-batches, and ``reduce`` of the reduction.

    Most: one after the other. Least: reduced during the backward pass of the last micro-batch,
    ``BACKWARD / micro_batches`` of the compute, as far as that reaches; no more can be hidden,
    since the micro-batches before it reduce nothing. While anything is tied nothing is: the
    gradients of a block that all layers use are complete when the backward pass is, and the wrapper
    sends one bucket.
    """
    most = compute + reduce
    if tied:
        return Bounds(most, most)
    hidden = min(reduce, BACKWARD * compute / micro_batches)
    return Bounds(most - hidden, most)


@dataclass(frozen=True)
class Phases:
    """Updates of a run that are tied, that are untied, and that may be either."""

    tied: int
    untied: int
    either: int = 0

    @classmethod
    def of(cls, schedule: Schedule, depth: int, steps: int) -> Phases:
        """What is certain of a schedule before its run.

        SWE-A and SWE-M decide by gradients: tied until the first check that may untie, after
        ``patience`` intervals, and nothing is known beyond.
        """
        if schedule.start(depth).layout.is_untied:
            return cls(0, steps)
        if isinstance(schedule, SweFixed | SequenceShared | CycleReversed):
            tau = schedule.tau(steps)
            return cls(steps, 0) if tau is None else cls(tau, steps - tau)
        if isinstance(schedule, SweAdaptive | SweMultistage):
            first = min(schedule.patience * schedule.interval, steps)
            return cls(first, 0, steps - first)
        return cls(steps, 0)

    def seconds(self, tied: Bounds, untied: Bounds) -> Bounds:
        """Seconds of the run, from those of an update.

        A stage of SWE-M, partly untied, lies between: one bucket of fewer bytes than the untied
        model's, not hidden.
        """
        sure = tied.times(self.tied) + untied.times(self.untied)
        return sure + tied.either(untied).times(self.either)


@dataclass(frozen=True)
class Memory:
    """Bytes a GPU, untied: the most that a run holds at a time."""

    state: int
    """Weights, gradients, Adam's moments, float32: COPIES x FLOAT a parameter."""
    activations: float
    """Of one micro-batch; from a measured peak, see ``bert.study.plan_speed``."""

    @property
    def total(self) -> float:
        """Their sum."""
        return self.state + self.activations


def memory(config: BertConfig, tokens: float, activation: float) -> Memory:
    """Memory of a GPU that holds the whole untied model and a micro-batch of ``tokens``.

    ``activation``: bytes a token, layer and unit of width. Fused attention keeps nothing of the
    square of the length, so that what a layer keeps is in proportion to tokens times width.
    """
    whole = parameters(config, Layout.untied(config.layers))
    return Memory(COPIES * FLOAT * whole, activation * tokens * config.layers * config.hidden)
