"""Owner tables: AxB written out, splits, and a state machine that only ever refines."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout


@pytest.mark.parametrize(
    ("name", "owner", "uses"),
    [
        ("6x1", (0, 1, 2, 3, 4, 5), (1, 1, 1, 1, 1, 1)),
        ("3x2", (0, 1, 2, 0, 1, 2), (2, 2, 2)),
        ("2x3", (0, 1, 0, 1, 0, 1), (3, 3)),
        ("1x6", (0, 0, 0, 0, 0, 0), (6,)),
    ],
)
def test_units_of_a_six_layer_stack(
    name: str, owner: tuple[int, ...], uses: tuple[int, ...]
) -> None:
    layout = Layout.parse(name)
    assert layout.owner == owner
    assert layout.uses == uses
    assert str(layout) == name


def test_split_cuts_after_the_named_repeat() -> None:
    layout = Layout.tied(6).split([1, 3])
    assert layout.groups == (2, 2, 2)
    assert layout.owner == (0, 0, 1, 1, 2, 2)
    assert layout.split([3]) == layout
    assert layout.split([0]).owner == (0, 1, 2, 2, 3, 3)
    assert layout.split([0]).parents(layout) == (0, 0, 1, 2)


def test_split_of_units_keeps_the_unit_together() -> None:
    layout = Layout.parse("2x3").split([0])
    assert layout.owner == (0, 1, 2, 3, 2, 3)
    assert layout.parents(Layout.parse("2x3")) == (0, 1, 0, 1)
    assert layout.untie().owner == (0, 1, 2, 3, 4, 5)
    assert layout.untie().parents(layout) == (0, 1, 2, 3, 2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Layout.tied(12, 5), r"unit = 5: must be a divisor of depth 12"),
        (lambda: Layout.tied(12, 13), r"unit = 13: must be an integer, at least 1 and at most 12"),
        (lambda: Layout.tied(0), r"depth = 0"),
        (lambda: Layout(6, 1, (2, 3)), r"groups = \(2, 3\): must be positive sizes .* to 6"),
        (lambda: Layout.parse("2*3"), r'sharing unit = \'2\*3\': must be of the form "AxB"'),
        (lambda: Layout.tied(4).split([3]), r"boundary = 3: must be in 0..2"),
        (lambda: Layout.tied(4).parents(Layout.untied(4)), r"does not refine"),
        (lambda: Layout.untied(4).parents(Layout.untied(6)), r"does not refine"),
    ],
)
def test_impossible_layouts_are_refused_by_name(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        call()


@given(unit=st.integers(1, 6), repeats=st.integers(1, 12))
def test_unit_algebra(unit: int, repeats: int) -> None:
    """AxB uses A blocks B times each; layer i and i + A run the same block."""
    layout = Layout.parse(f"{unit}x{repeats}")
    owner = layout.owner
    assert len(owner) == unit * repeats
    assert layout.block_count == unit
    assert set(layout.uses) == {repeats}
    assert all(owner[i] == i % unit for i in range(len(owner)))
    assert layout.untie().owner == tuple(range(unit * repeats))


class SplittingGroups(RuleBasedStateMachine):
    """Any sequence of splits, saves and loads: a contiguous partition that only refines."""

    @initialize(unit=st.integers(1, 3), repeats=st.integers(1, 9))
    def begin(self, unit: int, repeats: int) -> None:
        self.layout = Layout.tied(unit * repeats, unit)
        self.history = [self.layout]

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        if self.layout.repeats > 1:
            cuts = data.draw(st.sets(st.integers(0, self.layout.repeats - 2)))
            before = self.layout
            self.layout = before.split(cuts)
            assert set(self.layout.boundaries) == set(before.boundaries) | cuts
            self.history.append(self.layout)

    @rule()
    def untie(self) -> None:
        self.layout = self.layout.untie()
        self.history.append(self.layout)

    @rule()
    def save_and_load(self) -> None:
        self.layout = Layout.from_json(json.loads(json.dumps(self.layout.to_json())))

    @invariant()
    def groups_are_contiguous_and_cover_the_stack(self) -> None:
        group_of = self.layout.group_of
        assert len(group_of) == self.layout.repeats
        assert all(b - a in (0, 1) for a, b in pairwise(group_of))
        assert sorted(set(self.layout.owner)) == list(range(self.layout.block_count))
        assert sum(self.layout.uses) == self.layout.depth

    @invariant()
    def every_layout_refines_all_earlier_ones(self) -> None:
        for earlier in self.history:
            parents = self.layout.parents(earlier)
            assert [parents[b] for b in self.layout.owner] == list(earlier.owner)


TestSplittingGroups = SplittingGroups.TestCase
