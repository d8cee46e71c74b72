"""The forecast: known runs that look alike vote, and its own record is told with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swe.predict.calibration import Calibration
from swe.predict.forecast import forecast, vote
from tests.swe.predict.cases import known, measured, two_kinds


def test_it_says_what_came_of_runs_that_look_alike() -> None:
    helped, hurt = forecast(measured(-0.95), two_kinds()), forecast(measured(1.05), two_kinds())
    assert (helped.verdict, hurt.verdict) == ("helps", "hurts")
    assert helped.sureness == pytest.approx(1.0)
    assert helped.until == 0.1
    assert helped.change == pytest.approx(-0.5)
    assert helped.low == helped.high == pytest.approx(-0.5)
    assert helped.right == 1.0
    assert helped.distance < 3 < forecast(measured(40.0), two_kinds()).distance


def test_its_record_without_the_family_is_told_apart() -> None:
    """Two families that look alike and end otherwise: each is wrong about the other."""
    each = 30
    twins = known(
        [*np.linspace(-1, -0.9, each), *np.linspace(-1, -0.9, each)],
        [-0.5] * each + [0.5] * each,
        [0] * each + [2] * each,
        ["a"] * each + ["b"] * each,
    )
    found = forecast(measured(-0.95), twins)
    assert found.right_unseen == 0.0
    assert 0.3 < found.sureness < 0.7


def test_the_interval_is_the_neighbours_own() -> None:
    rng = np.random.default_rng(1)
    changes = rng.standard_normal(16)
    found = forecast(measured(0.0), known([0.0] * 16, list(changes), [1] * 16, ["a"] * 16))
    # Equal distances, equal weights: 10 % and 90 % of 16 values are the second and the fifteenth.
    assert found.low == pytest.approx(np.sort(changes)[1])
    assert found.high == pytest.approx(np.sort(changes)[14])
    assert found.change == pytest.approx(changes.mean())


def test_a_feature_weighs_by_its_spread() -> None:
    """A feature in other units, a thousand times as large, changes no vote."""
    rng = np.random.default_rng(2)
    base = two_kinds()
    features = base.features + rng.standard_normal(base.features.shape)
    scaled = features.copy()
    scaled[:, -1] *= 1000
    one, other = replace(base, features=features), replace(base, features=scaled)
    where = features[5] + 0.1
    there = where.copy()
    there[-1] *= 1000
    assert vote(one, where).change == pytest.approx(vote(other, there).change)


def test_few_known_runs_are_enough() -> None:
    few: Calibration = known([-1.0, 1.0], [-0.5, 0.5], [0, 2], ["a", "b"])
    assert forecast(measured(-1.0), few).verdict == "helps"
