"""Which units each axis of each parameter of a model counts: all that growth needs to know of it.

A *space* is a set of units that is grown as one: the residual stream, a layer's inner units, its
heads. An axis lies in one space, as what computes its units ("out") or reads them ("in"), or in
none (tokens, positions), which growth leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from swe.base.config import require, require_count
from swe.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis of a parameter; without a ``space`` it keeps its length."""

    space: str | None = None
    way: Literal["out", "in"] = "out"
    each: int = 1
    """Entries a unit has (a head's width)."""
    blocks: int = 1
    """How often all of the space's units occur, one block after the other (query, key, value)."""
    kind: Literal["linear", "bent", "scale", "shift"] = "linear"
    """What the entries are to a LayerNorm: ``linear``, they make its input (out) or read its output
    (in); ``scale`` and ``shift``, they are its weight and bias, whose output is read (out; "in"
    where the reader is an embedding, itself mapped as "out"); ``bent``, they make its input but for
    a nonlinearity between (out), or are weight or bias of that LayerNorm before an embedding (in).
    """


FIXED = Axis()


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """A model with an untied stack. ConfigError for a space without a width.

    A parameter of a layer is named ``f"{stack}.{layer}.{name}"``.
    """

    depth: int
    """Layers of the stack, L."""
    widths: Mapping[str, int]
    """Units of each space."""
    stack: str
    """Where the layers are, as parameters are named."""
    layer: Mapping[str, tuple[Axis, ...]]
    """Axes of a layer's parameters, by their names in it."""
    rest: Mapping[str, tuple[Axis, ...]]
    """Axes of the other parameters, by full name."""
    ends: tuple[str, ...] = ()
    """Parameters of a layer that are added to the residual stream: zero, the layer does nothing,
    if no norm is on the stream. Empty where no layer can be made to do nothing."""
    norms: tuple[tuple[str, str], ...] = ()
    """(weight, bias) of the LayerNorms on a layer's residual stream, the one that makes its output
    last: LayerNorm after each branch. Empty where none is on it."""
    below: tuple[str, ...] = ()
    """Parameters outside the layers that feed them: embeddings, be they the decoder as well."""
    normed: tuple[str, ...] = ()
    """Spaces that pass a LayerNorm."""
    averaged: tuple[str, ...] | None = None
    """What units that hold the average (swe.transforms.average) cannot keep, where a normed space
    grows to no multiple: () nothing; None, they are of no use (LayerNorm after each branch)."""

    def __post_init__(self) -> None:
        require_count("depth", self.depth)
        for space, width in self.widths.items():
            require_count(f"width of {space}", width)
        for name, axes in [*self.layer.items(), *self.rest.items()]:
            for axis in axes:
                known = axis.space is None or axis.space in self.widths
                require(known, f"{name}: space", axis.space, f"one of {', '.join(self.widths)}")
        for field, names in (
            ("ends", self.ends),
            ("norms", [n for pair in self.norms for n in pair]),
        ):
            for name in names:
                require(name in self.layer, field, name, "a parameter of a layer")
        for name in self.below:
            require(name in self.rest, "below", name, "a parameter outside the layers")

    def name(self, layer: int, name: str) -> str:
        """Full name of a layer's parameter."""
        return f"{self.stack}.{layer}.{name}"

    def entries(self, axis: Axis) -> int:
        """Length of an axis that lies in a space."""
        assert axis.space is not None
        return self.widths[axis.space] * axis.each * axis.blocks

    def parameters(self) -> Iterator[tuple[str, int | None, str, tuple[Axis, ...]]]:
        """Yield (full name, layer or None, name in it, axes) of every parameter."""
        for name, axes in self.rest.items():
            yield name, None, name, axes
        for layer in range(self.depth):
            for name, axes in self.layer.items():
                yield self.name(layer, name), layer, name, axes

    def grown(self, depth: int, widths: Mapping[str, int]) -> Anatomy:
        """Return the anatomy of a larger model. ConfigError for another space, or a smaller one."""
        require_count("depth", depth, self.depth)
        for space, width in widths.items():
            require(space in self.widths, "space", space, f"one of {', '.join(self.widths)}")
            require_count(f"width of {space}", width, self.widths[space])
        return replace(self, depth=depth, widths={**self.widths, **widths})


def require_growth(old: Anatomy, new: Anatomy) -> None:
    """Refuse a model that is not ``old`` with more layers or units, naming what differs."""
    if set(old.widths) != set(new.widths) or old.layer != new.layer or old.rest != new.rest:
        first = sorted(
            {name for name, axes in old.layer.items() if new.layer.get(name) != axes}
            | {name for name, axes in old.rest.items() if new.rest.get(name) != axes}
            | (set(new.layer) - set(old.layer))
            | (set(new.rest) - set(old.rest))
        )
        what = first[0] if first else "their spaces"
        raise ConfigError(f"the large model: {what} differs in more than its length")
    old.grown(new.depth, new.widths)
