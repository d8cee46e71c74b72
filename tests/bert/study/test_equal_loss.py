"""Speed-up at equal loss: exact on power laws, silent outside the baselines' budgets."""

from __future__ import annotations

import math

import pytest

from bert.study.speedup import equal_loss_budget, speed_up
from swe.base.errors import ConfigError

BUDGETS = (0.5, 0.7, 1.0, 2.0)


def loss(budget: float, seed: int = 0) -> float:
    """Linear in the logarithm of the budget, so interpolation is exact; seeds shift it."""
    return 6.0 - 0.3 * math.log(budget) + 0.01 * seed


@pytest.mark.parametrize("truth", [0.5, 0.6, 0.7, 0.99, 1.0, 1.37, 2.0])
def test_the_budget_of_a_baselines_own_loss_is_found(truth: float) -> None:
    found, outside = equal_loss_budget({b: loss(b) for b in BUDGETS}, loss(truth))
    assert found == pytest.approx(truth, rel=1e-12)
    assert outside == ""


def test_nothing_is_extrapolated() -> None:
    curve = {b: loss(b) for b in BUDGETS}
    assert equal_loss_budget(curve, loss(0.4)) == (0.5, "below")
    assert equal_loss_budget(curve, loss(2.5)) == (2.0, "above")


def test_a_baseline_that_got_worse_with_more_is_levelled() -> None:
    """6.0 and 6.1 are pooled to 6.05; that loss is reached by the smaller of the two budgets."""
    curve = {0.5: 6.5, 0.7: 6.0, 1.0: 6.1, 2.0: 5.0}
    found, outside = equal_loss_budget(curve, 6.05)
    assert found == pytest.approx(0.7)
    assert outside == ""
    found, _ = equal_loss_budget(curve, 5.525)
    assert found == pytest.approx(math.sqrt(2.0))


def test_speed_up_over_seeds_has_an_interval_on_the_logarithm() -> None:
    """An arm twice as good as a baseline of its budget: ratio 2 for every seed, whatever shifts."""
    baselines = {b: {s: loss(b, s) for s in range(3)} for b in BUDGETS}
    exact = speed_up(baselines, {s: loss(2 * 0.5, s) for s in range(4)}, 0.5)
    assert exact["n"] == 3
    assert exact["ratio"] == pytest.approx(2.0)
    assert exact["low"] == pytest.approx(2.0)
    noisy = speed_up(baselines, {s: loss(r, s) for s, r in enumerate((1.0, 1.2, 1.5))}, 1.0)
    logs = [math.log(r) for r in (1.0, 1.2, 1.5)]
    mean = math.fsum(logs) / 3
    half = 4.302652729911275 * math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / 2 / 3)
    assert noisy["ratio"] == pytest.approx(math.exp(mean))
    assert (noisy["low"], noisy["high"]) == (
        pytest.approx(math.exp(mean - half)),
        pytest.approx(math.exp(mean + half)),
    )


def test_one_seed_outside_the_range_leaves_a_bound_and_no_mean() -> None:
    baselines = {b: {s: loss(b, s) for s in range(2)} for b in BUDGETS}
    found = speed_up(baselines, {0: loss(1.0, 0), 1: loss(3.0, 1)}, 1.0)
    assert found["censored"] == {"1": "above"}
    assert (found["ratio"], found["low"]) == (None, None)
    assert found["values"]["1"] == 2.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="two budgets or more"):
        equal_loss_budget({1.0: 6.0}, 6.0)
    with pytest.raises(ConfigError, match="two budgets or more, all finite"):
        equal_loss_budget({1.0: 6.0, 2.0: math.nan}, 6.0)
    with pytest.raises(ConfigError, match="no seed in common"):
        speed_up({0.5: {0: 6.0}, 1.0: {0: 5.0}}, {1: 5.5}, 1.0)
