"""Speed-up as a ratio of budgets at equal final loss, read off fully decayed baselines.

A run's own loss curve says nothing of what it would have reached with less: its rate had not
decayed there. So baselines are trained separately at several budgets b_1 < b_2 < ..., each with its
own decay; between them the loss is taken as linear in log b. The speed-up of an arm with budget b
and final loss l is B(l) / b, B the baseline's budget with that loss. Outside the budgets nothing is
extrapolated: the value is then a bound, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from evidence.comparison import Interval
from swe.base.errors import ConfigError


def equal_loss_budget(curve: Mapping[float, float], loss: float) -> tuple[float, str]:
    """Return (budget of the baseline that ends at ``loss``, "" or "below" or "above").

    ``curve``: {budget: final loss}, at least two budgets. Noise that makes a longer run worse is
    levelled by isotonic regression. "below": the loss is worse than the smallest budget's, which is
    returned as an upper bound; "above": better than the largest's, a lower bound. Raises
    ConfigError for fewer than two budgets or values that are not finite.
    """
    budgets = sorted(curve)
    values = [curve[budget] for budget in budgets]
    if len(budgets) < 2 or not all(map(math.isfinite, [*values, loss])):
        raise ConfigError(f"curve = {dict(curve)!r}: must be two budgets or more, all finite")
    levelled = isotonic_regression(values, increasing=False).x
    if loss > levelled[0]:
        return budgets[0], "below"
    if loss < levelled[-1]:
        return budgets[-1], "above"
    # np.interp wants increasing abscissae; of a level stretch it takes the smallest budget.
    log_budget = float(np.interp(-loss, -levelled, np.log(budgets)))
    first = int(np.argmax(levelled <= loss))
    if levelled[first] == loss:
        log_budget = math.log(budgets[first])
    return math.exp(log_budget), ""


def speed_up(
    baselines: Mapping[float, Mapping[int, float]], arm: Mapping[int, float], budget: float
) -> dict[str, Any]:
    """Return the speed-up of an arm over the baseline, seed by seed.

    ``baselines``: {budget: {seed: final loss}}; ``arm``: {seed: final loss} at ``budget``. The
    result has "values" {seed: ratio}, "censored" {seed: "below" or "above"} for seeds outside the
    baselines' range, and, when no seed is outside, "ratio" (geometric mean) with its 95 % interval
    "low", "high" (Student's t on the logarithm; None for one seed), else None. ConfigError when no
    seed is in all of them.
    """
    seeds = sorted(set(arm).intersection(*baselines.values()))
    if not seeds:
        raise ConfigError("speed-up: the arm and the baselines have no seed in common")
    values, censored = {}, {}
    for seed in seeds:
        curve = {size: losses[seed] for size, losses in baselines.items()}
        equal, outside = equal_loss_budget(curve, arm[seed])
        values[str(seed)] = equal / budget
        if outside:
            censored[str(seed)] = outside
    out: dict[str, Any] = {"n": len(seeds), "values": values, "censored": censored}
    if censored:
        return out | {"ratio": None, "low": None, "high": None}
    logs = asdict(Interval.of([math.log(value) for value in values.values()]))
    ends = {end: None if logs[end] is None else math.exp(logs[end]) for end in ("low", "high")}
    return out | {"ratio": math.exp(logs["mean"])} | ends
