"""Mango: every weight of the large model from all weights of the small one, by a tensor ring.

Pan et al., Reusing pretrained models by multi-linear operators, arXiv 2310.10699, Section 3. The
matrices of all layers are cut into square tiles as wide as the model (query, key, value, output,
and as many more as the feed-forward is wide), M (kinds B, out D, in D, layers L), and

    M'[b', o', i', l'] = sum over b, o, i, l and the ranks r, s, t, w of
        K[r, b', b, s]  O[s, o', o, t]  H[t, l', l, w]  I[w, i', i, r]  M[b, o, i, l]

The ranks are configuration, (kinds-out, out-layers, layers-in, in-kinds) = (s, t, w, r). M holds
matrices of layers alone; the vectors of layers and what is outside them (embeddings, head) go by
LiGO's maps (``swe.transforms.ligo``), fitted beside the ring.

Start: the ring's entry (0, 0, 0, 0) is copies of units, the same in every tile, times a stack of
the layers on themselves: K the identity, O copies, H the stack, I copies times their shares. Of the
other entries those of O and I are drawn and those of K and H are zero. K's leave no path but r = s
= 0, H's none but t = w = 0: at any ranks the start is the copies' alone, bit for bit where
``noise`` is 0, and K and H have gradients there. All zero would be a saddle that no gradient
leaves.

With all ranks 1 the map is a Kronecker product and has the dual of its factors, as LiGO's has. With
more it has none of few factors: moments are reset (``carry = 'mapped'`` is refused).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
from torch import Generator, Tensor

from swe.base.config import require, require_between, require_count
from swe.base.errors import ConfigError
from swe.transforms.anatomy import Anatomy, Axis
from swe.transforms.carry import Carry, grown_state, power_of
from swe.transforms.depth import stacked
from swe.transforms.learned import Learned, shaken
from swe.transforms.ligo import Ligo
from swe.transforms.maps import Dense, Line, Placed, Term, Units
from swe.transforms.transform import States
from swe.transforms.width import evenly

Ranks = tuple[int, int, int, int]


class Mango(Learned):
    """Mango's map between two anatomies, at its start.

    ConfigError where a matrix cannot be cut into tiles, or into another number than the large
    model's; for a rank below 1.
    """

    def __init__(
        self,
        old: Anatomy,
        new: Anatomy,
        generator: Generator,
        *,
        ranks: Ranks = (1, 1, 1, 1),
        noise: float = 0.01,
    ) -> None:
        super().__init__(old, new)
        require_between("noise", noise, 0, 1)
        for rank in ranks:
            require_count("rank", rank)
        self.ranks = ranks
        self.cut = {name: axes for name, axes in old.layer.items() if _is_matrix(axes)}
        require(bool(self.cut), "matrices of a layer", len(self.cut), "at least 1")
        self.tile, self.wide = _tile(old, self.cut), _tile(new, self.cut)
        self.tiles = [
            (name, out, read)
            for name, axes in self.cut.items()
            for out, read in product(*(range(self._count(name, axis)) for axis in axes))
        ]
        common = self._copies(generator)
        self.units = {
            space: self._in_tiles(common, old.widths[space], _each(old, space))
            for space in old.widths
            if old.widths[space] != new.widths[space]
        }
        """Copies that each growing space starts as."""
        vectors = [name for name in old.layer if name not in self.cut]
        self.others = Ligo(old, new, generator, noise=noise, units=self.units, only=vectors)
        stack = torch.eye(old.depth)[list(stacked(old.depth, new.depth).parents)]
        copies = torch.eye(self.tile)[common.index]
        shares = common.shares.to(copies)[:, None]
        s, t, w, r = ranks
        for name, before, start, after, drawn in (
            ("kinds", r, torch.eye(len(self.tiles)), s, False),
            ("out", s, copies, t, True),
            ("layers", t, stack, w, False),
            ("in", w, copies * shares, r, True),
        ):
            core = torch.zeros(before, *start.shape, after)
            if drawn:
                core = torch.randn(core.shape, generator=generator) / math.sqrt(self.tile)
            core[0, :, :, 0] = shaken(start, noise, generator)
            self.learn(name, core, start.shape[1])

    def weights(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the large model's weights, differentiable in the map's parameters.

        Widened on the side that is read, mixed over layers, widened on the other side, mixed over
        kinds: at most the size of the large model times two ranks is held.
        """
        return {**self.others.weights(source), **self._contracted(source, dict(self.parts.items()))}

    @torch.no_grad()
    def moments(self, states: States, carry: Carry) -> dict[str, dict[str, Any]]:
        """As any map's; at ranks of 1 matrices by the ring of duals, at the cost of the weights.

        Such a ring is a Kronecker product, and so is its dual.
        """
        parents = [
            self.old.name(layer, name) for name in self.cut for layer in range(self.old.depth)
        ]
        if carry != "mapped" or self.ranks != (1, 1, 1, 1) or not states.keys() >= set(parents):
            return super().moments(states, carry)
        duals = {
            name: Dense(core[0, :, :, 0]).dual[None, :, :, None]
            for name, core in self.parts.items()
        }
        made = grown_state(self.others.lines(), states, carry)
        children = [
            self.new.name(layer, name) for name in self.cut for layer in range(self.new.depth)
        ]
        made |= {child: {} for child in children}
        for key, value in states[parents[0]].items():
            if not isinstance(value, Tensor) or value.ndim == 0:
                for child in children:
                    made[child][key] = value.clone() if isinstance(value, Tensor) else value
                continue
            power = power_of(key)
            own = {name: states[name][key] for name in parents}
            ring = {name: dual**power for name, dual in duals.items()}
            for child, moment in self._contracted(own, ring).items():
                made[child][key] = moment.clone()
        return made

    def _contracted(
        self, source: Mapping[str, Tensor], parts: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the large matrices that the ring of ``parts`` makes of the small ones."""
        made = {}
        olds = range(self.old.depth)
        tiles = torch.stack(
            [
                torch.stack([self._cut(source[self.old.name(j, name)], out, read) for j in olds])
                for name, out, read in self.tiles
            ]
        )
        kinds, outs, layers, ins = (
            parts[name].to(tiles) for name in ("kinds", "out", "layers", "in")
        )
        grown = torch.einsum("bloi,wIir->bloIwr", tiles, ins)
        grown = torch.einsum("bloIwr,tLlw->boIrtL", grown, layers)
        grown = torch.einsum("boIrtL,sOot->bIrLsO", grown, outs)
        grown = torch.einsum("bIrLsO,rBbs->BLOI", grown, kinds)
        for name, axes in self.cut.items():
            rows, columns = (self._count(name, axis) for axis in axes)
            own = [tile for tile, (kind, _, _) in enumerate(self.tiles) if kind == name]
            for layer in range(self.new.depth):
                whole = grown[own, layer].reshape(rows, columns, self.wide, self.wide)
                shape = rows * self.wide, columns * self.wide
                made[self.new.name(layer, name)] = whole.transpose(1, 2).reshape(shape)
        return made

    @torch.no_grad()
    def lines(self) -> dict[str, Line]:
        """Return the map as it now is: a term a tile of each kind, old layer and choice of ranks.

        B times L times the product of the ranks for each tile of a large matrix.
        """
        made = self.others.lines()
        kinds, outs, layers, ins = (self.parts[n] for n in ("kinds", "out", "layers", "in"))
        single = self.ranks == (1, 1, 1, 1)
        duals = [Dense(core[0, :, :, 0]).dual for core in (kinds, layers)]
        sides = [
            {
                (a, b): Dense(core[a, :, :, b])
                for a, b in product(range(core.shape[0]), range(core.shape[-1]))
            }
            for core in (outs, ins)
        ]
        s, t, w, r = (range(rank) for rank in self.ranks)
        placed: dict[tuple[int, ...], Placed] = {}

        def side(
            way: int, ranks: tuple[int, int], new: tuple[int, int], old: tuple[int, int]
        ) -> Placed:
            key = way, *ranks, *new, *old
            if key not in placed:
                place = new[0] * self.wide, old[0] * self.tile
                shape = new[1] * self.wide, old[1] * self.tile
                placed[key] = Placed.at(sides[way][ranks], place, shape)
            return placed[key]

        size = {
            name: tuple(self._count(name, axis) for axis in axes) for name, axes in self.cut.items()
        }
        for name in self.cut:
            for layer in range(self.new.depth):
                made[self.new.name(layer, name)] = tuple(
                    Term(
                        self.old.name(j, kind),
                        (
                            side(0, (a, b), (out, size[name][0]), (row, size[kind][0])),
                            side(1, (c, d), (read, size[name][1]), (column, size[kind][1])),
                        ),
                        float(kinds[d, to, of, a] * layers[b, layer, j, c]),
                        float(duals[0][to, of] * duals[1][layer, j]) if single else None,
                    )
                    for to, (own, out, read) in enumerate(self.tiles)
                    if own == name
                    for of, (kind, row, column) in enumerate(self.tiles)
                    for j in range(self.old.depth)
                    for a, b, c, d in product(s, t, w, r)
                )
        return made

    def _count(self, name: str, axis: Axis) -> int:
        """How many tiles lie along an axis. ConfigError where it is no whole number, or another."""
        sizes = [
            (_entries(one, axis), width)
            for one, width in ((self.old, self.tile), (self.new, self.wide))
        ]
        for entries, width in sizes:
            if entries % width:
                raise ConfigError(
                    f"mango: {name} has {entries} entries, which tiles of {width} do not fill; "
                    "grow by ligo"
                )
        before, after = (entries // width for entries, width in sizes)
        if before != after:
            raise ConfigError(
                f"mango: {name} has {before} tiles, the large model's {after}: all widths must "
                "grow alike; grow by ligo"
            )
        return before

    def _cut(self, matrix: Tensor, out: int, read: int) -> Tensor:
        return matrix.narrow(0, out * self.tile, self.tile).narrow(1, read * self.tile, self.tile)

    def _copies(self, generator: Generator) -> Units:
        """Copies of a tile's entries in whole heads, so that they are copies of units in each."""
        each = max(axis.each for axes in self.cut.values() for axis in axes)
        for width in (self.tile, self.wide):
            require(width % each == 0, "a tile", width, f"a multiple of a head's {each}")
        heads = evenly(self.tile // each, self.wide // each, generator)
        return Units.of((heads[:, None] * each + torch.arange(each)).flatten(), self.tile)

    def _in_tiles(self, common: Units, width: int, each: int) -> Units:
        """The same copies in each tile of a space of ``width`` units."""
        units = self.tile // each
        tiles = torch.arange(width // units)[:, None] * units
        return Units.of((tiles + common.index[::each] // each).flatten(), width)


def _is_matrix(axes: tuple[Axis, ...]) -> bool:
    return len(axes) == 2 and all(axis.space is not None for axis in axes)


def _entries(anatomy: Anatomy, axis: Axis) -> int:
    assert axis.space is not None
    return anatomy.widths[axis.space] * axis.each * axis.blocks


def _tile(anatomy: Anatomy, cut: Mapping[str, tuple[Axis, ...]]) -> int:
    """Width of the narrowest axis of a layer's matrices: the model's."""
    return min(_entries(anatomy, axis) for axes in cut.values() for axis in axes)


def _each(anatomy: Anatomy, space: str) -> int:
    every = [*anatomy.layer.values(), *anatomy.rest.values()]
    return max((axis.each for axes in every for axis in axes if axis.space == space), default=1)
