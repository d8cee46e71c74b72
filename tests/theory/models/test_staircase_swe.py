"""SWE on the staircase: the two flows joined, its best tau, and when it beats both."""

import numpy as np
import pytest

from tests.theory.models.test_staircase import other_flow
from theory.models import staircase, staircase_swe
from theory.models.staircase_swe import Staircase


def test_both_stages_against_another_integrator() -> None:
    stairs, weight = Staircase(3, 0.15), 0.4
    tau = float(stairs.tied_time(weight**2))
    later = np.array([0.5, 2.0, 6.0])
    untied = other_flow(np.full(3, weight), later).T
    for wait, w in zip(later, untied, strict=True):
        found = stairs.final_loss(tau + float(wait), weight)
        assert found == pytest.approx(float(staircase.loss(w)), rel=1e-6)
    tied = other_flow(np.full(3, 0.15), np.array([tau / 2]), 3).T[0]
    for untie in (weight, 1.0):  # not yet untied, and never
        assert stairs.final_loss(tau / 2, untie) == pytest.approx(
            float(staircase.loss(tied)), rel=1e-9
        )


def test_times_and_losses_are_inverse() -> None:
    stairs = Staircase(4, 0.1)
    for untie in (0.1, 0.5, 1.0):
        for share in (0.6, 1e-3):
            time = stairs.time_to(share, untie)
            assert stairs.final_loss(time, untie) == pytest.approx(
                share * stairs.first_loss, rel=1e-6
            )
        hops = stairs.hops(untie)
        assert hops == sorted(hops)
    # Hops before the untie are the tied flow's, later ones not.
    late, tied = stairs.hops(0.9), stairs.hops(1.0)
    assert late[:3] == tied[:3]
    assert late[3] != tied[3]


def test_the_best_weight_for_a_loss_does_not_depend_on_the_start() -> None:
    low, high = Staircase(4, 0.05), Staircase(4, 0.1)
    level = 1e-3 * high.first_loss
    gaps = [
        low.time_to(level / low.first_loss, untie) - high.time_to(level / high.first_loss, untie)
        for untie in (0.2, 0.5, 0.8, 0.95)
    ]
    np.testing.assert_allclose(gaps, float(low.tied_time(0.01)), rtol=1e-7)


def test_swe_reaches_the_hops_when_it_says() -> None:
    """After the share x of the tied way, in log w: (K/4) A (k + x (K - k)), to first order."""
    start, share = 1e-12, 0.5
    stairs = Staircase(3, start)
    unit = 0.75 * -2 * np.log(start)
    for hop, found in enumerate(stairs.hops(start**share), 1):
        assert found / unit == pytest.approx(hop + share * (3 - hop), rel=0.05)


def test_best_tau_jumps_at_the_critical_budget() -> None:
    stairs = Staircase(3, 0.2)
    critical = stairs.critical_budget()
    assert 0.9 < critical / stairs.hops(1.0)[-1] < 1.05
    before, weight, loss = stairs.best_untie(0.98 * critical)
    assert (before, weight) == (0.0, 0.2)
    assert loss == pytest.approx(stairs.final_loss(0.98 * critical, 0.2), rel=1e-9)
    # The critical budget is the edge itself, to its own 1e-4.
    assert stairs.best_untie(0.999 * critical)[0] == 0.0
    assert stairs.best_untie(1.001 * critical)[0] > 0.4
    budget = 1.05 * critical
    fraction, weight, loss = stairs.best_untie(budget)
    assert fraction == pytest.approx(float(stairs.tied_time(weight**2)) / budget, rel=1e-9)
    brute = min(stairs.final_loss(budget, float(v)) for v in np.sqrt(np.linspace(0.3, 0.999, 70)))
    assert loss <= brute * (1 + 1e-6)
    assert loss == pytest.approx(brute, rel=1e-2)  # the brute grid is coarse at the end
    assert loss < stairs.final_loss(budget, 1.0) < stairs.final_loss(budget, 0.2)


def test_always_shared_is_never_best() -> None:
    for skills in (2, 5):
        stairs = Staircase(skills, 0.3)
        for budget in (0.7, 0.9, 1.0):
            time = budget * stairs.hops(1.0)[-1]
            late = float(np.sqrt(stairs.tied_square(0.999 * time)))
            assert stairs.final_loss(time, late) < stairs.final_loss(time, 1.0)


def test_paths_are_kept() -> None:
    assert staircase_swe._equal(3, 0.25) is staircase_swe._equal(3, 0.25)
