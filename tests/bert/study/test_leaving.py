"""When runs leave the plateau: the clock, the level, and what one draw foretells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bert.study.beginning import Beginning, beginning
from bert.study.first_skill import DIMENSIONS, starts
from bert.study.leaving import GAIN, leaving, left_at, ratio
from figures.pages.leaving import table as page
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, Schedule, SweFixed
from swe.transforms.growth import METHODS, Growth
from swe.transforms.same import Keep
from swe.transforms.stage import Stage
from theory.models import adam_draws, draws, grown_draws, noisy_draws

BLIND = 4.0
STEPS = 1000
SCHEDULES: dict[str, Schedule] = {
    "baseline": NeverShared(),
    "equal-start": EqualStart(),
    "swe-f": SweFixed(until=0.1),
    "swe-f 2x2": SweFixed(unit=2, until=0.1),
    "slow": SweFixed(until=0.2),
    "late": SweFixed(until=0.4),
    "always": AlwaysShared(),
}
UNTIED = {"swe-f": [100], "swe-f 2x2": [100], "slow": [200], "late": [400]}
STAGES = {
    "stacking": (Stage(until=0.3, depth=2, growth=METHODS["stacking"]),),
    "identity": (Stage(until=0.3, depth=2, growth=METHODS["identity"]),),
}


def clock(steps: int, warmup: float) -> np.ndarray:
    return beginning(NeverShared(), 4, steps).clock(warmup)


def begun(name: str) -> Beginning:
    """Of four layers; a stage of two costs half."""
    stages = STAGES.get(name, ())
    prices = (0.5, 1.0) if stages else (1.0,)
    return beginning(SCHEDULES.get(name, NeverShared()), 4, STEPS, stages, prices)


def curve(at: float, steps: int = 1000, fold: float = 40.0) -> dict[str, Any]:
    """A gain that grows by e every ``fold`` updates and is GAIN at update ``at``."""
    when = list(range(100, steps + 1, 100))
    return {"step": when, "loss": [BLIND - GAIN * math.exp((t - at) / fold) for t in when]}


def study(
    times: Mapping[str, list[float]],
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Beginning]]:
    """A table, its curves, and how its arms begin."""
    arms = {name: {"budget": 1.0, "rate": 0.001 if name == "slow" else 0.002} for name in times}
    table = {
        "study": {"warmup": 0.1},
        "reference": "baseline",
        "arms": arms,
        "blind": {"loss": BLIND},
    }
    runs = [
        {
            "arm": name,
            "seed": seed,
            "valid": curve(at),
            "untied": UNTIED.get(name, []),
            "probe": {"step": [0, 80, 300, 500], "correlations": [[0.9, 0.7], [0.5], [0.2], [0.1]]},
        }
        for name, found in times.items()
        for seed, at in enumerate(found)
    ]
    return table, runs, {name: begun(name) for name in times}


def test_the_clock_is_the_sum_of_rates_over_the_peak() -> None:
    times = clock(1000, 0.1)
    assert (len(times), times[0]) == (1001, 0.0)
    assert times[100] == pytest.approx(sum(range(1, 101)) / 100)
    assert times[1000] == pytest.approx(times[100] + sum(range(1, 901)) / 900)


def test_left_is_exact_for_an_exponential_gain() -> None:
    """And linear where the gain before is none; its own update where it begins there."""
    assert left_at(**renamed(curve(437.0)), blind=BLIND) == pytest.approx(437.0)
    assert left_at([10, 20], [BLIND + GAIN, BLIND - 3 * GAIN], BLIND) == pytest.approx(15.0)
    assert left_at([10], [0.0], BLIND) == 10.0
    assert left_at([10, 20], [BLIND, BLIND], BLIND) is None


def renamed(found: dict[str, Any]) -> dict[str, Any]:
    """Names of the function's arguments."""
    return {"steps": found["step"], "losses": found["loss"]}


