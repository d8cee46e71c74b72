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
    """Copies of the units of every space that grows, the same in every layer: tied layers stay so.

    ``from_above``: copies, other than the units themselves, compute what the next layer's unit
    does. ``why_not``: why the function changes, "".
    """

    units: Mapping[str, Units]
    from_above: bool
    why_not: str

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


def _widening(
    old: Anatomy, new: Anatomy, generator: Generator, choose: Choose, *, from_above: bool = False
) -> Widening:
    units = {
        space: Units.of(choose(few, new.widths[space], generator), few)
        for space, few in old.widths.items()
        if new.widths[space] != few
    }
    why = [
        f"LayerNorm sees {space} units that are copied unequally often ({own.old} to "
        f"{len(own.index)}; take a multiple, and a way that copies evenly)"
        for space, own in units.items()
        if space in old.normed and not own.evenly
    ]
    if from_above and units:
        why.append("new units compute what the next layer's do")
    return Widening(units, from_above, "; ".join(why))


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
    "aki": aki,
}
