"""Linear maps from a small model's tensors to a large one's, and their duals for gradients.

Growth by copies: unit j of a new axis is unit i(j) of the old one. Let n be the copies of a unit
and s_j their shares, which add up to 1 over the copies of each unit (1 / n without other reason).
Where units are computed ("out"), every copy computes the same, so weights are copied as they are;
where they are read ("in"), copies are added up, so weights are multiplied by s_j. The function
stays.

Gradients go by the dual. Downstream of a copied unit its copies count by their shares, so a weight
that computes copy j has s_j times the gradient of the unit; a weight that reads copy j reads the
unit's very value, and has its gradient unchanged. Without shares of their own: out weights 1 and
gradients 1 / n, in weights 1 / n and gradients 1 (Chen, Goodfellow and Shlens, Net2Net, arXiv
1511.05641, for the weights). Adam's first moment goes as the gradient, its second as the square:
exact, as the gradients of all updates up to now are those of the large model constrained to the
map. Between a LayerNorm's input and unequal shares it is not: LayerNorm's backward pass takes two
means off the gradient, which copies bear evenly, not by their shares. There the sum over the copies
is still right, so it is a dual, but not the large model's own gradient.

A dense map W' = M W (LiGO, Mango) has more than one dual; taken is the one of least norm, with
D = pinv(M)^T: M^T D = 1 on the range, and for copies it is the one above. First moments go by D
exactly under the same reading; second ones by its entries' squares, an approximation that leaves
out what gradients of different entries have in common.

A large tensor is a :data:`Line`: a sum of :class:`Term`, each one old tensor under a map an axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from swe.base.errors import ConfigError
from swe.transforms.duals import dual

Power = Literal[1, 2]


@dataclass(frozen=True, eq=False)
class Units:
    """Which old unit each unit of a grown axis copies: ``index`` (new,), ``shares`` (new,) float64.

    ConfigError for an index outside 0..old-1, an old unit without a copy (it would be lost), or
    shares that do not add up to 1 over the copies of each unit, to 1e-12.
    """

    index: Tensor
    old: int
    shares: Tensor

    def __post_init__(self) -> None:
        low, high = int(self.index.min()), int(self.index.max())
        if low < 0 or high >= self.old:
            raise ConfigError(f"units: copies of {low}..{high}, there are 0..{self.old - 1}")
        if len(self.index.unique()) < self.old:
            raise ConfigError("units: every old unit needs a copy; the new width is too small")
        total = torch.zeros(self.old, dtype=torch.float64).index_add_(0, self.index, self.shares)
        if (total - 1).abs().max() > 1e-12:
            raise ConfigError("units: the shares of a unit's copies must add up to 1")

    @classmethod
    def of(cls, index: Sequence[int] | Tensor, old: int, shares: Tensor | None = None) -> Units:
        """Copies by an index, in equal shares where no others are given."""
        chosen = torch.as_tensor(index, dtype=torch.int64)
        if shares is None:
            counts = torch.bincount(chosen.clamp(0, old - 1), minlength=old)
            shares = 1.0 / counts[chosen.clamp(0, old - 1)].double()
        return cls(chosen, old, shares)

    @property
    def evenly(self) -> bool:
        """Whether every old unit has equally many copies, whatever their shares.

        Only then has the grown vector the old one's mean and variance, which LayerNorm divides by.
        """
        counts = torch.bincount(self.index, minlength=self.old)
        return bool((counts == counts[0]).all())

    def out(self) -> Copies:
        """The map of weights that compute the units."""
        return Copies(self.index, torch.ones_like(self.shares), self.shares)

    def into(self) -> Copies:
        """The map of weights that read the units."""
        return Copies(self.index, self.shares, torch.ones_like(self.shares))


@dataclass(frozen=True, eq=False)
class Copies:
    """New entry j of an axis: old entry ``index[j]`` times ``scale[j]``; gradients ``dual[j]``.

    All (new,); both factors float64. A scale of 0 with a dual of 0 leaves the entry out.
    """

    index: Tensor
    scale: Tensor
    dual: Tensor

    def entries(self, each: int, blocks: int = 1) -> Copies:
        """Return the map of an axis with ``each`` entries a unit (a head's), ``blocks`` times over.

        The blocks lie one after the other (query, key, value).
        """
        if each == 1 and blocks == 1:
            return self
        old = int(self.index.max()) + 1
        index = (self.index[:, None] * each + torch.arange(each)).flatten()
        index = (torch.arange(blocks)[:, None] * old * each + index).flatten()
        scale, dual = (
            factor.repeat_interleave(each).repeat(blocks) for factor in (self.scale, self.dual)
        )
        return Copies(index, scale, dual)

    def only(self, kept: Tensor) -> Copies:
        """Return the map with nothing where ``kept`` (new,) is false."""
        zero = torch.zeros_like(self.scale)
        return Copies(
            self.index, torch.where(kept, self.scale, zero), torch.where(kept, self.dual, zero)
        )

    def weights(self, tensor: Tensor, axis: int) -> Tensor:
        """Map a weight along ``axis``; bit for bit where the scales are 1."""
        return _scale(tensor.index_select(axis, self.index), self.scale, axis)

    def gradients(self, tensor: Tensor, axis: int, power: Power) -> Tensor:
        """Map a gradient (``power`` 1) or its square (2) along ``axis``."""
        return _scale(tensor.index_select(axis, self.index), self.dual**power, axis)


@dataclass(frozen=True, eq=False)
class Dense:
    """New axis = ``matrix`` (new, old) times the old one."""

    matrix: Tensor

    @cached_property
    def dual(self) -> Tensor:
        """The dual of least norm, (new, old) float64; computed once (swe.transforms.duals)."""
        return dual(self.matrix.detach())

    def weights(self, tensor: Tensor, axis: int) -> Tensor:
        """Map a weight along ``axis``, summed in the matrix's precision."""
        return _product(self.matrix, tensor, axis)

    def gradients(self, tensor: Tensor, axis: int, power: Power) -> Tensor:
        """Map a gradient (``power`` 1) or, approximately, its square (2) along ``axis``."""
        return _product((self.dual**power).to(tensor.dtype), tensor, axis)


@dataclass(frozen=True, eq=False)
class Placed(Dense):
    """A dense ``block`` alone in a larger map of zeros, at ``place`` (row, column)."""

    block: Dense
    place: tuple[int, int]

    @classmethod
    def at(cls, block: Dense, place: tuple[int, int], shape: tuple[int, int]) -> Placed:
        """Return the map of ``shape`` (new, old)."""
        return cls(_put(block.matrix, place, shape), block, place)

    @cached_property
    def dual(self) -> Tensor:
        """The block's own dual in its place: what is around it is zero in both."""
        return _put(self.block.dual, self.place, (self.matrix.shape[0], self.matrix.shape[1]))

    def weights(self, tensor: Tensor, axis: int) -> Tensor:
        """Map a weight along ``axis`` by the block alone."""
        return self._around(self.block.weights(self._read(tensor, axis), axis), axis)

    def gradients(self, tensor: Tensor, axis: int, power: Power) -> Tensor:
        """Map a gradient, or its square, along ``axis`` by the block alone."""
        return self._around(self.block.gradients(self._read(tensor, axis), axis, power), axis)

    def _read(self, tensor: Tensor, axis: int) -> Tensor:
        return tensor.narrow(axis, self.place[1], self.block.matrix.shape[1])

    def _around(self, part: Tensor, axis: int) -> Tensor:
        shape = list(part.shape)
        shape[axis] = self.matrix.shape[0]
        whole = part.new_zeros(shape)
        whole.narrow(axis, self.place[0], part.shape[axis]).copy_(part)
        return whole


@dataclass(frozen=True)
class Term:
    """One old tensor under a map an axis (None: the axis as it is), times ``scale``.

    ``dual``: what its gradient is multiplied by beside the axes' own duals; None where the map that
    it is a part of has no dual of such parts. ``plus``: what is added to each entry, which no old
    one moves.
    """

    parent: str
    axes: tuple[Copies | Dense | None, ...]
    scale: float = 1.0
    dual: float | None = 1.0
    plus: float = 0.0

    def weight(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return its part of the new weight."""
        return self.scaled(self.mapped(weights))

    def mapped(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the old tensor under its maps; terms of equal ``key`` have the same."""
        found = weights[self.parent]
        for axis, one in enumerate(self.axes):
            found = found if one is None else one.weights(found, axis)
        return found

    def scaled(self, mapped: Tensor) -> Tensor:
        """Return what was mapped, times ``scale``, and ``plus``."""
        found = mapped if self.scale == 1.0 else mapped * self.scale
        return found + self.plus if self.plus else found

    @property
    def key(self) -> tuple[object, ...]:
        """The old tensor and its maps, by identity."""
        return self.parent, *map(id, self.axes)

    def moment(self, old: Tensor, power: Power) -> Tensor:
        """Return its part of the new first (``power`` 1) or second (2) moment.

        ConfigError where there is no dual.
        """
        return self.scaled_moment(self.mapped_moment(old, power), power)

    def mapped_moment(self, old: Tensor, power: Power) -> Tensor:
        """Return an old moment under the duals of its maps. ConfigError where there is none."""
        if self.dual is None:
            raise ConfigError(
                "carry = 'mapped': this map has no dual of few factors (a tensor ring of a rank "
                "above 1); grow with carry = 'reset'"
            )
        for axis, one in enumerate(self.axes):
            old = old if one is None else one.gradients(old, axis, power)
        return old

    def scaled_moment(self, mapped: Tensor, power: Power) -> Tensor:
        """Return what was mapped, times its own factor."""
        dual = self.dual
        return mapped if dual is None or dual == 1.0 else mapped * dual**power


Line = tuple[Term, ...]
"""A new tensor: the sum of its terms."""


def is_drawn_anew(line: Line) -> bool:
    """Whether nothing old is in a tensor, as all of its terms are multiplied by 0."""
    return all(term.scale == 0.0 for term in line)


@torch.no_grad()
def mapped_weight(
    line: Line, weights: Mapping[str, Tensor], held: Mapping[tuple[object, ...], Tensor] = {}
) -> Tensor:
    """Return the new weight of a line; a copy, never a view of an old one.

    ``held``: old tensors under their maps, by key, that need not be mapped again.
    """
    first, *rest = (
        term.scaled(held[term.key]) if term.key in held else term.weight(weights) for term in line
    )
    total = own(first, weights[line[0].parent], *held.values())
    for part in rest:
        total += part
    return total


def own(tensor: Tensor, *others: Tensor) -> Tensor:
    """Return ``tensor``, or a copy where it is one of ``others``, which stay as they are."""
    return tensor.clone() if any(tensor is other for other in others) else tensor


def _scale(tensor: Tensor, factors: Tensor, axis: int) -> Tensor:
    """Multiply in place, and return, a tensor that nobody else holds."""
    if bool((factors == 1).all()):
        return tensor
    shape = [1] * tensor.ndim
    shape[axis] = -1
    return tensor.mul_(factors.to(tensor.dtype).reshape(shape))


def _put(block: Tensor, place: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    whole = block.new_zeros(shape)
    whole[place[0] : place[0] + block.shape[0], place[1] : place[1] + block.shape[1]] = block
    return whole


def _product(matrix: Tensor, tensor: Tensor, axis: int) -> Tensor:
    wide = torch.promote_types(matrix.dtype, tensor.dtype)
    out = torch.tensordot(matrix.to(wide), tensor.to(wide), dims=([1], [axis]))
    return out.movedim(0, axis).to(tensor.dtype)
