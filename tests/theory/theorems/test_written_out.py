"""Formulae that other tests only use as bounds, written out: a bound 1 % off would pass there."""

import numpy as np
import pytest
from scipy.integrate import quad

from theory.linear import deep_linear, descent, shared_flow, zas_flow
from theory.models import fit_quadratic, quadratic, sign_descent
from theory.models import predictions as carried
from theory.theorems import (
    admissible,
    alignment,
    bounds,
    common_component,
    controls,
    gradient_noise,
    odd_targets,
    steps,
    swe_time,
    theorem2_certificate,
    theorem4_certificate,
)

EXACT = 1e-13
"""A handful of roundings."""


def test_bounds_of_the_theorems() -> None:
    e = np.exp
    for found, expected in (
        (bounds.theorem1(1.5), e(-3.0)),
        (bounds.theorem2(0.5, 0.6, 4), e(-4.0 * 0.36)),
        (bounds.theorem2(0.5, 1.7, 4), e(-4.0)),
        (bounds.theorem2_prose(0.5, 0.6, 4), e(-4.0 * 0.6)),
        (bounds.theorem2_exact(0.5, 0.6, 4), e(-4.0 * 0.6**1.5)),
        (bounds.theorem3(7, 0.1), 0.95**7),
        (bounds.theorem4(7, 0.1, 0.6, 4), e(-6.0 * 0.36 * 0.7)),
    ):
        np.testing.assert_allclose(found, expected, rtol=EXACT)
    np.testing.assert_allclose(bounds.least_eigenvalue(np.diag([2.0, 0.5])), 0.5, rtol=EXACT)


def test_sharper_bounds_and_steps() -> None:
    for found, expected in (
        (admissible.shared_bound(3, 0.05, [0.5, 0.9], 4), (1.0 - 0.2 * 0.5**1.5) ** 6),
        (admissible.zas_bound(3, 0.1), 0.9**6),
        (admissible.theorem_step("theorem4", [0.5, 2.0], 2), 0.25 / (4 * 2**0.5 * 4 * 16)),
        (admissible.theorem_step("theorem3", [2.0], 2), 1.0 / (144 * 4 * 4.0**4)),
        (admissible.proved_step("theorem4", [4.0], 4), 1.0 / 32.0),
    ):
        np.testing.assert_allclose(found, expected, rtol=EXACT)
    one = admissible.rounding_room(0.5, [4.0], 3)
    np.testing.assert_allclose(one, 1e-9 + 2.0 * 4.0 * 4.0 * 2.2e-16 * 4.0, rtol=EXACT)


def test_constructed_gradients_are_unit_vectors() -> None:
    for gradients in (alignment.kept_in_vain(9), alignment.untied_in_vain(9)):
        np.testing.assert_allclose(np.linalg.norm(gradients, axis=(1, 2)), 1.0, rtol=EXACT)


def test_starts() -> None:
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    found = controls.perturbed_start(rng, 3, 2, 0.4)
    np.testing.assert_allclose(
        found - np.eye(2), 0.4 * same.normal(size=(3, 2, 2)) / 2**0.5, rtol=0.0, atol=EXACT
    )
    np.testing.assert_array_equal(descent.identity_start(2, 3), [np.eye(3)] * 2)
    np.testing.assert_array_equal(descent.zas_start(2, 3), [np.eye(3), np.zeros((3, 3))])


def test_largest_difference_of_two_descents() -> None:
    target, eta = np.array([[1.0, 0.5], [0.0, 2.0]]), 0.05
    one = other = descent.identity_start(2, 2)
    for _ in range(2):  # both are at I, then apart
        one = descent.shared_step(one, target, eta)
        other = descent.unshared_step(other, target, eta)
    expected = np.max(np.abs(one - other))
    assert expected > 1e-4
    np.testing.assert_allclose(controls.largest_difference(target, 2, eta, 2), expected, rtol=EXACT)


