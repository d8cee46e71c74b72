"""From measured cells to the forecast's calibration and scores, on cells made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swe.predict.calibration import TAUS
from swe.predict.forecast import forecast
from swe.predict.measured import ARMS
from theory.toys.forecasting import Truth, calibration, measured, scores

SHARE = 1 / 16


def entry(gain: float, number: int = 0, family: str = "made") -> dict[str, Any]:
    """A cell in which SWE-F ends `gain` decades from both controls, best until 20 %; its
    rehearsals show a tenth of it.
    """
    rng = np.random.default_rng(number)
    noise = 0.001 * rng.standard_normal(8)
    outcome = {arm: (noise + 0.001 * rng.standard_normal(8)).tolist() for arm in ARMS[:2]}
    for tau in TAUS:
        outcome[f"swe-f {tau:g}"] = (noise + gain + 0.01 * abs(tau - 0.2)).tolist()
    short = {arm: [0.0, 0.0] if arm in ARMS[:2] else [gain / 10, gain / 10] for arm in ARMS}
    return {
        "family": family,
        "steps": 400,
        "start": {"baseline": [1.0, 1.0], "equal-start": [1.0, 1.0]},
        "rehearsals": {f"{fraction:g}": short for fraction in (1 / 32, 1 / 16, 1 / 8)},
        "curvature": [{"sharpness": 2.0, "tied_sharpness": 1.0, "commutator": 0.3}] * 2,
        "tied": {f"{tau:g}": {"correlation": [0.9 - tau, None]} for tau in TAUS},
        "outcome": outcome,
    }


def test_truth_is_the_worse_of_both_controls() -> None:
    cell = entry(-0.5)
    truth = Truth.of(cell)
    assert (TAUS[truth.best], truth.verdict[truth.best]) == (0.2, 0)
    assert truth.change[truth.best] == pytest.approx(-0.5, abs=0.01)
    cell["outcome"]["baseline"] = [value - 1.0 for value in cell["outcome"]["baseline"]]
    worse = Truth.of(cell)
    assert worse.verdict[worse.best] == 2
    assert worse.change[worse.best] == pytest.approx(0.5, abs=0.01)
    assert Truth.of(entry(-50.0)).change.min() == -4.0


def test_calibration_is_the_runs_and_the_truths() -> None:
    cells = [entry(-0.5, 1, "a"), entry(0.5, 2, "b")]
    cells[1]["curvature"] = [{"sharpness": float("nan"), "tied_sharpness": 1.0, "commutator": 0.3}]
    known = calibration(cells, SHARE)
    assert known.cell.tolist() == [0, 0]  # the other's only network has no curvature
    assert known.families == ("a", "b")
    assert known.outcome.tolist() == [0, 2]
    run = measured(cells[0], 0, SHARE)
    assert run is not None
    np.testing.assert_array_equal(known.features[0], run.features())


def test_scores_count_what_each_rule_got_right() -> None:
    """Unseen cells like the known ones: the forecast is right in all, the others in their kind."""
    gains = [-0.5] * 12 + [0.5] * 12
    known = calibration([entry(gain, i) for i, gain in enumerate(gains)], SHARE)
    unseen = [entry(gain, 100 + i) for i, gain in enumerate([-0.5, -0.5, 0.5, 0.0])]
    found = scores(unseen, known)
    assert found["truths"]["all"] == {"helps": 2, "no gain": 1, "hurts": 1}
    marks = {rule: by["all"] for rule, by in found["rules"].items()}
    assert marks["forecast"]["sign"]["right"] >= 3
    assert marks["forecast"]["size"] == {"right": 3, "of": 3}
    assert marks["helps, 10 %"]["sign"] == {"right": 2, "of": 4}
    assert marks["no gain, 10 %"]["sign"] == {"right": 1, "of": 4}
    assert marks["rehearsal"]["sign"]["right"] == 4
    # At 10 % a cell ends 0.01 * 0.1 decades above its best, at 20 %.
    assert marks["helps, 10 %"]["regret"] == pytest.approx(0.001)
    # Correlation 0.9 - tau falls below 1/2 at tau = 0.6; the best is 0.2, and 10 % within 2 of it.
    assert marks["cosine rule"]["tau"] == {"right": 0, "of": 4}
    assert marks["no gain, 10 %"]["tau"] == {"right": 4, "of": 4}
    run = measured(unseen[0], 0, SHARE)
    assert run is not None
    assert forecast(run, known).verdict == "helps"
