"""Which layers an update leaves out at random, and by how much the others make up for it.

A sampler is frozen data. :meth:`Dropping.active` is a function of (seed, step) alone, of no state:
all ranks draw the same layers, and a resumed run those of the unbroken one. One draw serves a whole
update, its accumulated batches included: the layers left out then have no gradient on any rank, and
an update has one network whose FLOPs can be counted. In evaluation every layer runs. A sampler may
also freeze layers that run (:meth:`Dropping.cut`), and last for a part of the run alone.

``swe.sharing.gates`` makes a stack run so.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from swe.base.config import Tagged, require_between, require_count
from swe.sharing.seeds import derive_seed

Active = dict[int, float]
"""{layer that runs: what its update is multiplied by}; layers count from 0."""


@dataclass(frozen=True, kw_only=True)
class Dropping(Tagged, ABC):
    """What all samplers have: a draw of layers, and each layer's probability in it."""

    freezes: ClassVar[bool] = False
    """Whether layers that run may be frozen."""

    @abstractmethod
    def keep(self, step: int, steps: int, depth: int) -> tuple[float, ...]:
        """Return the probability that each layer runs in update ``step`` of ``steps``, (depth,)."""

    @abstractmethod
    def active(self, step: int, steps: int, depth: int, seed: int) -> Active:
        """Return the layers that run in update ``step`` of ``steps``, in order, with their scales.

        Pure.
        """

    def trains(self, step: int, steps: int, depth: int) -> tuple[float, ...]:
        """Return the probability that each layer runs and is trained, (depth,): of what runs, all
        but what :meth:`cut` freezes."""
        return self.keep(step, steps, depth)

    def cut(self, step: int, steps: int, depth: int, seed: int) -> int | None:
        """Return the lowest layer that the update trains: no gradient passes its input, so layers
        below it run frozen, and what feeds the stack gets none from it. None: all train."""
        return None

    def during(self, steps: int) -> range:
        """Return the updates, of a run of ``steps``, that may leave layers out or freeze them; in
        all others every layer runs, unscaled, and trains."""
        return range(steps)

    def pinned(self, steps: int) -> Dropping:
        """Return the same with its moments as updates of a run of ``steps``: for one that is to
        have another length."""
        return self

    def validate(self, depth: int) -> None:
        """Raise ConfigError for a stack that it cannot draw from."""
        require_count("depth", depth)


@dataclass(frozen=True, kw_only=True)
class Independent(Dropping):
    """A sampler by which a layer runs with its probability whatever the others do."""

    scaled: ClassVar[bool] = False
    """Whether the update h -> f(h) of a layer that runs is divided by its probability: then its
    mean over the draws, h fixed, is that of the whole layer, h + E[g / p] (f(h) - h) = f(h)."""

    def active(self, step: int, steps: int, depth: int, seed: int) -> Active:
        """As :meth:`Dropping.active`: layer l is left out by the l-th number of the update's own
        generator."""
        draw = random.Random(derive_seed(seed, "layer drop", step))
        return {
            layer: 1.0 / keep if self.scaled else 1.0
            for layer, keep in enumerate(self.keep(step, steps, depth))
            if draw.random() < keep
        }


@dataclass(frozen=True, kw_only=True)
class LayerDrop(Independent):
    """Every layer is left out with one probability, from the first update to the last.

    Layers that run are not scaled, as in the paper: the mean over the draws is not the whole
    network, and its evaluation, where all run, is of a network that training seldom saw.
    ConfigError for a ``rate`` outside [0, 1). Source: Fan et al., arXiv 1909.11556.
    """

    kind: ClassVar[str] = "layer-drop"

    rate: float = 0.2
    """Probability that a layer is left out, in [0, 1) (paper: 0.2)."""

    def __post_init__(self) -> None:
        require_between("rate", self.rate, 0, 1, open_high=True)

    def keep(self, step: int, steps: int, depth: int) -> tuple[float, ...]:
        """1 - rate for all."""
        return (1.0 - self.rate,) * depth


@dataclass(frozen=True, kw_only=True)
class ProgressiveLayerDrop(Independent):
    """Later layers are left out more often, and all of them more often as the run goes on.

    Layer l = 1..L runs in update t of T (from 0) with probability
    p_l(t) = 1 - (l / L) (1 - theta(t)), theta(t) = (1 - theta) exp(-gamma t) + theta, gamma =
    ``decay`` / T: all run at first, the last one with probability ``theta`` in the end. A layer's
    update is divided by its p_l.

    The paper scales each of a layer's two branches, x + attention(x) / p and then y +
    feed-forward(y) / p; here the whole layer's update is scaled, f(h) -> h + (f(h) - h) / p, which
    any layer has and which alone keeps the layer's mean exactly (the second branch of the paper
    reads what the first one overshot). It is meant for Pre-LN layers, whose update is what their
    branches add; after the LayerNorm of a Post-LN layer it is defined, and no branch of its own.

    ConfigError for values outside their ranges. Source: Zhang and He, arXiv 2010.13369.
    """

    kind: ClassVar[str] = "progressive-layer-drop"
    scaled: ClassVar[bool] = True

    theta: float = 0.5
    """Probability of the last layer to which it falls, in (0, 1] (paper: 0.5)."""
    decay: float = 100.0
    """gamma times the updates of the run, positive (paper: gamma = 100 / T)."""

    def __post_init__(self) -> None:
        require_between("theta", self.theta, 0, 1, open_low=True)
        require_between("decay", self.decay, 0, 1e9, open_low=True)

    def theta_at(self, step: int, steps: int) -> float:
        """theta(t), the probability of the last layer in update ``step`` of ``steps``."""
        return (1.0 - self.theta) * math.exp(-self.decay * step / steps) + self.theta

    def keep(self, step: int, steps: int, depth: int) -> tuple[float, ...]:
        """1 - (l / L) (1 - theta(t))."""
        left_out = 1.0 - self.theta_at(step, steps)
        return tuple(1.0 - layer / depth * left_out for layer in range(1, depth + 1))