def test_what_is_measured_and_foretold() -> None:
    times = {
        "baseline": [400.0, 420.0, 440.0],
        "equal-start": [500.0, 460.0, 5000.0],
        "swe-f": [510.0, 470.0, 5000.0],
        "swe-f 2x2": [400.0, 430.0, 450.0],
        "slow": [700.0, 710.0, 720.0],
    }
    found = leaving(*study(times))
    rows = {row["arm"]: row for row in found["arms"]}
    assert list(rows) == ["baseline", "equal-start", "swe-f", "swe-f 2x2"]  # slow: another rate
    assert {name: row["drawn"] for name, row in rows.items()} == {
        "baseline": 4, "equal-start": 1, "swe-f": 1, "swe-f 2x2": 2,
    }  # fmt: skip
    assert [row["tied"] for row in found["arms"]] == [False, False, True, True]
    assert {name: (row["left"], row["n"]) for name, row in rows.items()} == {
        "baseline": (3, 3), "equal-start": (2, 3), "swe-f": (2, 3), "swe-f 2x2": (3, 3),
    }  # fmt: skip

    def at_peak(*updates: float) -> np.ndarray:
        return np.interp(updates, np.arange(1001), clock(1000, 0.1))

    base, ends = at_peak(400, 420, 440), at_peak(500, 460, 1000)  # never: at the end
    early = at_peak(*(np.array([400, 420, 440]) - 40 * math.log(4)))
    fold = (base - early).mean() / math.log(4)
    assert found["fold"] == pytest.approx(fold)
    assert rows["baseline"]["deviation"] == pytest.approx(base.std(ddof=1))
    assert "late" not in rows["baseline"]
    equal, tied = rows["equal-start"], at_peak(510, 470, 1000)
    assert equal["late"]["mean"] == pytest.approx((ends - base).mean() / fold)
    assert equal["deviation_ratio"]["mean"] == pytest.approx(ends.std() / base.std())
    assert "over_equal" not in equal
    assert "over_equal" not in rows["swe-f 2x2"]  # another number of draws
    assert rows["swe-f"]["over_equal"]["mean"] == pytest.approx((tied - ends).mean() / fold)
    assert equal["foretold"] == {
        "deviation_ratio": [1.0, pytest.approx(float(draws.spread(1, 1) / draws.spread(4, 1)))],
        "late": [0.0, pytest.approx(1.0)],  # psi(2) - psi(1/2) - log 4
    }
    assert rows["swe-f"]["foretold"] == {"late": [0.0, pytest.approx(1.0 + math.log(4))]}
    assert not any("saved" in row for row in found["arms"])


def test_delays_between_the_ends() -> None:
    """The noise that sets always-shared where it is says where SWE-F lies, by its tau."""
    times = {
        "baseline": [400.0, 420.0, 440.0],
        "equal-start": [410.0, 420.0, 450.0],
        "always": [450.0, 460.0, 490.0],
        "swe-f": [420.0, 430.0, 460.0],
        "late": [445.0, 455.0, 485.0],
    }
    found = leaving(*study(times))
    rows = {row["arm"]: row for row in found["arms"]}
    gap = rows["always"]["over_equal"]["mean"]
    assert "over_equal" not in rows["always"]["foretold"]
    for name, tau in (("swe-f", 100), ("late", 400)):
        kept = math.exp(-clock(STEPS, 0.1)[tau] / found["fold"])
        told = []
        for d in DIMENSIONS:
            noise = noisy_draws.noise_of(4, 1, d, gap)
            late = [noisy_draws.delay(4, 1, d, noise, q) for q in (kept, 1.0)]
            told.append(late[0] - late[1])
        assert rows[name]["foretold"]["over_equal"] == pytest.approx([min(told), max(told)])
        assert 0 < min(told) <= max(told) <= gap
    assert "| Told from the ends |" in page({"leaving": found})
    swapped = leaving(*study(times | {"always": [400.0, 410.0, 440.0]}))
    assert not any("over_equal" in row.get("foretold", {}) for row in swapped["arms"])


def test_what_steps_of_one_length_make_up_for() -> None:
    """By the correlation before the untie, or before it left, where one layer is drawn."""
    base = [400.0, 420.0, 440.0]
    found = leaving(*study(dict.fromkeys(("baseline", "swe-f", "swe-f 2x2", "always"), base)))
    rows = {row["arm"]: row for row in found["arms"]}
    assert [name for name, row in rows.items() if "hastened" in row] == ["swe-f", "always"]
    times = clock(STEPS, 0.1) / found["fold"]
    assert rows["swe-f"]["correlation"] == pytest.approx(0.7)
    gained = (adam_draws.hastening(4, 0.7) - 1) * times[100]
    assert rows["swe-f"]["hastened"]["mean"] == pytest.approx(gained)
    assert rows["always"]["correlation"] == pytest.approx(0.575)  # 500 is after it left
    gained = (adam_draws.hastening(4, 0.575) - 1) * times[[400, 420, 440]].mean()
    assert rows["always"]["hastened"]["mean"] == pytest.approx(gained)
    assert "| Correlation while tied |" in page({"leaving": found})


