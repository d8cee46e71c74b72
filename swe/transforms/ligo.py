"""LiGO: fitted width maps and depth coefficients (Wang et al., arXiv 2303.00980, Section 3).

Layer l of the large model, for each kind of module k (query, key, value, output, the feed-forward
two, the norms), weight and bias alike:

    W'_l = sum_j  c^k_lj  B W_j A^T

with the depth coefficients c^k (new layers, old layers) of the kind, and width maps B of the space
that the module computes and A of the space that it reads, tied as in the paper's Appendix: one map
of the residual stream for all of the model, the embeddings and the norms; one of the inner units;
one each for queries, keys and values, whose readers (the output projection) take the values'. Maps
are shared by the layers, and A is the map B of the space that is read.

Where the paper has A = B, here A = diag(s) B with fixed shares s, those of the copies at the start
(``swe.transforms.maps``): with A = B a doubled width would double what is read. So the start,
copies and a stack on itself, is :func:`swe.transforms.width.fpi` with ``stack``, bit for bit where
``noise`` is 0. A space that does not grow keeps its units, a depth that does not grow its layers.

The map is c (x) B (x) A, a Kronecker product, and so is its dual of least norm: pinv(c)^T (x)
pinv(B)^T (x) pinv(A)^T. First moments go by it, as those of the large model constrained to the map
would; a layer with n copies has 1/n of what ``stack`` gives, a factor that Adam divides out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import product

import torch
from torch import Generator, Tensor

from swe.base.config import require, require_between
from swe.transforms.anatomy import Anatomy, Axis
from swe.transforms.depth import stacked
from swe.transforms.kronecker import Factors, Held, Kind, Side, spread
from swe.transforms.learned import Learned, shaken
from swe.transforms.maps import Copies, Dense, Line, Placed, Term, Units
from swe.transforms.width import fpi

AxisMap = Copies | Dense | None


class Ligo(Learned):
    """LiGO's map between two anatomies, at its start.

    ``noise``: of the start's entries (``swe.transforms.learned.shaken``). ``units``: the copies
    that each growing space starts as, by default drawn evenly from ``generator``. ``only``: the
    parameters of a layer that it maps, by default all.

    ConfigError for a space that occurs in two numbers of blocks, neither of them 1.
    """

    def __init__(
        self,
        old: Anatomy,
        new: Anatomy,
        generator: Generator,
        *,
        noise: float = 0.01,
        units: Mapping[str, Units] | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        super().__init__(old, new)
        require_between("noise", noise, 0, 1)
        if units is None:
            even = fpi(old, new, generator).units
            units = {space: own for space, own in even.items() if isinstance(own, Units)}
        chosen = units
        self.layer = {name: old.layer[name] for name in old.layer if only is None or name in only}
        self.deeper = new.depth != old.depth
        self.blocks: dict[str, int] = {}
        """Blocks of each space that grows."""
        self.shares: dict[str, Tensor] = {}
        for axis in _axes(old):
            if axis.space in chosen:
                assert axis.space is not None
                self.blocks[axis.space] = max(axis.blocks, self.blocks.get(axis.space, 1))
                self.shares[axis.space] = chosen[axis.space].shares.repeat_interleave(axis.each)
        for axis in _axes(old):
            count = self.blocks.get(axis.space or "", axis.blocks)
            allowed = f"1 or {count}"
            require(axis.blocks in (1, count), f"blocks of {axis.space}", axis.blocks, allowed)
        each = {axis.space: axis.each for axis in _axes(old)}
        for space, count in self.blocks.items():
            copies = chosen[space].out().entries(each[space]).index
            entries = old.widths[space] * each[space]
            for block in range(count):
                start = torch.eye(entries)[copies]
                self.learn(f"width:{space}:{block}", shaken(start, noise, generator), entries)
        if self.deeper:
            start = torch.eye(old.depth)[list(stacked(old.depth, new.depth).parents)]
            for name, axes in self.layer.items():
                for block in range(_blocks(axes)):
                    key = _depth(name, block)
                    if key not in self.parts:
                        self.learn(key, shaken(start, noise, generator), old.depth)

    def weights(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the large model's weights, differentiable in the map's parameters.

        Each old layer is widened once, then mixed.
        """
        made = {name: self._widened(source[name], axes) for name, axes in self.old.rest.items()}
        for name, axes in self.layer.items():
            olds = range(self.old.depth)
            wide = [self._widened(source[self.old.name(j, name)], axes) for j in olds]
            for layer, tensor in enumerate(self._mixed(name, axes, wide)):
                made[self.new.name(layer, name)] = tensor
        return made

    def parents(self) -> dict[str, tuple[str, ...]]:
        """Return each parameter's parents; a layer's are all old ones, in a deeper model."""
        made = {}
        for name, axes, olds, news in self._groups():
            rows = [
                self.parts[_depth(name, block)] for block in range(_blocks(axes)) if len(news) > 1
            ]
            for layer, new in enumerate(news):
                dead = bool(rows) and not any(bool(one[layer].any()) for one in rows)
                made[new] = () if dead else tuple(olds)
        return made

    @torch.no_grad()
    def applied(
        self, source: Mapping[str, Tensor], kind: Kind = 0, held: Held | None = None
    ) -> dict[str, Tensor]:
        """Return weights or moments that the map makes, one kind of parameter after the other."""
        made: dict[str, Tensor] = {}
        held = {} if held is None else held
        for name, axes, parents, children in self._groups():
            if not source.keys() >= {*parents}:
                continue
            olds = [source[parent] for parent in parents]
            factors = Factors(kind, olds[0].dtype, held)
            shape = [
                length if axis.space is None else self.new.entries(axis)
                for length, axis in zip(olds[0].shape, axes, strict=True)
            ]
            news = [olds[0].new_empty(shape) for _ in children]
            for blocks in product(*(range(axis.blocks) for axis in axes)):
                mix = None
                if len(news) > 1:
                    depth = _depth(name, blocks[_packed(axes)])
                    mix = factors.side(depth, self.parts[depth]).all()
                spread(
                    [_block(old, axes, blocks) for old in olds],
                    [self._side(factors, *one) for one in zip(axes, blocks, strict=True)],
                    mix,
                    [_block(new, axes, blocks) for new in news],
                )
            made.update(zip(children, news, strict=True))
        return made

    def _groups(self) -> Iterator[tuple[str, tuple[Axis, ...], list[str], list[str]]]:
        """Yield name, axes, parents and children of what is made together."""
        for name, axes in self.old.rest.items():
            yield name, axes, [name], [name]
        for name, axes in self.layer.items():
            olds, news = (
                [one.name(layer, name) for layer in range(one.depth)]
                for one in (self.old, self.new)
            )
            if self.deeper:
                yield name, axes, olds, news
            else:
                for old, new in zip(olds, news, strict=True):
                    yield name, axes, [old], [new]

    def _side(self, factors: Factors, axis: Axis, block: int) -> Side | None:
        """The map of a block of an axis; None where its space does not grow."""
        if axis.space not in self.blocks:
            return None
        count = self.blocks[axis.space]
        name = f"width:{axis.space}:{block if axis.blocks == count else count - 1}"
        shares = None if axis.way == "out" else self.shares[axis.space]
        return factors.side(name, self.parts[name], shares)

    @torch.no_grad()
    def lines(self) -> dict[str, Line]:
        """Return the map as it now is, a line a parameter of the large model."""
        found: dict[tuple[Axis, int | None], AxisMap] = {}  # one a map: its dual costs an inverse

        def maps_of(axes: tuple[Axis, ...], block: int | None = None) -> tuple[AxisMap, ...]:
            for axis in axes:
                key = axis, block if axis.blocks > 1 else None
                if key not in found:
                    found[key] = self._map(*key)
            return tuple(found[axis, block if axis.blocks > 1 else None] for axis in axes)

        made: dict[str, Line] = {
            name: (Term(name, maps_of(axes)),) for name, axes in self.old.rest.items()
        }
        for name, axes in self.layer.items():
            blocks = range(_blocks(axes)) if self.deeper else [None]
            maps = {b: maps_of(axes, b) for b in blocks}
            factors = {
                b: (self.parts[_depth(name, b)], Dense(self.parts[_depth(name, b)]).dual)
                for b in blocks
                if b is not None
            }
            for layer in range(self.new.depth):
                terms: list[Term] = []
                for block in blocks:
                    if block is None:
                        terms.append(Term(self.old.name(layer, name), maps[block]))
                        continue
                    scale, dual = factors[block]
                    terms += [
                        Term(
                            self.old.name(j, name),
                            maps[block],
                            float(scale[layer, j]),
                            float(dual[layer, j]),
                        )
                        for j in range(self.old.depth)
                    ]
                made[self.new.name(layer, name)] = tuple(terms)
        return made

    def _matrices(self, axis: Axis) -> list[Tensor]:
        """The maps of an axis, a block each; none where its space does not grow."""
        if axis.space not in self.blocks:
            return []
        count = self.blocks[axis.space]
        first = 0 if axis.blocks == count else count - 1
        found = [self.parts[f"width:{axis.space}:{block}"] for block in range(first, count)]
        if axis.way == "out":
            return found
        return [self.shares[axis.space].to(one)[:, None] * one for one in found]

    def _widened(self, tensor: Tensor, axes: tuple[Axis, ...]) -> Tensor:
        for dim, axis in enumerate(axes):
            matrices = self._matrices(axis)
            if matrices:
                parts = tensor.chunk(len(matrices), dim)
                tensor = torch.cat(
                    [
                        torch.tensordot(matrix.to(part), part, dims=([1], [dim])).movedim(0, dim)
                        for matrix, part in zip(matrices, parts, strict=True)
                    ],
                    dim,
                )
        return tensor

    def _mixed(self, name: str, axes: tuple[Axis, ...], wide: list[Tensor]) -> list[Tensor]:
        """The new layers' tensors from the widened old ones, by each block's coefficients."""
        if not self.deeper:
            return wide
        count, dim = _blocks(axes), _packed(axes)
        olds = torch.stack(wide)
        parts = [
            torch.tensordot(self.parts[_depth(name, block)].to(part), part, dims=([1], [0]))
            for block, part in enumerate(olds.chunk(count, dim + 1))
        ]
        return list(torch.cat(parts, dim + 1))

    def _map(self, axis: Axis, block: int | None = None) -> AxisMap:
        """The map of an axis; of a packed one, that of ``block`` alone, if it is given."""
        matrices = self._matrices(axis)
        alone = block is not None and axis.blocks > 1
        if not matrices:
            if block is None or not alone or axis.space is None:
                return None
            length = self.old.widths[axis.space] * axis.each
            entries = torch.arange(length * axis.blocks)
            ones = torch.ones(len(entries), dtype=torch.float64)
            kept = torch.eq(entries // length, block)
            return Copies(entries, ones, ones).only(kept)
        if not alone:
            return Dense(torch.block_diag(*matrices))
        assert block is not None
        one = matrices[block]
        high, wide = one.shape
        shape = (high * axis.blocks, wide * axis.blocks)
        return Placed.at(Dense(one), (block * high, block * wide), shape)


def _axes(anatomy: Anatomy) -> list[Axis]:
    """All axes that lie in a space."""
    every = [*anatomy.layer.values(), *anatomy.rest.values()]
    return [axis for axes in every for axis in axes if axis.space is not None]


def _block(tensor: Tensor, axes: tuple[Axis, ...], blocks: tuple[int, ...]) -> Tensor:
    """A view of a block of each axis."""
    for dim, (axis, block) in enumerate(zip(axes, blocks, strict=True)):
        length = tensor.shape[dim] // axis.blocks
        tensor = tensor.narrow(dim, block * length, length)
    return tensor


def _packed(axes: tuple[Axis, ...]) -> int:
    """Where the axis of several blocks is; 0 where there is none."""
    return max(range(len(axes)), key=lambda dim: axes[dim].blocks)


def _blocks(axes: tuple[Axis, ...]) -> int:
    return axes[_packed(axes)].blocks


def _depth(name: str, block: int) -> str:
    """Name of the coefficients of a parameter's kind: those of its module and block."""
    module = name.rpartition(".")[0] or name
    return f"depth:{module.replace('.', '/')}:{block}"
