"""Growth by a fitted map as a transform: LiGO and Mango on the run's own loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator

from swe.base.config import require, require_between, require_count
from swe.transforms.anatomy import Anatomy
from swe.transforms.carry import Carry
from swe.transforms.learned import WHY_NOT, Learned, fit
from swe.transforms.ligo import Ligo
from swe.transforms.mango import Mango
from swe.transforms.transform import Given, Made, Transform

LEARNED: Mapping[str, Callable[[Anatomy, Anatomy, Generator], Learned]] = {
    "ligo": Ligo,
    "mango": Mango,
}
"""Maps that are fitted, by the names of their papers."""


@dataclass(frozen=True, kw_only=True)
class Fitted(Transform):
    """Growth by a map that is fitted on the large model's loss; see ``swe.transforms.learned``.

    The small model is frozen meanwhile; the fit's FLOPs are charged. ConfigError for impossible
    values, and at :meth:`require` for moments copied, which no dense map does.
    """

    kind: ClassVar[str] = "fitted"
    fits: ClassVar[bool] = True

    method: str = "ligo"
    """One of :data:`LEARNED`."""
    steps: int = 100
    """Updates of the fit."""
    rate: float = 0.1
    """Adam's, over the entries that a new one sums."""

    def __post_init__(self) -> None:
        require(self.method in LEARNED, "method", self.method, f"one of {', '.join(LEARNED)}")
        require_count("steps", self.steps)
        require_between("rate", self.rate, 0, 1, open_low=True)

    def require(self, old: Anatomy, new: Anatomy, carry: Carry, generator: Generator) -> None:
        """Refuse models that the map does not lead between."""
        require(carry != "copy", "carry", carry, "mapped or reset: a fitted map copies nothing")
        LEARNED[self.method](old, new, generator)

    def apply(self, given: Given) -> Made:
        """Fit where the weights are, then map weights and moments; the function is another."""
        learned = LEARNED[self.method](given.old, given.new, given.generator)
        one = next(iter(given.weights.values()))
        learned.to(one.device, one.dtype)
        seed = int(torch.randint(2**62, (), generator=given.generator))
        done = fit(learned, given.weights, given.loss, steps=self.steps, rate=self.rate, seed=seed)
        return mapped(learned, given, flops=done.cost(given.update))


def mapped(learned: Learned, given: Given, *, flops: float = 0.0) -> Made:
    """Return what a map, as it now is, makes of a model."""
    made = learned.made(given.weights)
    weights = {name: made.pop(name).cpu() for name in list(made)}
    learned.cpu()
    # A dense map's dual takes a factorisation: only where moments are mapped by it.
    moved = given.carry != "reset" and bool(given.states)
    states = learned.moments(given.states, given.carry) if moved else {}
    return Made(weights=weights, states=states, why_not=WHY_NOT, flops=flops)
