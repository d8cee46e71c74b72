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
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Generator, Tensor

from swe.base.config import require, require_between, require_count
from swe.base.errors import ConfigError
from swe.transforms.anatomy import Anatomy, Axis
from swe.transforms.carry import Carry, grown_state
from swe.transforms.depth import stacked
from swe.transforms.kronecker import Factors, Held, Kind, spread
from swe.transforms.learned import Learned, shaken
from swe.transforms.ligo import Ligo
from swe.transforms.maps import Dense, Line, Placed, Term, Units
from swe.transforms.tiles import entries_of_unit, is_matrix, tile_of, tile_width
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
        self.cut = {name: axes for name, axes in old.layer.items() if is_matrix(axes)}
        require(bool(self.cut), "matrices of a layer", len(self.cut), "at least 1")
        self.tile, self.wide = tile_width(old, self.cut), tile_width(new, self.cut)
        self.tiles = [
            (name, out, read)
            for name, axes in self.cut.items()
            for out, read in product(*(range(self._count(name, axis)) for axis in axes))
        ]
        common = self._copies(generator)
        self.units = {
            space: self._in_tiles(common, old.widths[space], entries_of_unit(old, space))
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

    def pieces(self) -> tuple[Learned, ...]:
        """Return LiGO's maps and the ring."""
        return self.others, self

    def parents(self) -> dict[str, tuple[str, ...]]:
        """Return each matrix's parents: all small matrices."""
        every = tuple(
            self.old.name(layer, name)
            for name in dict.fromkeys(kind for kind, _, _ in self.tiles)
            for layer in range(self.old.depth)
        )
        kinds, layers = self.parts["kinds"], self.parts["layers"]
        return {
            self.new.name(layer, name): every
            if bool(kinds[:, self._own(name)].any()) and bool(layers[:, layer].any())
            else ()
            for name in self.cut
            for layer in range(self.new.depth)
        }

    def moments(self, states: States, carry: Carry) -> dict[str, dict[str, Any]]:
        """As any map's. ConfigError for ``carry = 'mapped'`` and a rank above 1."""
        if carry == "mapped" and self.ranks != (1, 1, 1, 1):
            return grown_state(self.lines(), states, carry)
        return super().moments(states, carry)

    @torch.no_grad()
    def applied(
        self, source: Mapping[str, Tensor], kind: Kind = 0, held: Held | None = None
    ) -> dict[str, Tensor]:
        """Return weights or moments that the ring makes, one kind of matrix after the other.

        Kinds are mixed first, where tiles are small. The ranks' Kronecker products are added up:
        of ranks above 1 weights alone, as there is no dual of few factors.
        """
        held = {} if held is None else held
        made: dict[str, Tensor] = {}
        names = [
            [self.old.name(j, name) for name, _, _ in self.tiles] for j in range(self.old.depth)
        ]
        if not all(source.keys() >= {*layer} for layer in names):
            return made
        one = source[names[0][0]]
        factors = Factors(kind, one.dtype, held)
        s, t, w, r = (range(rank) for rank in self.ranks)
        for name, axes in self.cut.items():
            shape = [self.new.entries(axis) for axis in axes]
            news = [one.new_empty(shape) for _ in range(self.new.depth)]
            for a, b, c, d in product(s, t, w, r):
                ring = {"kinds": (d, a), "out": (a, b), "layers": (b, c), "in": (c, d)}
                kinds, out, layers, into = (
                    factors.side(f"{part}:{x}:{y}", self.parts[part][x, :, :, y])
                    for part, (x, y) in ring.items()
                )
                for tile in self._own(name):
                    place = self.tiles[tile][1:]
                    spread(
                        [self._mixed(source, layer, kinds.strip(tile, 1)[0]) for layer in names],
                        (out, into),
                        layers.all(),
                        [tile_of(new, place, self.wide) for new in news],
                        add=any((a, b, c, d)),
                    )
            made |= {self.new.name(layer, name): new for layer, new in enumerate(news)}
        return made

    def _own(self, name: str) -> list[int]:
        """Tiles of a kind of matrix."""
        return [tile for tile, (kind, _, _) in enumerate(self.tiles) if kind == name]

    def _mixed(self, source: Mapping[str, Tensor], names: Sequence[str], kinds: Tensor) -> Tensor:
        """The sum of a layer's tiles by their shares ``kinds`` (old,) in a new one."""
        total = source[names[0]].new_zeros(self.tile, self.tile)
        for name, share, (_, *place) in zip(names, kinds.tolist(), self.tiles, strict=True):
            total.add_(tile_of(source[name], place, self.tile), alpha=share)
        return total

    def _contracted(
        self, source: Mapping[str, Tensor], parts: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the large matrices that the ring of ``parts`` makes of the small ones."""
        made = {}
        olds = range(self.old.depth)
        tiles = torch.stack(
            [
                torch.stack(
                    [tile_of(source[self.old.name(j, name)], (out, read), self.tile) for j in olds]
                )
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
            own = self._own(name)
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
            (one.entries(axis), width)
            for one, width in ((self.old, self.tile), (self.new, self.wide))
        ]
        for length, width in sizes:
            if length % width:
                raise ConfigError(
                    f"mango: {name} has {length} entries, which tiles of {width} do not fill; "
                    "grow by ligo"
                )
        before, after = (length // width for length, width in sizes)
        if before != after:
            raise ConfigError(
                f"mango: {name} has {before} tiles, the large model's {after}: all widths must "
                "grow alike; grow by ligo"
            )
        return before

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