def test_growth_is_foretold_and_what_it_saves() -> None:
    """Two of four layers until update 300, at half the price, left when the baseline does."""
    base = [400.0, 420.0, 440.0]
    found = leaving(*study({"baseline": base, "stacking": base, "identity": base}))
    stacking, identity = found["arms"][1:]
    assert (stacking["drawn"], stacking["grown"], stacking["tied"]) == (2, "copies", False)
    assert identity["grown"] == "zeros"
    saved = float(np.mean([150 / at for at in base]))
    assert stacking["late"]["mean"] == 0.0
    assert stacking["saved"]["mean"] == pytest.approx(saved)
    most = float(draws.delay(4, 2, 1))
    assert stacking["foretold"]["late"] == [0.0, pytest.approx(most)]
    more = grown_draws.delay(4, 2, 1, 0.0, share=grown_draws.ONE_FACTOR)
    assert identity["foretold"]["late"] == [0.0, pytest.approx(more)]
    assert more > most
    times = clock(STEPS, 0.1)
    then = np.interp(np.interp(base, range(1001), times) + most * found["fold"], times, range(1001))
    least = 1.0 - float(np.mean((then - 150) / base))
    assert stacking["foretold"]["saved"] == [pytest.approx(least), pytest.approx(saved)]
    assert "| Compute saved by then, % | Foretold |" in page({"leaving": found})


def test_beginnings() -> None:
    """What is tied or drawn after the growth, and where the theory is silent."""

    def of(schedule: Schedule, *stages: Stage) -> Beginning:
        return beginning(schedule, 4, 100, stages, (1.0,) * (len(stages) + 1))

    one = Stage(until=0.1, depth=1, growth=METHODS["stacking"])
    assert of(SweFixed(until=0.1), one).tied is False  # untied as it is grown
    assert of(SweFixed(until=0.2), one).tied is True
    assert of(AlwaysShared(unit=2)).drawn == 2
    assert of(EqualStart()).equal
    assert not of(NeverShared(), one).equal
    two = Stage(until=0.3, depth=2, growth=METHODS["interpolation"])
    both = of(NeverShared(), one, two)
    assert [of(AlwaysShared()).until, of(SweFixed(until=0.2)).until] == [100, 20]
    assert [of(NeverShared()).until, of(SweFixed(until=0.1), one).until] == [None, None]
    assert (both.drawn, both.grown, both.phases) == (1, "copies", ((10, 1.0), (20, 1.0), (70, 1.0)))
    zeros = Stage(until=0.3, depth=2, growth=METHODS["identity"])
    for stages in (
        (one, zeros),  # first copies, then zeros
        (Stage(until=0.3, depth=2, widths={"hidden": 8}, growth=Growth(depth="stack")),),
        (Stage(until=0.3, depth=4, trained=2, growth=Keep()),),
    ):
        silent = of(NeverShared(), *stages)
        assert (silent.drawn, silent.grown) == (None, None)


def test_starts_of_arms_differ_by_their_delay() -> None:
    """Without noise by one draw; by nothing but noise not at all, or, tied, by its mean; of SWE
    and of a stack that grows there is none."""
    known = {name: starts(begun(name)) for name in ("baseline", "equal-start", "always")}
    base, equal, tied = (found for found in known.values() if found is not None)
    for d, own, copied, kept in zip(DIMENSIONS, base, equal, tied, strict=True):
        late = float(draws.delay(4, 1, d))
        assert own[0] == own[1] == copied[1]
        assert own[0] - copied[0] == pytest.approx(late)
        assert kept[0] == copied[0]
        assert own[1] - kept[1] == pytest.approx(late + math.log(4))
    assert [starts(begun(name)) for name in ("swe-f", "stacking")] == [None, None]
    scaled = starts(beginning(NeverShared(), 4, STEPS, scale=0.5))
    assert scaled is not None
    assert base[0][0] - scaled[0][0] == pytest.approx(math.log(2))
    row = leaving(*study({"baseline": [400.0, 420.0, 440.0]}))["arms"][0]
    assert row["start"] == base
    assert row["times"] == pytest.approx(np.interp([400, 420, 440], range(1001), clock(1000, 0.1)))


