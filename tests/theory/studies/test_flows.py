"""Figure data: JSON, complete, reproducible, and saying what the theory says."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from theory.linear import shared_flow, zas_flow
from theory.studies import flows as study


@pytest.mark.parametrize("build", [study.flow_curves, study.theorem_bounds, study.descent_bounds])
def test_json_and_seed(build: Callable[[int, str], dict[str, Any]]) -> None:
    data = build(3, "smoke")
    json.dumps(data, allow_nan=False)
    assert data == build(3, "smoke")
    assert data["figure"] == build.__name__
    assert data["caption_numbers"]
    with pytest.raises(ValueError, match="scale"):
        build(0, "tiny")


def test_flow_curves_stay_under_their_bound_and_meet_descent() -> None:
    data = study.flow_curves(1, "smoke")
    assert {c["method"] for c in data["curves"]} == {"shared", "zas"}
    for curve in data["curves"]:
        loss, bound = np.array(curve["loss"]), np.array(curve["bound"])
        assert np.all(loss <= bound * (1 + 1e-9))  # rounding where the bound is attained
        assert loss[0] == 1.0
        np.testing.assert_allclose(loss[-1], 1e-6, rtol=1e-6)  # the bisection's end
        # First order: about eta times the fastest rate, 200 steps over many time constants.
        assert curve["largest_descent_difference"] < 0.1


def test_theorem_bounds_are_bounds_and_rates_agree_with_slopes() -> None:
    data = study.theorem_bounds(0, "smoke")
    for row in data["rows"]:
        assert min(row["log_bound_over_true"]) >= -1e-9
        assert row["initial_rate"] >= row["bound_rate"] * (1 - 1e-12)
        assert row["asymptotic_rate"] >= row["bound_rate"] * (1 - 1e-12)
        flow = shared_flow if row["method"] == "shared" else zas_flow
        late = np.array([40.0, 41.0]) / row["asymptotic_rate"]
        if row["method"] == "zas":
            late += row["times"][-1]
        target = np.diag(row["eigenvalues"])
        slope = -np.diff(np.log(flow.loss(late, target, row["depth"])))[0]
        # The second-slowest value has decayed by e^-40 relative, or by a gap of rates of 10 %.
        np.testing.assert_allclose(slope, 1.0, rtol=0.05)


def test_descent_bounds_hold_and_slopes_are_one() -> None:
    data = study.descent_bounds(0, "smoke")
    assert all(row["holds"] for row in data["rows"])
    for slope in data["slopes"]:
        assert abs(slope["slope"] - 1.0) < 0.05  # second order at 200 steps is about a per cent