def test_floor_of_rounding() -> None:
    # One value, 1, at eta = 1: rounding of s, 1e-13, and of a stalled layer, 4 eps.
    np.testing.assert_allclose(
        descent.loss_floor([1.0], 1.0), 0.5 * (1e-13 + 4 * np.finfo(float).eps) ** 2, rtol=EXACT
    )


@pytest.mark.parametrize("depth", [1, 3])
def test_values_of_one_step(depth: int) -> None:
    values = descent.shared_values([0.5], depth, 0.1, 1)
    np.testing.assert_allclose(values[:, 0], [1.0, (1.0 - 0.1 * 0.5) ** depth], rtol=EXACT)
    values = descent.zas_values([0.5], depth, 0.1, 1)
    np.testing.assert_allclose(values[:, 0], [0.0, 0.05], rtol=EXACT)
    np.testing.assert_allclose(descent.value_losses(values, [0.5]), [0.125, 0.10125], rtol=EXACT)


def test_rates_and_a_time() -> None:
    np.testing.assert_allclose(shared_flow.rate(0.25, 2.0, 4), 8.0 * 0.25**1.5, rtol=EXACT)
    # L = 2: s = a b, a^2 - b^2 = 1, so s' = (a^2 + b^2) (sigma - s) = sqrt(1 + 4 s^2) (sigma - s).
    np.testing.assert_allclose(zas_flow.rate(0.7, 2), 2.0 * (1.0 + 4.0 * 0.49) ** 0.5, rtol=EXACT)
    travel = quad(lambda s: 1.0 / ((1.0 + 4.0 * s * s) ** 0.5 * (1.5 - s)), 0.0, 0.7)[0]
    np.testing.assert_allclose(zas_flow.time_to(0.7, 1.5, 2), travel, rtol=1e-9)  # quad's own


def test_common_component() -> None:
    weights = np.array([[[1.0]], [[2.0]], [[6.0]]])
    np.testing.assert_allclose(common_component.energies(weights), (27.0, 14.0), rtol=EXACT)
    np.testing.assert_allclose(common_component.basin(0.5, 4), 0.5**4 / (2 * np.e), rtol=EXACT)


def test_runs() -> None:
    target = np.array([[0.5]])
    for found in (
        descent.unshared(target, descent.zas_start(2, 1), 0.1, 1),
        descent.zas(target, 2, 0.1, 1),
    ):
        np.testing.assert_allclose(found.losses, [0.125, 0.5 * 0.45**2], rtol=EXACT)
        np.testing.assert_allclose(found.weights[:, 0, 0], [1.0, 0.05], rtol=EXACT)


def test_certificates() -> None:
    # L = 2, p = 1, elementary: log(R(0)/R) - 4 phi t = 2 log(s(0) / s) = -2 log s.
    v, g = 0.5, 0.25
    w = v + (1 - v) * g
    fall = 2.0 * np.log((1.0 - v * v) / (w * w - v * v))
    slack = -2.0 * np.log(w * w)
    box = (v * v, v * v)
    excess = theorem2_certificate.excess(box, "0.25", 2, "1.5", pieces=300)
    np.testing.assert_allclose(excess, 0.5 * fall - 1.5 * slack, atol=6e-3)  # 1 / pieces
    prose = theorem2_certificate.prose_excess(box, "0.25", 2, pieces=300)
    np.testing.assert_allclose(prose, -slack, rtol=3e-3)
    # L = 1: one step of eta = part, (phi - s+) / (phi - s) = 1 - part.
    step = ((0.5, 0.5), (0.5, 0.5), (0.25, 0.25), 1)
    np.testing.assert_allclose(theorem4_certificate.shrinkage(*step), 0.75, rtol=EXACT)
    np.testing.assert_allclose(theorem4_certificate.slack(*step, "1.5"), -0.5, rtol=EXACT)
    # L = 2 by the update: w = (1 + v) / 2, eta = part / 2.
    step = ((0.25, 0.25), (0.5, 0.5), (0.25, 0.25), 2)
    after = 0.75 - 0.125 * 0.75 * (0.75**2 - 0.25)
    gap = 1.0 - 0.25 * 0.25 - (0.25 - after**2) / (0.25 - 0.75**2)
    np.testing.assert_allclose(theorem4_certificate.slack(*step), gap / 0.25, rtol=1e-12)


