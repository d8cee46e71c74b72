"""Which old unit each unit of a wider model begins as, and of which layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from swe.transforms.anatomy import Anatomy, Axis
from swe.transforms.average import Averages, averages, unequal_shares
from swe.transforms.maps import Copies, Units

Maps = tuple[Copies | None, ...]
Spread = Units | Averages
"""What the units of a grown space are made of."""


@dataclass(frozen=True)
class Widening:
    """Copies of the units of every space that grows, the same in every layer: tied layers stay so.

    ``from_above``: copies, other than the units themselves, compute what the next layer's unit
    does. ``why_not``: why the function changes, "". ``eps``: what the epsilon of the LayerNorms of
    a space is to be multiplied by; without an entry it stays.
    """

    units: Mapping[str, Spread]
    from_above: bool
    why_not: str
    eps: Mapping[str, float] = field(default_factory=dict)

    def terms(self, layer: int, depth: int, axes: tuple[Axis, ...]) -> list[tuple[int, Maps]]:
        """Return (old layer, maps of its axes) of each term of a layer's parameter."""
        maps = tuple(map(self.of, axes))
        grows = [n for n, axis in enumerate(axes) if axis.way == "out" and maps[n] is not None]
        if not self.from_above or layer == depth - 1 or not grows:
            return [(layer, maps)]
        [at] = grows
        axis = axes[at]
        assert axis.space is not None
        units = self.units[axis.space]
        assert isinstance(units, Units)
        itself = (torch.arange(len(units.index)) < units.old).repeat_interleave(axis.each)
        parts = []
        for parent, kept in ((layer, itself), (layer + 1, ~itself)):
            grown = maps[at]
            assert grown is not None
            only = grown.only(kept.repeat(axis.blocks))
            parts.append((parent, (*maps[:at], only, *maps[at + 1 :])))
        return parts

    def of(self, axis: Axis) -> Copies | None:
        """Return the map of an axis; None where it does not grow."""
        if axis.space is None or axis.space not in self.units:
            return None
        units = self.units[axis.space]
        if isinstance(units, Averages):
            return units.along(axis)
        way = units.out() if axis.way == "out" else units.into()
        return way.entries(axis.each, axis.blocks)


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


Spreading = Callable[[str, int, int, Generator], Spread]


def _widening(
    old: Anatomy,
    new: Anatomy,
    generator: Generator,
    spreading: Spreading,
    *,
    from_above: bool = False,
) -> Widening:
    units: dict[str, Spread] = {}
    eps: dict[str, float] = {}
    why = []
    for space, few in old.widths.items():
        many = new.widths[space]
        if many == few:
            continue
        units[space] = own = spreading(space, few, many, generator)
        if isinstance(own, Averages):
            eps[space] = own.eps
            why += [f"{cannot} ({few} to {many}; take a multiple)" for cannot in old.averaged or ()]
        elif space in old.normed and not own.evenly:
            why.append(uneven(space, old, new))
    if from_above and units:
        why.append("new units compute what the next layer's do")
    return Widening(units, from_above, "; ".join(why), eps)


def _equally(choose: Choose) -> Spreading:
    """Copies by a choice, in equal shares."""
    return lambda space, few, many, generator: Units.of(choose(few, many, generator), few)


def common_widening(old: Anatomy, new: Anatomy, common: Mapping[str, Units]) -> Widening:
    """Return what the same copies of a space's units do in every layer and outside them."""
    why = [
        uneven(space, old, new)
        for space, units in common.items()
        if space in old.normed and not units.evenly
    ]
    return Widening(common, from_above=False, why_not="; ".join(why))


def uneven(space: str, old: Anatomy, new: Anatomy) -> str:
    """Say that LayerNorm sees another mean and variance than the small model's."""
    return (
        f"LayerNorm sees {space} units that are copied unequally often ({old.widths[space]} to "
        f"{new.widths[space]}; take a multiple, and a way that copies evenly)"
    )


def net2net(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """Net2WiderNet: copies drawn with replacement (Chen et al., arXiv 1511.05641, Section 3.1)."""
    return _widening(old, new, generator, _equally(at_random))


def fpi(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """Function-preserving initialisation (Chen et al., arXiv 2110.07143, Section 3.2).

    As Net2Net, but copies are spread evenly: drawn with replacement, LayerNorm sees other means.
    """
    return _widening(old, new, generator, _equally(evenly))


def aki(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """Advanced knowledge initialisation (Chen et al., arXiv 2110.07143, Section 3.3).

    New units compute what the unit that they copy does in the next layer; of the last layer, and
    outside the layers, they are copies as in :func:`fpi`.
    """
    return _widening(old, new, generator, _equally(evenly), from_above=True)


def lemon(old: Anatomy, new: Anatomy, generator: Generator) -> Widening:
    """LEMON's width (Wang et al., arXiv 2310.07999): copies in unequal shares, and average units.

    Copies are spread evenly, as in :func:`fpi`, but what reads them adds them up in shares that
    are drawn (swe.transforms.average), so copies part: at once by plain descent; by Adam, which
    divides the shares out, from the second update on.
    A space that passes a LayerNorm and grows to no multiple has average units, where they are of
    use: the model's anatomy says whether they keep the function, and what changes it.
    """

    def spread(space: str, few: int, many: int, draw: Generator) -> Spread:
        if space in old.normed and many % few and old.averaged is not None:
            return averages(few, many, draw)
        index = evenly(few, many, draw)
        return Units.of(index, few, unequal_shares(index, few, draw))

    return _widening(old, new, generator, spread)


WIDTHS: dict[str, Callable[[Anatomy, Anatomy, Generator], Widening]] = {
    "net2net": net2net,
    "fpi": fpi,
    "aki": aki,
    "lemon": lemon,
}
