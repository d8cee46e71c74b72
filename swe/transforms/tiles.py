"""Square tiles as wide as the model, which a layer's matrices are cut into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from swe.transforms.anatomy import Anatomy, Axis


def is_matrix(axes: tuple[Axis, ...]) -> bool:
    """Whether a parameter maps one space to another."""
    return len(axes) == 2 and all(axis.space is not None for axis in axes)


def tile_of(matrix: Tensor, place: Sequence[int], width: int) -> Tensor:
    """Return a view of the tile at a place (out, read)."""
    out, read = place
    return matrix.narrow(0, out * width, width).narrow(1, read * width, width)


def tile_width(anatomy: Anatomy, cut: Mapping[str, tuple[Axis, ...]]) -> int:
    """Return the width of the narrowest axis of a layer's matrices: the model's."""
    return min(anatomy.entries(axis) for axes in cut.values() for axis in axes)


def entries_of_unit(anatomy: Anatomy, space: str) -> int:
    """Entries of a unit of a space, 1 where no axis lies in it."""
    every = [*anatomy.layer.values(), *anatomy.rest.values()]
    return max((axis.each for axes in every for axis in axes if axis.space == space), default=1)
