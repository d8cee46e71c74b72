"""The plan's formulas: against models that are built, a ring that passes parts on, and schedules
that decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from bert.model.config import Placement, named_config
from bert.model.encoder import build_bert
from bert.study.plan_model import (
    BACKWARD,
    Bounds,
    Phases,
    gradient_bytes,
    memory,
    parameters,
    ring_seconds,
    update_seconds,
)
from swe.base.files import read_json
from swe.sharing.layout import Layout
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    Schedule,
    ShamUntie,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.sharing.share_then_unshare import prepare

RECORDS = Path(__file__).resolve().parents[3] / "records"


@pytest.mark.parametrize("placement", get_args(Placement))
@pytest.mark.parametrize("unit", [1, 2, 3, 6])
def test_parameters_are_those_of_a_built_model(placement: Placement, unit: int) -> None:
    shape = replace(named_config("6x32", vocabulary=100), placement=placement)
    model = build_bert(shape, 0)
    prepare(model.stack, AlwaysShared(unit=unit))
    built = sum(p.numel() for p in model.parameters())
    assert parameters(shape, Layout.tied(6, unit)) == built


@pytest.mark.parametrize("groups", [(6,), (1, 5), (2, 2, 2), (1,) * 6])
def test_bytes_are_those_of_the_groups(groups: tuple[int, ...]) -> None:
    shape = named_config("6x32", vocabulary=64)
    model = build_bert(shape, 0)
    blocks = len(groups)
    layer = sum(p.numel() for p in model.stack.blocks[0].parameters())
    rest = sum(p.numel() for p in model.parameters()) - 6 * layer
    assert gradient_bytes(shape, Layout(6, 1, groups)) == 4 * (rest + blocks * layer)


@pytest.mark.parametrize("name", ["communication", "ranks-2", "ranks-4"])
def test_bytes_are_those_that_ranks_sent(name: str) -> None:
    record = read_json(RECORDS / f"{name}.json")
    shape = named_config(record["size"])
    assert len(record["updates"]) == 4
    for update in record["updates"]:
        unit, repeats = map(int, update["layout"].split("x"))
        layout = Layout.tied(unit * repeats, unit) if unit == 1 else Layout.untied(unit)
        assert gradient_bytes(shape, layout) == update["all_reduced_bytes"]


def test_memory_is_what_was_counted() -> None:
    """Beside a step counter of four bytes for every tensor, which is no parameter's."""
    found = read_json(RECORDS / "memory.json")["cases"]["untied"]["bytes"]
    shape = named_config("large", placement="post")
    counters = 4 * len(list(build_bert(replace(shape, hidden=16, heads=1), 0).parameters()))
    held = memory(shape, 0, 1.0)
    assert held.state == sum(found.values()) - counters
    assert memory(shape, 10, 3.0).activations == 10 * 3.0 * 24 * 1024


def passed_on(ranks: int, part: int) -> tuple[list[list[int]], list[int]]:
    """Average by passing parts round a ring; returns what each rank holds, and sent in bytes."""
    held = [[(rank + 1) * 10**index for index in range(ranks)] for rank in range(ranks)]
    sent = [0] * ranks
    for hand_round in (False, True):
        for turn in range(ranks - 1):
            first = 1 if hand_round else 0
            moved = [((r + first - turn) % ranks, held[r]) for r in range(ranks)]
            values = [(index, values[index]) for index, values in moved]
            for rank, (index, value) in enumerate(values):
                target = held[(rank + 1) % ranks]
                target[index] = value if hand_round else target[index] + value
                sent[rank] += part
    return held, sent


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_a_ring_sends_what_the_formula_says(ranks: int) -> None:
    part = 12
    held, sent = passed_on(ranks, part)
    total = sum(range(1, ranks + 1))
    assert held == [[total * 10**index for index in range(ranks)]] * ranks, "it did add up"
    payload = part * ranks
    assert sent == pytest.approx([ring_seconds(payload, ranks, 1.0)] * ranks, abs=1e-9)


def overlapped(compute: float, micro: int, reduce: float, buckets: Sequence[float]) -> float:
    """Seconds of an update whose buckets are ready at those parts of the last backward pass and
    are sent one after the other."""
    backward = BACKWARD * compute / micro
    sending = 0.0
    for ready in buckets:
        at = compute - backward + ready * backward
        sending = max(sending, at) + reduce / len(buckets)
    return max(sending, compute)


@pytest.mark.parametrize("micro", [1, 4])
@pytest.mark.parametrize("reduce", [0.0, 0.1, 0.5, 3.0])
def test_bounds_hold_for_every_way_to_send(micro: int, reduce: float) -> None:
    bounds = update_seconds(1.2, micro, reduce, tied=False)
    ways = [[(i + 1) / n for i in range(n)] for n in (1, 2, 7, 500)] + [[0.0] * 3]
    times = [overlapped(1.2, micro, reduce, way) for way in ways]
    assert all(bounds.low - 1e-12 <= time <= bounds.high + 1e-12 for time in times)
    assert times[0] == pytest.approx(bounds.high), "one bucket, at the end: the most"
    assert times[-1] == pytest.approx(bounds.low), "all at the beginning: the least"
    assert update_seconds(1.2, micro, reduce, tied=True) == Bounds(times[0], times[0])


@pytest.mark.parametrize(
    "schedule",
    [
        NeverShared(),
        EqualStart(),
        AlwaysShared(unit=2),
        SweFixed(until=0.3),
        SweFixed(until=7, unit=3),
        ShamUntie(until=0.5),
        SweAdaptive(interval=4),
        SweAdaptive(interval=30, patience=3),
        SweMultistage(interval=5, patience=2),
    ],
    ids=lambda one: f"{one.kind} {getattr(one, 'interval', '')}{getattr(one, 'until', '')}",
)
def test_phases_are_those_of_the_schedule(schedule: Schedule) -> None:
    """Its decisions at the lowest and the highest correlations, update by update."""
    depth, steps = 6, 60
    counts = []
    for correlation in (-1.0, 1.0):
        state, tied = schedule.start(depth), 0
        for step in range(steps):
            seen = (correlation,) * (state.layout.repeats - 1)
            state = schedule.decide(state, step, steps, seen)
            tied += not state.layout.is_untied
        counts.append(tied)
    phases = Phases.of(schedule, depth, steps)
    assert [phases.tied, phases.tied + phases.either] == sorted(counts)
    assert phases.tied + phases.untied + phases.either == steps


def test_a_run_takes_its_phases_times() -> None:
    tied, untied = Bounds(3.0, 3.0), Bounds(2.0, 5.0)
    assert Phases(2, 3).seconds(tied, untied) == Bounds(12.0, 21.0)
    assert Phases(1, 0, 4).seconds(tied, untied) == Bounds(11.0, 23.0)
    dear = Bounds(7.0, 7.0)
    assert Phases(0, 0, 2).seconds(dear, untied) == Bounds(4.0, 14.0)