def test_certificate_of_a_point_at_its_target() -> None:
    # No loss: radius 0, rate 2 L c^(2 (L - 1)).
    expected = (0.0, 6.0 * 0.9**4)
    assert common_component.certificate(0.9, 1.1, 0.0, 3) == pytest.approx(expected, rel=EXACT)
    layers = np.tile(np.diag([0.9, 1.1]), (3, 1, 1))
    found = common_component.certify(layers, deep_linear.end_to_end(layers))
    assert found == pytest.approx(expected, rel=EXACT)


def test_differences_of_neighbouring_gradients() -> None:
    layer, target = np.array([[1.0, 2.0], [0.0, 3.0]]), np.zeros((2, 2))
    found = odd_targets.equal_gradients(layer, target, 2)
    square = layer @ layer
    np.testing.assert_allclose(found[0], layer.T @ square - square @ layer.T, rtol=EXACT)


def test_the_rest() -> None:
    # One direction, L = 4: one shared step less is the gap at tau, contracted.
    given = quadratic.Quadratic(depth=4, own=0.5, bias=0.2, noise=0.1, dispersion=0.3)
    gains = quadratic.gain_by_tau(given, np.array([0.4, 0.4]))
    first = 0.8**2 * 0.9 + 0.4**2 * (0.25 * 0.2 + 0.3) - 2.0 * 0.4 * 0.5 * 0.2
    np.testing.assert_allclose(quadratic.first_step_margin(given, 0.4), first, rtol=1e-12)
    gaps = 0.8**4 * 0.9, 0.8**2 * first
    np.testing.assert_allclose(gains[:2], 0.25 * np.array(gaps), rtol=1e-12)
    floor = sign_descent.noise_floor(0.1, 2.0, 4, True)
    np.testing.assert_allclose(floor, 0.1 / (8.0 * (2.0 / np.pi) ** 0.5), rtol=EXACT)
    np.testing.assert_allclose(
        gradient_noise.first_order_floor(3, 0.1, 2.0), 9 * 0.1 * 4 / 4, rtol=EXACT
    )
    target, start = swe_time.problem([1.5], 0.1 * np.eye(2), 2)
    np.testing.assert_allclose(target, np.diag([-0.9, -0.9, 1.5]), rtol=EXACT)
    np.testing.assert_allclose(start[1], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=EXACT)
    # One value, 0.5, L = 1, eta = 1: there after one step.
    found = steps.proved_steps("shared", [0.5], 1, 1e-6)
    assert (found.steps, found.eta) == (1.0, 1.0)


def test_estimates_for_the_carried_predictions() -> None:
    row = {"gradient_norms": [1.0] * 5, "alignment": 0.6}
    np.testing.assert_allclose(carried.exchangeable_correlation(row), 0.5, rtol=EXACT)
    # Two steps of eta 0.4, one direction; differences a = 0.5, the mean a = 0.8, L = 4.
    apart = quadratic.Quadratic(depth=4, own=0.5, bias=0.2, noise=0.1, dispersion=0.3)
    mean = quadratic.Quadratic(depth=4, own=0.8, start=2.0)
    found = fit_quadratic.Estimate(apart, mean, np.array([5.0]), 0.0)
    etas = np.array([0.4, 0.4])
    kept = 4.0 * 0.68**4 / 2.0 * 0.8
    noisy = 0.8**2 * (0.8**2 * 1.1 + 0.048) + 0.048
    np.testing.assert_allclose(found.loss_unshared(etas), 0.25 * noisy + 5.0 * kept, rtol=1e-12)
    np.testing.assert_allclose(found.loss_by_tau(etas)[-1], 0.25 * 0.2 + 2.0 * kept, rtol=1e-12)
    floor = 0.048 / (1.0 - 0.8**2)
    np.testing.assert_allclose(found.noise_over_bias(0.4), floor / 0.2, rtol=1e-12)
