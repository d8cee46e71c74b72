"""Kronecker products of dense maps, c (x) B (x) A, applied to all layers of a kind of parameter.

    new_l = sum_j  c_lj  B old_j A^T

An old layer is widened once, and the mixing over layers, which makes more of them, comes last. Of
the orders of the axes the one of fewest FLOPs is taken; the work goes in strips of one axis, each
written where it belongs, so that beside source and target no more than a strip is held.

Weights go by the map; first moments by its dual, which is that of its factors; second ones,
approximately, by the squares of the dual's entries (``swe.transforms.maps``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Literal

import torch
from torch import Tensor

from swe.transforms.duals import dual

Kind = Literal[0, 1, 2]
"""What is mapped: weights (0), or a moment by its power."""
Held = dict[tuple[str, torch.dtype], Tensor]
"""Duals, by names of factors and in the precision of the work."""
STRIP = 2**19
"""Entries of the old layers, widened, that are worked on at once: what caches hold."""


@dataclass(frozen=True, eq=False)
class Side:
    """The map of an axis: entries of diag(``rows``) ``matrix``, (new, old), to a ``power``."""

    matrix: Tensor
    rows: Tensor | None = None
    power: int = 1

    def strip(self, begin: int, count: int) -> Tensor:
        """Return ``count`` of its rows."""
        part = self.matrix.narrow(0, begin, count)
        if self.rows is not None:
            part = part * self.rows.narrow(0, begin, count)[:, None]
        return part if self.power == 1 else part**self.power

    def all(self) -> Tensor:
        """Return all of its rows."""
        return self.strip(0, self.matrix.shape[0])


@dataclass(frozen=True)
class Factors:
    """The factors of a map as tensors of a ``kind`` go by them, in ``dtype``.

    ``held``: duals by name, each worked out once for all kinds of a moment.
    """

    kind: Kind
    dtype: torch.dtype
    held: Held = field(default_factory=dict)

    def side(self, name: str, matrix: Tensor, rows: Tensor | None = None) -> Side:
        """Return the factor diag(``rows``) ``matrix``; without ``rows``, ``matrix``."""
        matrix = matrix.detach().to(self.dtype)
        rows = None if rows is None else rows.to(matrix)
        if self.kind == 0:
            return Side(matrix, rows)
        if rows is not None and bool((rows != rows[0]).any()):
            name, matrix, rows = f"{name}, scaled", rows[:, None] * matrix, None
        key = name, self.dtype
        if key not in self.held:
            self.held[key] = dual(matrix, self.dtype)
        return Side(self.held[key], None if rows is None else 1 / rows, self.kind)


@torch.no_grad()
def spread(
    olds: Sequence[Tensor],
    sides: Sequence[Side | None],
    mix: Tensor | None,
    news: Sequence[Tensor],
    *,
    add: bool = False,
) -> None:
    """Write, or ``add``, to ``news`` what the olds are under a side an axis, mixed over layers.

    ``mix``: (news, olds); None where each new one is of one old one. An axis without a side keeps
    its length. All olds have one shape, and all news.
    """
    if not news[0].ndim:
        olds, news, sides = [old[None] for old in olds], [new[None] for new in news], [None]
    small, large = olds[0].shape, news[0].shape
    free = [axis for axis, side in enumerate(sides) if side is None]
    order = cheapest(small, large, [axis for axis in range(len(small)) if axis not in free])
    cut = max(free, key=lambda axis: large[axis]) if free else order.pop(0)
    first = sides[cut]
    later = [(axis, side.all()) for axis in order if (side := sides[axis]) is not None]
    count = max(1, STRIP * large[cut] // (len(olds) * large.numel()))
    for begin in range(0, large[cut], count):
        rows = min(count, large[cut] - begin)
        strip = None if first is None else first.strip(begin, rows)
        places = [new.narrow(cut, begin, rows) for new in news]
        wide = places[0].new_empty(len(olds), *places[0].shape)
        for old, own in zip(olds, wide, strict=True):
            one = old.narrow(cut, begin, rows) if strip is None else along(strip, old, cut)
            for axis, matrix in later:
                one = along(matrix, one, axis)
            own.copy_(one)
        for layer, place in enumerate(places):
            # By one product a layer: by a single one all new layers of a strip would be held.
            one = wide[layer] if mix is None else torch.tensordot(mix[layer].to(wide), wide, 1)
            if add:
                place.add_(one)
            else:
                place.copy_(one)


def along(matrix: Tensor, tensor: Tensor, axis: int) -> Tensor:
    """Return the tensor with ``matrix`` (new, old) applied to an axis, in the wider precision."""
    wide = torch.promote_types(matrix.dtype, tensor.dtype)
    matrix, tensor = matrix.to(wide), tensor.to(wide)
    if axis == tensor.ndim - 1:
        return tensor @ matrix.T
    return torch.tensordot(matrix, tensor, dims=([1], [axis])).movedim(0, axis)


def cheapest(small: Sequence[int], large: Sequence[int], axes: Sequence[int]) -> list[int]:
    """Return the order in which to widen ``axes``, from sizes ``small`` to ``large``."""

    def cost(order: Iterable[int]) -> int:
        total, sizes = 0, list(small)
        for axis in order:
            total += large[axis] * math.prod(sizes)
            sizes[axis] = large[axis]
        return total

    return list(min(permutations(axes), key=cost))
