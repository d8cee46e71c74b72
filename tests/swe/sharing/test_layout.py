"""Owner tables: AxB written out, splits, and a state machine that only ever refines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.schedule import ScheduleState


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
    ("groups", "owner", "uses"),
    [
        ((2,), (0, 1, 2, 2, 1, 0), (2, 2, 2)),
        ((3,), (0, 1, 2, 0, 1, 2, 2, 1, 0), (3, 3, 3)),
        ((1, 1), (0, 1, 2, 3, 4, 5), (1,) * 6),
        ((1, 2), (0, 1, 2, 3, 4, 5, 5, 4, 3), (1,) * 3 + (2,) * 3),
        ((2, 1), (0, 1, 2, 0, 1, 2, 3, 4, 5), (2,) * 3 + (1,) * 3),
    ],
)
def test_a_last_repeat_that_runs_backwards(
    groups: tuple[int, ...], owner: tuple[int, ...], uses: tuple[int, ...]
) -> None:
    """Takase and Kiyono's 1 2 3 3 2 1 and 1 2 3 1 2 3 3 2 1, whole, split and untied."""
    layout = Layout(len(owner), 3, groups, last_reversed=True)
    assert (layout.owner, layout.uses) == (owner, uses)
    tied = Layout.tied(layout.depth, 3, last_reversed=True)
    assert layout.parents(tied) == tuple(tied.owner[owner.index(b)] for b in range(len(uses)))
    forward = list(range(layout.depth - 3))
    assert layout.in_units(range(layout.depth)) == [*forward, *reversed(range(layout.depth)[-3:])]


def test_a_turned_layout_is_named_and_is_another_one() -> None:
    turned, plain = Layout.tied(6, 3, last_reversed=True), Layout.tied(6, 3)
    assert (str(turned), str(plain), str(turned.untie())) == ("3x2 (rev)", "3x2", "6x1")
    assert str(Layout.tied(9, 3, last_reversed=True).split([0])) == "3x(1+2) (rev)"
    assert not turned.refines(plain)
    assert not plain.untie().refines(turned)
    assert turned.untie().refines(turned)


def test_files_tell_of_the_turn_where_there_is_one() -> None:
    """Layouts of before are read, and written as they were."""
    before = {"depth": 6, "unit": 3, "groups": [2]}
    assert Layout.from_json(before) == Layout.tied(6, 3)
    assert list(Layout.tied(6, 3).to_json().items()) == list(before.items())
    turned = Layout.tied(6, 3, last_reversed=True)
    assert turned.to_json() == before | {"last_reversed": True}
    assert ScheduleState(turned).to_json()["layout"] == turned.to_json()
    assert ScheduleState.from_json(ScheduleState(turned).to_json()).layout == turned


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Layout.tied(6, 1, last_reversed=True), r"last_reversed = True: must be false"),
        (lambda: Layout.tied(6, 6, last_reversed=True), r"last_reversed = True: must be false"),
        (lambda: Layout.tied(6, 3).in_units([0, 1]), r"items = 2: must be one a layer \(6\) or"),
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
def test_impossible_layouts_are_refused_by_name(call: Callable[[], object], message: str) -> None:
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

    @initialize(unit=st.integers(1, 3), repeats=st.integers(1, 9), turned=st.booleans())
    def begin(self, unit: int, repeats: int, turned: bool) -> None:
        turned = turned and unit > 1 and repeats > 1
        self.layout = Layout.tied(unit * repeats, unit, last_reversed=turned)
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
        assert list(dict.fromkeys(self.layout.owner)) == list(range(self.layout.block_count))
        assert sum(self.layout.uses) == self.layout.depth

    @invariant()
    def layers_share_at_one_place_of_the_unit(self) -> None:
        """Put in units, layer and block tables are those of a stack that runs forward."""
        plain = replace(self.layout, last_reversed=False)
        layers, blocks = (self.layout.in_units(range(n)) for n in (plain.depth, plain.block_count))
        owner = [self.layout.owner[layer] for layer in layers]
        assert owner == [blocks[block] for block in plain.owner]
        assert [self.layout.uses[block] for block in blocks] == list(plain.uses)

    @invariant()
    def every_layout_refines_all_earlier_ones(self) -> None:
        for earlier in self.history:
            parents = self.layout.parents(earlier)
            assert [parents[b] for b in self.layout.owner] == list(earlier.owner)


TestSplittingGroups = SplittingGroups.TestCase
