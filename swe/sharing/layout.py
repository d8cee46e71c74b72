"""Which logical layer uses which block: the owner table, units AxB, groups and splits.

Paper, section "Sharing unit": a stack of ``depth`` layers is cut into units of A consecutive
layers; the unit is used B = depth / A times ("AxB": 24x1 shares nothing, 1x24 shares all).
SWE-M adds groups: the B repeats form a contiguous partition into groups, and only repeats of one
group share. So a layout is (depth, unit, groups), and the owner table follows::

    layer = repeat * A + j   ->   block = group_of(repeat) * A + j

CYCLE (REV) of Takase and Kiyono (arXiv 2104.06022) is one bit more: of the last repeat layer j is
at place A - 1 - j of the unit, and shares with the layers there. Its blocks are numbered backwards
only while they are somebody else's too; so blocks are numbered in the order in which they first
run, in every layout, and an untied stack's are 0 .. depth - 1.

Every transition refines the partition; nothing is ever tied again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, TypeVar

from swe.base.config import LATER, from_dict, require, require_count, to_dict
from swe.base.errors import ConfigError

T = TypeVar("T")

DEEPEST = 10**6
"""Layers of a stack: a table is kept of them."""


@dataclass(frozen=True)
class Layout:
    """Owner table of a stack: ``groups`` are the sizes, in repeats, of the groups that share.

    A stack of ``depth`` layers is ``depth // unit`` repeats of a unit of A = ``unit`` layers: the
    paper's AxB (Yang et al., arXiv 2110.03848, Table 4). With ``last_reversed`` the last repeat
    runs its unit backwards, 1 2 3 3 2 1 (CYCLE (REV) of Takase and Kiyono, arXiv 2104.06022).
    Raises ConfigError when the unit does not divide the depth, the groups do not add up, or there
    is nothing to turn round.
    """

    depth: int
    unit: int
    groups: tuple[int, ...]
    last_reversed: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        require_count("depth", self.depth, 1, DEEPEST)
        require_count("unit", self.unit, 1, self.depth)
        require(self.depth % self.unit == 0, "unit", self.unit, f"a divisor of depth {self.depth}")
        sizes_fit = all(size >= 1 for size in self.groups) and sum(self.groups) == self.repeats
        require(sizes_fit, "groups", self.groups, f"positive sizes that add up to {self.repeats}")
        turns = self.unit > 1 and self.repeats > 1
        allowed = f"false for a unit of {self.unit} in {self.depth} layers: both orders are one"
        require(turns or not self.last_reversed, "last_reversed", self.last_reversed, allowed)

    @classmethod
    def tied(cls, depth: int, unit: int = 1, *, last_reversed: bool = False) -> Layout:
        """All ``depth // unit`` repeats share one unit of ``unit`` layers (AxB with A = unit)."""
        require_count("depth", depth, 1, DEEPEST)
        require_count("unit", unit, 1, depth)
        return cls(depth, unit, (depth // unit,), last_reversed)

    @classmethod
    def untied(cls, depth: int, unit: int = 1) -> Layout:
        """Every layer owns its block."""
        return cls.tied(depth, unit).untie()

    @classmethod
    def parse(cls, name: str) -> Layout:
        """Read the paper's notation "AxB", as in "2x12". Raises ConfigError for other text."""
        parts = name.lower().split("x")
        good = len(parts) == 2 and all(part.isdecimal() and int(part) > 0 for part in parts)
        require(good, "sharing unit", name, 'of the form "AxB", A and B positive')
        unit, repeats = map(int, parts)
        return cls.tied(unit * repeats, unit)

    @property
    def repeats(self) -> int:
        """How often the unit occurs in the stack (B of AxB)."""
        return self.depth // self.unit

    @property
    def group_of(self) -> tuple[int, ...]:
        """Group index of each repeat, (repeats,)."""
        return tuple(g for g, size in enumerate(self.groups) for _ in range(size))

    @property
    def owner(self) -> tuple[int, ...]:
        """Block index of each logical layer, (depth,), in the order in which blocks first run."""
        table = [g * self.unit + j for g in self.group_of for j in range(self.unit)]
        if self.runs_backwards:
            table[-self.unit :] = table[-self.unit :][::-1]
        return tuple(table)

    @property
    def runs_backwards(self) -> bool:
        """Whether blocks are run in another order than a stack that runs forward has."""
        return self.last_reversed and self.groups[-1] > 1

    @property
    def block_count(self) -> int:
        """Number of distinct blocks."""
        return len(self.groups) * self.unit

    @property
    def uses(self) -> tuple[int, ...]:
        """How many logical layers run each block, (block_count,)."""
        return tuple(size for size in self.groups for _ in range(self.unit))

    @property
    def is_untied(self) -> bool:
        """Whether every layer owns its block."""
        return len(self.groups) == self.repeats

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Last repeat of every group but the last: where the stack is cut already."""
        return tuple(end - 1 for end in accumulate(self.groups))[:-1]

    def in_units(self, items: Sequence[T]) -> list[T]:
        """Order what is given one a layer, or one a block, by repeats (groups), each as its unit.

        Then ``[j :: unit]`` are those at place j of the unit, one a repeat, tied or not: which may
        share, and are compared. Only a last repeat that runs backwards is not so already.
        """
        ordered, layers = list(items), len(items) == self.depth
        allowed = f"one a layer ({self.depth}) or one a block ({self.block_count})"
        require(layers or len(items) == self.block_count, "items", len(items), allowed)
        if self.last_reversed and (layers or self.groups[-1] == 1):
            ordered[-self.unit :] = ordered[-self.unit :][::-1]
        return ordered

    def untie(self) -> Layout:
        """Give every repeat its own blocks."""
        return replace(self, groups=(1,) * self.repeats)

    def split(self, boundaries: Iterable[int]) -> Layout:
        """Cut after each repeat i in ``boundaries``: {.., i} and {i+1, ..} part (SWE-M).

        Cutting where a cut is already changes nothing. Raises ConfigError for i outside
        0..repeats-2.
        """
        cuts = set(boundaries)
        for cut in cuts:
            require(0 <= cut <= self.repeats - 2, "boundary", cut, f"in 0..{self.repeats - 2}")
        ends = [*sorted(cuts | set(self.boundaries)), self.repeats - 1]
        starts = [0, *(end + 1 for end in ends[:-1])]
        sizes = tuple(end + 1 - start for start, end in zip(starts, ends, strict=True))
        return replace(self, groups=sizes)

    def refines(self, coarser: Layout) -> bool:
        """Whether this layout only splits groups of ``coarser`` (or equals it)."""
        own = (self.depth, self.unit, self.last_reversed)
        same_stack = own == (coarser.depth, coarser.unit, coarser.last_reversed)
        return same_stack and set(coarser.boundaries) <= set(self.boundaries)

    def parents(self, coarser: Layout) -> tuple[int, ...]:
        """For each block here, the block of ``coarser`` that it is copied from.

        Raises ConfigError unless this layout refines ``coarser``: tying again would lose weights.
        """
        if not self.refines(coarser):
            raise ConfigError(f"layout {self} does not refine {coarser}: sharing is never re-made")
        pairs = zip(self.owner, coarser.owner, strict=True)
        return tuple(parent for _, parent in sorted(set(pairs)))

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data; :meth:`from_json` is the inverse."""
        return to_dict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layout:
        """Rebuild a layout from :meth:`to_json`; ConfigError for other data."""
        return from_dict(cls, data, where="layout.")

    def __str__(self) -> str:
        if self.is_untied:
            return f"{self.depth}x1"
        sizes = "+".join(map(str, self.groups))
        times = sizes if len(self.groups) == 1 else f"({sizes})"
        return f"{self.unit}x{times}{' (rev)' if self.last_reversed else ''}"
