"""The WHEN claims hold, and each fails with a formula that is off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evidence.claim import Claim, Finding, Verdict
from theory.claims import when, when_tuned
from theory.models import branch_scale, horizon, interlacing, switching
from theory.models import noise_and_deviations as noisy
from theory.studies import when as study


@pytest.mark.parametrize("claim", [*when.CLAIMS, *when_tuned.CLAIMS], ids=lambda claim: claim.id)
def test_each_claim_has_its_verdict(claim: Claim) -> None:
    words = {
        "WHEN-PATTERN": Verdict.CONJECTURE,
        "WHEN-NOISE": Verdict.LIMITS,
        "WHEN-STAGES": Verdict.FAILS,
    }
    assert claim.check(1, "smoke").verdict == words.get(claim.id, Verdict.HOLDS)


def of_the_sum_rule(H: np.ndarray) -> float:
    """One tensor used L times has L C, which does not interlace."""
    untied, tied = interlacing.spectra(H)
    return float(np.min(untied[-tied.size :] - H.shape[0] * tied))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: when.check_switch(
            0, "smoke", lambda *args: 1.001 * switching.tie_derivatives(*args)
        ),
        lambda: when.check_commute(
            0, "smoke", lambda H, T: -np.ones(H.shape[:2])
        ),
        lambda: when.check_horizon(
            0, "smoke", lambda h, T: max(0.0, T - 1.02 * horizon.critical_horizon(h))
        ),
        lambda: when.check_interlace(0, "smoke", of_the_sum_rule),
        lambda: when_tuned.check_noise(0, "smoke", lambda *args: 0.2 * noisy.noise_horizon(*args)),
        lambda: when_tuned.check_depth(
            0, "smoke", lambda *a: 1.01 * branch_scale.curvature_ratio(*a)
        ),
        lambda: when_tuned.check_stiff(0, "smoke", lambda r: noisy.stiff_rates(1.3 * r)),
    ],
    ids=["switch", "commute", "horizon", "interlace", "noise", "depth", "stiff"],
)  # fmt: skip
def test_a_formula_that_is_off_fails(wrong: Callable[[], Finding]) -> None:
    assert wrong().verdict == Verdict.FAILS


def test_a_rule_that_is_near_enough_would_hold() -> None:
    assert when_tuned.check_stages(0, "smoke", within=9.0).verdict == Verdict.HOLDS


def test_stages_are_in_their_order() -> None:
    found = study.stages(1, 4, 30, 5)
    assert np.all(found["stages"] <= found["single"])
    assert np.all(found["single"] <= found["equal"] + 1e-12)
    assert 0.0 < np.mean(found["hurts"]) < 1.0
    assert found["low"].size == 4 * 9


def test_the_study_finds_the_predicted_zeros() -> None:
    data = study.study(3, "smoke")
    assert data == study.study(3, "smoke")
    for curve in data["horizon"]:
        assert curve["last_without"] < curve["zero"] * 1.05, "up to the steps' size"
        assert curve["zero"] < curve["first_with"]
    for curve in data["one_rate"]:
        gains = np.array(curve["gain"])
        assert np.all(gains[np.array(curve["budget"]) < 0.7 * curve["horizon"]] == 0.0)
        assert 0.4 < curve["top"] < 2.0
    equal, _, different = data["tuned"]
    assert 0.4 < equal["end"] < 1.5
    assert different["end"] is None
    assert data["random_optima"][0]["helped"] < data["random_optima"][2]["helped"] < 0.5
    with pytest.raises(ValueError, match="scale must be"):
        study.study(0, "tiny")
