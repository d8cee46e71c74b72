"""Paired comparison: intervals against a worked example, verdicts decided by the interval."""

from __future__ import annotations

import pytest

from evidence.comparison import Interval, compare
from swe.base.errors import ConfigError


def test_interval_of_a_worked_example() -> None:
    """1, 2, 3: mean 2, s = 1, half-width t / sqrt 3; with two degrees of freedom Student's t has
    the closed quantile (2p - 1) sqrt(2 / (4 p (1 - p)))."""
    quantile = 0.95 * (2 / (4 * 0.975 * 0.025)) ** 0.5
    interval = Interval.of([1.0, 2.0, 3.0])
    assert (interval.n, interval.mean) == (3, 2.0)
    assert interval.high == pytest.approx(2 + quantile / 3**0.5, rel=1e-9)
    assert interval.low == pytest.approx(2 - quantile / 3**0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([-0.2, -0.21, -0.19], "helps"),
        ([0.2, 0.21, 0.19], "hurts"),
        ([-0.2, 0.3, 0.0], "no gain"),
        ([-0.2], "one seed: no interval"),
    ],
)
def test_verdict_is_that_of_the_paired_interval(differences: list[float], verdict: str) -> None:
    """The arms' own spread (seeds far apart) must not blur the paired difference."""
    base = {seed: 10.0 * seed for seed in range(len(differences))}
    arm = {seed: base[seed] + difference for seed, difference in enumerate(differences)}
    result = compare({"base": base, "arm": arm}, "base")
    assert result["arm"]["verdict"] == verdict
    assert "verdict" not in result["base"]


def test_only_shared_seeds_are_paired() -> None:
    result = compare({"base": {0: 1.0, 1: 2.0}, "arm": {1: 2.5, 2: 9.0}}, "base")
    assert result["arm"]["difference"] == {"n": 1, "mean": 0.5, "low": None, "high": None}
    with pytest.raises(ConfigError, match="no seed in common"):
        compare({"base": {0: 1.0}, "arm": {1: 2.5}}, "base")
    with pytest.raises(ConfigError, match="reference = 'none'"):
        compare({"base": {0: 1.0}}, "none")
