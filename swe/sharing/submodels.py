"""Sub-model training, the first of bert2BERT's two stages: a random prefix of the stack, its top
layers in training.

A sampler like those of ``swe.sharing.dropping``, but for two things: the layers that it leaves out
are those above a drawn one, so that what runs is a shallower model with the same head, and most of
those that run are frozen.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar

from swe.base.config import require, require_count
from swe.sharing.dropping import Active, Dropping
from swe.sharing.seeds import derive_seed
from swe.sharing.triggers import require_moment, update_of


@dataclass(frozen=True, kw_only=True)
class SubmodelTraining(Dropping):
    """In a part of the run each update trains the top of a random sub-model.

    With l_b = ``layers`` and L the model's, update t draws l uniformly from {l_b, 2 l_b, ..., L},
    ``begin`` <= t < ``until``. Its model is the bottom l layers under the head that all sub-models
    share; its loss updates layers l - l_b + 1 to l and the head, and nothing else: those below run
    without a backward pass. So layer i = 1..L runs with probability (L - l_b floor((i - 1) / l_b))
    / L and trains with probability l_b / L. Before and after, all run and train.

    What has no gradient stays as it is: weights, moments, weight decay, count of steps. That holds
    for the embeddings too, in every sub-model, the shallowest included, whose layers all train. A
    decoder that is the embedding matrix belongs to the head: it moves by the head's gradient, not
    by the embedding's. What becomes of either is our reading of a rule that names the top layers
    and the head.

    Only for untied layers: a tied block lies below the cut and above it at once, so nothing that
    trains could leave what is frozen as it is. ConfigError for values outside their ranges.
    Source: Chen et al., arXiv 2110.07143, bert2BERT's two-stage training (l_b = 3 of 12 layers),
    from its abstract and descriptions of it; the paper's own text was not at hand.
    """

    kind: ClassVar[str] = "sub-model-training"
    freezes: ClassVar[bool] = True

    layers: int
    """l_b, the layers that an update trains: a divisor of the model's, below it."""
    begin: int | float = 0
    """First update of the stage: a step, or a fraction of the run in (0, 1)."""
    until: int | float
    """First update after it, likewise; of two fractions the stage has one update at least."""

    def __post_init__(self) -> None:
        require_count("layers", self.layers)
        if isinstance(self.begin, float):
            require_moment("begin", self.begin)
        else:
            require_count("begin", self.begin, 0)
        require_moment("until", self.until)
        if isinstance(self.begin, float) == isinstance(self.until, float):
            require(self.begin < self.until, "until", self.until, f"after begin = {self.begin}")

    def during(self, steps: int) -> range:
        """Updates of the stage, in a run of ``steps``. ConfigError where there are none, or more
        than the run has."""
        begin, until = update_of(self.begin, steps), update_of(self.until, steps)
        if isinstance(self.begin, float) and isinstance(self.until, float):
            until = max(until, begin + 1)
        allowed = f"after update {begin} and at most {steps}"
        require(begin < until <= steps, "until", self.until, allowed)
        return range(begin, until)

    def pinned(self, steps: int) -> SubmodelTraining:
        """As :meth:`Dropping.pinned`."""
        found = self.during(steps)
        return replace(self, begin=found.start, until=found.stop)

    def validate(self, depth: int) -> None:
        """Raise ConfigError unless ``depth`` layers make several sub-models."""
        whole = self.layers < depth and depth % self.layers == 0
        require(whole, "layers", self.layers, f"a divisor of the {depth} of the model, below it")

    def active(self, step: int, steps: int, depth: int, seed: int) -> Active:
        """The bottom l layers, unscaled."""
        if step not in self.during(steps):
            return dict.fromkeys(range(depth), 1.0)
        return dict.fromkeys(range(self._drawn(step, depth, seed)), 1.0)

    def cut(self, step: int, steps: int, depth: int, seed: int) -> int | None:
        """Layer l - l_b, the lowest of the top l_b."""
        if step not in self.during(steps):
            return None
        return self._drawn(step, depth, seed) - self.layers

    def _drawn(self, step: int, depth: int, seed: int) -> int:
        """l, the layers of an update's sub-model."""
        draw = random.Random(derive_seed(seed, "sub-model", step))
        return self.layers * draw.randint(1, depth // self.layers)

    def keep(self, step: int, steps: int, depth: int) -> tuple[float, ...]:
        """(L - l_b floor((i - 1) / l_b)) / L."""
        if step not in self.during(steps):
            return (1.0,) * depth
        return tuple(1 - layer // self.layers * self.layers / depth for layer in range(depth))

    def trains(self, step: int, steps: int, depth: int) -> tuple[float, ...]:
        """l_b / L for all."""
        share = self.layers / depth if step in self.during(steps) else 1.0
        return (share,) * depth
