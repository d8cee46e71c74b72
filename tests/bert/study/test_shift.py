"""What leaving later costs at the end: exact on a law, by seeds, and on the page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bert.study.beginning import Beginning, beginning
from bert.study.leaving import leaving
from bert.study.shift import baselines, shifted
from figures.pages.shift import table as page
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared
from tests.bert.study.test_leaving import curve
from theory.models import draws

STEPS = 1000
BUDGETS = {"baseline x0.5": 0.5, "baseline": 1.0, "baseline x2": 2.0}
LEFT = {"baseline": [400.0, 420.0, 440.0], "equal-start": [450.0, 460.0, 500.0]}
LEFT["always-shared"] = [500.0, 540.0, 560.0]


def law(clock: float, seed: int) -> float:
    """A line in log clock: what a monotone cubic keeps."""
    return 8.0 + 0.1 * seed - 0.7 * math.log(clock)


def begun(name: str) -> Beginning:
    schedules = {"equal-start": EqualStart(), "always-shared": AlwaysShared()}
    return beginning(schedules.get(name, NeverShared()), 4, round(STEPS * BUDGETS.get(name, 1.0)))


def at_peak(update: float) -> float:
    return float(np.interp(update, np.arange(STEPS + 1), begun("baseline").clock(0.1)))


def end(name: str, seed: int) -> float:
    """Final loss: by the law, of a clock shorter by the delay; 0.1 above if tied to the end."""
    clock = float(begun(name).clock(0.1)[-1])
    late = at_peak(LEFT[name][seed]) - at_peak(LEFT["baseline"][seed]) if name in LEFT else 0.0
    return law(clock - late, seed) + (0.1 if name == "always-shared" else 0.0)


def study() -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Beginning]]:
    names = [*BUDGETS, "equal-start", "always-shared"]
    arms = {
        name: {
            "budget": BUDGETS.get(name, 1.0),
            "rate": 0.002,
            "values": {str(seed): end(name, seed) for seed in range(3)},
        }
        for name in names
    }
    table = {
        "study": {"warmup": 0.1},
        "reference": "baseline",
        "arms": arms,
        "blind": {"loss": 4.0},
    }
    runs = [
        {"arm": name, "seed": seed, "valid": curve(at), "untied": [], "probe": PROBE}
        for name, found in LEFT.items()
        for seed, at in enumerate(found)
    ]
    return table, runs, {name: begun(name) for name in names}


PROBE = {"step": [0], "correlations": [[0.9]]}


def test_an_arm_is_told_by_its_delay() -> None:
    found = leaving(*study())
    rows = {row["arm"]: row for row in found["arms"]}
    assert "gap" not in rows["baseline"]
    equal, always = rows["equal-start"], rows["always-shared"]
    assert equal["left_over"]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert always["left_over"]["mean"] == pytest.approx(0.1, abs=1e-9)
    assert always["left_over"]["low"] == pytest.approx(0.1, abs=1e-9)
    for row in (equal, always):
        assert row["gap"]["mean"] - row["told"]["mean"] == pytest.approx(row["left_over"]["mean"])
        assert row["gap"]["n"] == 3
    gaps = [end("equal-start", seed) - end("baseline", seed) for seed in range(3)]
    assert equal["gap"]["mean"] == pytest.approx(np.mean(gaps))
    assert found["curve"][0] == pytest.approx([251.0, law(251.0, 1)])
    assert found["curve"][-1][0] == pytest.approx(1001.0)
    assert found["budgets"] == pytest.approx([251.0, 501.0, 1001.0])


def test_the_gap_is_foretold_from_the_baseline_alone() -> None:
    found = leaving(*study())
    row = next(row for row in found["arms"] if row["arm"] == "equal-start")
    clock = float(begun("baseline").clock(0.1)[-1])
    late = float(draws.delay(4, 1, 1)) * found["fold"]
    assert row["foretold"]["gap"] == pytest.approx([0.0, law(clock - late, 1) - law(clock, 1)])


def test_one_budget_another_rate_and_no_common_seed_tell_nothing() -> None:
    table, runs, begins = study()
    for name in ("baseline x0.5", "baseline x2"):
        table["arms"][name]["rate"] = 0.004
    assert baselines(table, begins) is None
    found = leaving(table, runs, begins)
    assert "curve" not in found
    assert all("gap" not in row for row in found["arms"])
    table["arms"]["baseline x2"] |= {"rate": 0.002, "values": {"7": 3.0}}
    assert baselines(table, begins) is None


def test_seeds_outside_of_the_budgets_are_left_out() -> None:
    table, _, begins = study()
    known = baselines(table, begins)
    assert known is not None
    losses = table["arms"]["equal-start"]["values"]
    assert shifted(known, losses, {0: 10.0, 1: 20.0, 2: 400.0}, known.clock)["told"]["n"] == 2
    assert shifted(known, losses, {0: 10.0, 1: 600.0, 2: 400.0}, known.clock) == {}
    assert shifted(known, losses, {8: 10.0, 9: 20.0}, known.clock) == {}


def test_on_the_page() -> None:
    text = page({"leaving": leaving(*study())})
    assert "| always shared | 3 |" in text
    assert r"| +0.100 \[+0.100, +0.100\] |" in text
    assert "baseline |" not in text
    assert page({"leaving": {}}) == page({}) == "not run"
    table, runs, begins = study()
    for name in ("baseline x0.5", "baseline x2"):
        del table["arms"][name]
    assert page({"leaving": leaving(table, runs, begins)}) == "not run"
