"""Which old unit each unit of a wider model begins as, and of which layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from swe.transforms.anatomy import Anatomy, Axis
from swe.transforms.maps import Copies, Units

Maps = tuple[Copies | None, ...]


@dataclass(frozen=True)
class Widening:
    """Copies of the units of every space that grows.

    ``common``: spaces that occur outside the layers, one choice for the whole model; ``own``: those
    of a layer alone, a choice for each old layer. ``from_above``: copies, other than the units
    themselves, compute what the next layer's unit does. ``why_not``: why the function changes, "".
    """

    common: Mapping[str, Units]
    own: Mapping[tuple[str, int], Units]
    from_above: bool
    why_not: str

    def units(self, space: str | None, layer: int) -> Units | None:
        """Copies of a space's units in an old layer; None where it does not grow."""
        if space is None:
            return None
        return self.common.get(space) or self.own.get((space, layer))

    def terms(self, layer: int, depth: int, axes: tuple[Axis, ...]) -> list[tuple[int, Maps]]:
        """Return (old layer, maps of its axes) of each term of a layer's parameter."""
        maps = tuple(self._map(axis, layer) for axis in axes)
        grows = [n for n, axis in enumerate(axes) if axis.way == "out" and maps[n] is not None]
        if not self.from_above or layer == depth - 1 or not grows:
            return [(layer, maps)]
        [at] = grows
        axis, units = axes[at], self.units(axes[at].space, layer)
        assert units is not None
        itself = (torch.arange(len(units.index)) < units.old).repeat_interleave(axis.each)
        parts = []
        for parent, kept in ((layer, itself), (layer + 1, ~itself)):
            grown = maps[at]
            assert grown is not None
            only = grown.only(kept.repeat(axis.blocks))
            parts.append((parent, (*maps[:at], only, *maps[at + 1 :])))
        return parts

    def _map(self, axis: Axis, layer: int) -> Copies | None:
        units = self.units(axis.space, layer)
        if units is None:
            return None
        return (units.out() if axis.way == "out" else units.into()).entries(axis.each, axis.blocks)


Choose = Callable[[int, int, Generator], Tensor]


def at_random(old: int, new: int, generator: Generator) -> Tensor:
    """Every unit itself, and copies of units drawn at random (Net2Net's remapping function)."""
    drawn = torch.randint(old, (new - old,), generator=generator)
    return torch.cat([torch.arange(old), drawn])


def evenly(old: int, new: int, generator: Generator) -> Tensor:
    """Every unit itself, and copies drawn at random without one having two more than another.

    A multiple of the old width has every unit equally often, which LayerNorm needs.
    """
    rounds = [torch.arange(old)]
    while sum(map(len, rounds)) < new:
        rounds.append(torch.randperm(old, generator=generator))
    return torch.cat(rounds)[:new]


def _widening(
    old: Anatomy, new: Anatomy, generator: Generator, choose: Choose, *, from_above: bool = False
) -> Widening:
    outside = {axis.space for axes in old.rest.values() for axis in axes}
    common: dict[str, Units] = {}
    own: dict[tuple[str, int], Units] = {}
    why = []
    for space, few in old.widths.items():
        many = new.widths[space]
        if many == few:
            continue
        if space in outside:
            common[space] = Units.of(choose(few, many, generator), few)
            if space in old.normed and not common[space].evenly:
                why.append(uneven(space, old, new))
            continue
        for layer in range(old.depth):
            own[space, layer] = Units.of(choose(few, many, generator), few)
    if from_above and (common or own):
        why.append("new units compute what the next layer's do")
    return Widening(common, own, from_above, "; ".join(why))


def tied(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """As :func:`fpi`, with the same copies in every layer: one map a space, where LiGO begins."""
    common = {
        space: Units.of(evenly(few, new.widths[space], generator), few)
        for space, few in old.widths.items()
        if new.widths[space] != few
    }
    return common_widening(old, new, common)


def common_widening(old: Anatomy, new: Anatomy, common: Mapping[str, Units]) -> Widening:
    """Return what the same copies of a space's units do in every layer and outside them."""
    why = [
        uneven(space, old, new)
        for space, units in common.items()
        if space in old.normed and not units.evenly
    ]
    return Widening(common, {}, from_above=False, why_not="; ".join(why))


def uneven(space: str, old: Anatomy, new: Anatomy) -> str:
    """Say that LayerNorm sees another mean and variance than the small model's."""
    return (
        f"LayerNorm sees {space} units that are copied unequally often ({old.widths[space]} to "
        f"{new.widths[space]}; take a multiple, and a way that copies evenly)"
    )


def net2net(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """Net2WiderNet: copies drawn with replacement (Chen et al., arXiv 1511.05641, Section 3.1)."""
    return _widening(old, new, generator, at_random)


def fpi(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """Function-preserving initialisation (Chen et al., arXiv 2110.07143, Section 3.2).

    As Net2Net, but copies are spread evenly: drawn with replacement, LayerNorm sees other means.
    """
    return _widening(old, new, generator, evenly)


def aki(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """Advanced knowledge initialisation (Chen et al., arXiv 2110.07143, Section 3.3).

    New units compute what the unit that they copy does in the next layer; of the last layer, and
    outside the layers, they are copies as in :func:`fpi`.
    """
    return _widening(old, new, generator, evenly, from_above=True)


WIDTHS: dict[str, Callable[[Anatomy, Anatomy, Generator], Widening]] = {
    "net2net": net2net,
    "fpi": fpi,
    "tied": tied,
    "aki": aki,
}
