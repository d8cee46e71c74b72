"""Cells of the made languages: which study speaks, and the interval over several of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evidence.cells import over_cells, stratified
from evidence.comparison import Interval
from swe.base.errors import ConfigError
from tests.bert.claims.test_languages import table


def test_two_groups_are_welchs_interval() -> None:
    """The mean of a and b: half of a - (-b), whose interval is Welch's (scipy)."""
    draw = np.random.default_rng(0)
    one, two = draw.normal(1.0, 1.0, 5), draw.normal(-0.3, 3.0, 8)
    found = stratified([list(one), list(two)])
    welch = stats.ttest_ind(one, -two, equal_var=False).confidence_interval(0.95)
    assert found.n == 13
    assert found.low == pytest.approx(welch.low / 2, rel=1e-12)
    assert found.high == pytest.approx(welch.high / 2, rel=1e-12)


def test_one_group_is_its_own_interval() -> None:
    values = [0.3, -0.1, 0.7, 0.2]
    found, own = stratified([values]), Interval.of(values)
    assert (found.n, found.mean) == (own.n, own.mean)
    assert found.high == pytest.approx(own.high, rel=1e-12)


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    """Bimodal, as the languages' outcomes are: 95 % of 2000 draws, to 3 standard errors of that."""
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        groups = [list(-0.8 * (draw.random(n) < p)) for n, p in ((5, 0.6), (5, 0.4), (8, 0.5))]
        found = stratified([[v + 0.02 * draw.normal() for v in group] for group in groups])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= -0.8 * 0.5 <= found.high
    assert abs(held / 2000 - 0.95) < 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_groups_of_one_are_refused() -> None:
    for groups in ([], [[1.0, 2.0], [1.0]]):
        with pytest.raises(ConfigError, match="two values at least"):
            stratified(groups)


def test_over_cells_needs_both_arms_everywhere() -> None:
    both = table(baseline=1.0, swe_f=0.2, equal_start=0.6)
    found = over_cells([both, table(baseline=1.0, swe_f=0.6)], "swe-f")
    assert found is not None
    assert found.mean == pytest.approx(-0.6 + 0.004)
    assert over_cells([both, table(baseline=1.0, swe_f=0.6)], "swe-f", "equal-start") is None
    assert over_cells([], "swe-f") is None
