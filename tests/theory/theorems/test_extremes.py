"""Arguments at the edge of what a docstring promises: the right number, or the argument's name."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest

from theory.linear import descent
from theory.models.sign_descent import Rule, steps_to_reach
from theory.numerics.intervals import boxes
from theory.theorems import bounds, common_component, controls, odd_targets
from theory.theorems.admissible import theorem_step, zas_step


def test_equal_weights_of_one_dimension() -> None:
    """dw / (w^2 (1 - w^3)) from a half, all three layers equal; and stuck where the sign is odd."""
    with mpmath.workdps(25):
        end = (1 - mpmath.mpf("0.1")) ** (mpmath.mpf(1) / 3)
        exact = mpmath.quad(lambda w: 1 / (w**2 * (1 - w**3)), [0.5, 0.7, 0.9, end])
    found = odd_targets.log_scalar_times([[0.5, 0.5, 0.5], [-0.5, 0.5, 0.5]], 1.0, 1e-2)
    assert found[0] == pytest.approx(float(mpmath.log(exact)), rel=1e-9)
    assert found[1] == np.inf
    # Least moduli that differ by a rounding are no tie: the time is finite, and long.
    near = odd_targets.log_scalar_times([[-0.5, 0.5 + 2**-53, 0.7]], 1.0, 1e-2)
    assert np.isfinite(near)


def test_theorem_steps_of_extreme_spectra() -> None:
    for theorem, values in (("theorem3", [1e80]), ("theorem4", [1e80]), ("theorem4", [1e-170])):
        with pytest.raises(ValueError, match="target: the theorem's step"):
            theorem_step(theorem, values, 2)
    assert theorem_step("theorem3", [1e50], 2) == pytest.approx(1 / (32 * (2e50) ** 6), rel=1e-12)


def test_zas_steps_of_singular_targets() -> None:
    assert zas_step([0.0, 1.0], 2) == zas_step([1.0], 2)
    assert zas_step([0.0], 5) == 1.0
    assert theorem_step("theorem3", [0.0, 1.0], 2) == descent.zas_admissible_step(
        [[0, 0], [0, 1]], 2
    )
    with pytest.raises(ValueError, match="spectrum"):
        theorem_step("theorem4", [0.0, 1.0], 2)


def test_bounds_at_infinite_time() -> None:
    for bound in (bounds.theorem2, bounds.theorem2_prose, bounds.theorem2_exact):
        assert bound([0.0, 1.0, np.inf], 1e-200, 2).tolist() == [1.0, 1.0, 0.0]
    assert bounds.theorem1(np.inf) == 0.0
    assert bounds.theorem3([1.0, np.inf], 5e-324).tolist() == [1.0, 0.0]
    assert bounds.theorem4([1.0, np.inf], 0.1, 1e-200, [1, 2]).tolist() == [1.0, 0.0]
    assert bounds.theorem4(np.inf, 0.1, 0.5, 1) == 1.0
    assert bounds.theorem2(1e300, 2.0, 10**9) == 0.0


def test_certificate_of_one_layer_is_linear_regression() -> None:
    """R' = -2 R from anywhere, along a straight path: no singular value enters."""
    found = common_component.certificate(1.0, 1.0, 10.0, 1)
    assert found.holds
    assert (found.radius, found.rate) == (20.0**0.5, 2.0)
    assert common_component.certificate(0.0, 1.0, 10.0, 1) == found


@pytest.mark.parametrize(("low", "high"), [(1e-300, 1e300), (5e-324, 1.7e308), (1.0, 1.0 + 1e-9)])
def test_boxes_leave_no_gap(low: float, high: float) -> None:
    found = boxes(low, high, 4)
    assert (found[0][0], found[-1][1]) == (low, high)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert all(a < b for a, b in found)
    if high > 2.0:
        widths = np.log([b for _, b in found]) - np.log([a for a, _ in found])
        np.testing.assert_allclose(widths, widths[0], rtol=1e-2)


@pytest.mark.parametrize("rule", ["sign", "adam"])
@pytest.mark.parametrize("end", [1 - 1e-12, 1 - 1e-6, 0.5, 1e-6])
@pytest.mark.parametrize("slope", [1e-3, 1.0, 1e3])
def test_steps_between_neighbours(rule: Rule, end: float, slope: float) -> None:
    with mpmath.workdps(40):

        def pace(x: mpmath.mpf) -> mpmath.mpf:
            z = slope * x
            return 1 / mpmath.erf(z / mpmath.sqrt(2)) if rule == "sign" else mpmath.hypot(1, z) / z

        panels = [mpmath.mpf(end) ** (mpmath.mpf(k) / 16) for k in range(16, -1, -1)]
        exact = float(mpmath.quad(pace, panels))
    assert float(steps_to_reach(1.0, end, 1.0, slope, 1, rule)) == pytest.approx(exact, rel=1e-11)


NILPOTENT = [[1.0, 1.0], [0.0, 1.0]]


def test_descents_may_agree_at_one_step_size_without_normality() -> None:
    """At eta = 1 / L the first step is the last: normality is not necessary for one eta."""
    assert controls.largest_difference(NILPOTENT, 8, 1 / 8, 20) == 0.0
    assert np.all(controls.second_step_commutator(NILPOTENT, 8, 1 / 8) == 0.0)
    assert controls.largest_difference(NILPOTENT, 8, 0.12, 3) > 1e-4
    assert controls.largest_difference(NILPOTENT, 1, 0.3, 20) == 0.0
    # [N^T, (L eta - 1) N] by hand.
    by_hand = (8 * 0.12 - 1.0) * np.diag([-1.0, 1.0])
    np.testing.assert_allclose(
        controls.second_step_commutator(NILPOTENT, 8, 0.12), by_hand, atol=1e-14
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_second_step_parts_layers_iff_its_commutator_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(2, 7))
    target = rng.normal(size=(3, 3))
    normal = target + target.T
    eta = float(rng.uniform(0.01, 0.3))
    for phi, is_normal in ((target, False), (normal, True)):
        apart = controls.largest_difference(phi, depth, eta, 2)
        size = float(np.max(np.abs(controls.second_step_commutator(phi, depth, eta))))
        assert (size < 1e-10 * (1 + np.linalg.norm(phi)) ** depth) == is_normal
        # Rounding of products of a few matrices of size (1 + |Phi|)^L.
        assert (apart < 1e-12 * (1 + np.linalg.norm(phi)) ** depth) == is_normal
