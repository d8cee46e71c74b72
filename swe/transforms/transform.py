"""What changes a model in mid-run, as a pure map of named tensors: the one interface.

A transform makes the next stage's weights and optimiser state of the last one's. It knows two
anatomies and names; no module, no device, no ranks. Whoever runs it (``swe.run.growing``) builds
the models, ties what is to share (``swe.transforms.tying``), charges the cost and, where the
transform says that the function stays, checks that on a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from swe.base.config import Tagged
from swe.base.errors import ConfigError
from swe.transforms.anatomy import Anatomy
from swe.transforms.carry import Carry

Loss = Callable[[Mapping[str, Tensor], int], Tensor]
"""The large model's loss with the weights given (``torch.func.functional_call``), on the batch of
a number from 0."""
States = Mapping[str, Mapping[str, Any]]
"""An optimiser's state, by names of parameters and of what is kept for each."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a transform works on: a model with untied layers, and what is to become of it."""

    old: Anatomy
    """Of the model that there is."""
    new: Anatomy
    """Of the one to be made."""
    weights: Mapping[str, Tensor]
    """By name; several layers may have the same tensor. For a map that ``fits``, on the device of
    ``loss``; otherwise on the CPU."""
    states: States
    """On the CPU. A parameter without state is left out."""
    shapes: Mapping[str, torch.Size]
    """Of the new model's parameters."""
    carry: Carry
    """What is to become of the moments."""
    generator: Generator
    """What is drawn comes from it."""
    loss: Loss
    """The new model's, on batches of their own."""
    update: float
    """FLOPs of the new model's forward and backward pass over one of them."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The new model: weights and states by name, no two sharing memory with one another."""

    weights: Mapping[str, Tensor]
    states: States
    why_not: str = ""
    """Why its function is another; "" where it stays, to rounding."""
    flops: float = 0.0
    """What making it cost, to be charged to the run."""

    def require(self, shapes: Mapping[str, torch.Size]) -> None:
        """Refuse weights that are not those of a model with parameters of ``shapes``."""
        for name in sorted(shapes.keys() | self.weights.keys()):
            have = tuple(self.weights[name].shape) if name in self.weights else None
            need = tuple(shapes[name]) if name in shapes else None
            if have != need:
                raise ConfigError(
                    f"{name}: of shape {have} as made, {need} in the model; make exactly the "
                    "next stage's parameters"
                )


@dataclass(frozen=True, kw_only=True)
class Transform(Tagged, ABC):
    """A way from one stage's model to the next one's; a subclass with a ``kind`` is a kind of it.

    The fields of a kind are its configuration, and a run's that uses it.
    """

    untagged: ClassVar[str] = "growth"
    """Configurations without a kind are of this one."""
    fits: ClassVar[bool] = False
    """Whether it descends on :attr:`Given.loss`."""
    multiplies: ClassVar[bool] = False
    """Whether the old model's matrices are products (``swe.transforms.factors``)."""

    @abstractmethod
    def require(self, old: Anatomy, new: Anatomy, carry: Carry, generator: Generator) -> None:
        """Raise ConfigError, before anything is trained, where :meth:`apply` must."""

    @abstractmethod
    def apply(self, given: Given) -> Made:
        """Return the new model; ``given`` stays as it is."""


def require_same_size(name: str, old: Anatomy, new: Anatomy) -> None:
    """Refuse a model of another size than the next one, for the transform of that name."""
    one, other = ({"depth": each.depth, **each.widths} for each in (old, new))
    for what, size in one.items():
        if other.get(what) != size:
            raise ConfigError(
                f"{name}: {what} = {size} here and {other.get(what)} in the next stage; give both "
                "stages one size, and grow in a stage of its own"
            )
