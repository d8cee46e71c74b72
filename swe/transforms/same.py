"""Transforms that keep the size: the model as it is, and products multiplied out (CoRe)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Generator, Tensor

from swe.transforms.anatomy import Anatomy
from swe.transforms.carry import Carry
from swe.transforms.factors import multiplied_state, multiplied_weights
from swe.transforms.transform import Given, Made, States, Transform, require_same_size


@dataclass(frozen=True, kw_only=True)
class Keep(Transform):
    """The model as it is: what changes is what trains, or how layers share.

    From tied layers to untied ones it is the untie of ``swe.sharing.unshare``, with moments copied
    ("mapped" and "copy" are one) or reset; the other way layers begin at their mean.
    ConfigError where the next stage's model has another size.
    """

    kind: ClassVar[str] = "keep"

    def require(self, old: Anatomy, new: Anatomy, carry: Carry, generator: Generator) -> None:
        """Refuse another size."""
        require_same_size(self.kind, old, new)

    def apply(self, given: Given) -> Made:
        """Copy everything; the function stays."""
        weights = {name: tensor.clone() for name, tensor in given.weights.items()}
        states = {} if given.carry == "reset" else copied(given.states)
        return Made(weights=weights, states=states)


@dataclass(frozen=True, kw_only=True)
class MultiplyOut(Transform):
    """A factored model's products as whole matrices, which are trained on (CoRe).

    The function stays; products begin without moments (``swe.transforms.factors`` says why).
    ConfigError where the next stage's model has another size.
    """

    kind: ClassVar[str] = "multiply-out"
    multiplies: ClassVar[bool] = True

    def require(self, old: Anatomy, new: Anatomy, carry: Carry, generator: Generator) -> None:
        """Refuse another size."""
        require_same_size(self.kind, old, new)

    def apply(self, given: Given) -> Made:
        """Multiply out what is a product and copy the rest."""
        states = {} if given.carry == "reset" else multiplied_state(given.states)
        return Made(weights=multiplied_weights(given.weights), states=states)


def copied(states: States) -> dict[str, dict[str, Any]]:
    """Return a copy of an optimiser's state."""
    return {name: {key: _copy(one) for key, one in state.items()} for name, state in states.items()}


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