def test_how_far_behind_at_every_further_gain() -> None:
    """Exponential gains: a later one is behind by what it was; no level that a run misses."""
    base, late = [400.0, 420.0, 440.0], [460.0, 450.0, 500.0]
    table, runs, begins = study({"baseline": base, "equal-start": late})
    found = leaving(table, runs, begins)["arms"][1]["behind"]
    assert [each["gain"] for each in found] == [k * GAIN for k in range(1, 16)], "no loss below 0"
    times = clock(STEPS, 0.1)
    for each in (found[0], found[3], found[-1]):
        more = 40 * math.log(each["gain"] / GAIN)
        one, two = (np.interp(np.array(at) + more, range(1001), times) for at in (late, base))
        assert each["mean"] == pytest.approx((one - two).mean())
        assert each["n"] == 3
    never = leaving(*study({"baseline": base, "equal-start": [460.0, 450.0, 5000.0]}))
    assert never["arms"][1]["behind"] == []


@pytest.mark.parametrize(("layers", "own"), [(4, 1), (12, 1), (12, 6)])
def test_what_is_foretold_holds_for_every_dimension_and_noise(layers: int, own: int) -> None:
    late = float(draws.delay(layers, own, 1))
    for d in (1, 2, 5):
        for noise in (0.0, 0.1, 1.0, 100.0):
            delays = [noisy_draws.delay(layers, own, d, noise, kept) for kept in (1.0, 0.3, 0.0)]
            assert delays == sorted(delays)
            assert -1e-9 <= delays[0] <= late + 1e-9
            assert delays[2] <= late + math.log(layers / own) + 1e-9
        assert draws.spread(own, d) / draws.spread(layers, d) <= (
            draws.spread(own, 1) / draws.spread(layers, 1)
        ) * (1 + 1e-12)


def test_ratio_of_sampled_deviations_is_covered() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        one, two = (dict(enumerate(s * rng.normal(size=8))) for s in (2.0, 1.0))
        found = ratio(one, two)
        assert found.low is not None
        assert found.high is not None
        inside += found.low < 2.0 < found.high
    assert 0.92 < inside / 400 < 0.98


def test_nothing_to_say() -> None:
    two = study({"baseline": [400.0, 420.0], "equal-start": [400.0, 420.0]})
    assert leaving(*two) == {}  # two seeds
    stays = study({"baseline": [400.0, 420.0, 5000.0], "equal-start": [400.0] * 3})
    assert leaving(*stays) == {}  # a baseline stays: no clock
    table, runs, arms = study({"baseline": [400.0, 420.0, 440.0]})
    assert leaving(table | {"blind": None}, runs, arms) == {}
    at_once = study({"baseline": [400.0] * 3, "equal-start": [400.0, 420.0, 440.0]})
    assert leaving(*at_once) == {}  # no spread to measure by
    assert page({"leaving": {}}) == "not run"


def test_page() -> None:
    times = {
        "baseline": [400.0, 420.0, 440.0],
        "equal-start": [500.0, 460.0, 480.0],
        "swe-f": [500.0, 470.0, 480.0],
    }
    text = page({"leaving": leaving(*study(times))})
    head, _, baseline, equal, tied, _, legend = text.splitlines()
    assert head.startswith("| Arm | Layers drawn | Left, of n | Leaves after, updates |")
    assert baseline.startswith("| baseline | 4 | 3 of 3 | ")
    assert equal.startswith("| equal start | 1 | 3 of 3 | ")
    assert "| 1.00 to 2.77 |" in equal
    assert "| 0 to 1.00 | — | — |" in equal
    assert "| +0.07 \\[−0.24, +0.39\\] | 0 to 2.39 | 0.700 |" in tied
    assert legend.startswith("Leaves: half of the way")


def test_what_the_stream_foretells_has_a_column_of_its_own() -> None:
    table, runs, begins = study({"baseline": [400.0, 420.0, 440.0], "swe-f": [430.0, 430.0, 460.0]})
    assert "by_stream" not in leaving(table, runs, begins)["arms"][1]
    for name, reach in (("baseline", -0.5), ("swe-f", -1.5)):
        begins[name] = replace(begins[name], reach=reach)
    found = leaving(table, runs, begins)
    assert found["arms"][1]["by_stream"] == 1.0
    assert "| Foretold by its stream |" in page({"leaving": found})
    assert "| +1.00 |" in page({"leaving": found})
