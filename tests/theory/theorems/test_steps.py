"""Steps counted: full matrices, the flow's time, and exhaustive search beside each other."""

from typing import Any

import numpy as np
import pytest

from theory.linear import descent
from theory.theorems import admissible
from theory.theorems.speedup import spectrum_time
from theory.theorems.steps import (
    best_steps,
    count_steps,
    matrix_steps,
    proved_steps,
    steps_to,
    theorem_steps,
)

SPECTRUM = [0.5, 1.2, 2.0]


def rotated(spectrum: list[float], seed: int) -> np.ndarray:
    d = len(spectrum)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    target = (basis * np.array(spectrum)) @ basis.T
    return np.asarray((target + target.T) / 2.0)


@pytest.mark.parametrize("method", ["shared", "zas", "identity"])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_scalar_reduction_counts_as_full_matrices_do(method: str, depth: int) -> None:
    target = rotated(SPECTRUM, depth)
    eta = 0.1 / depth
    # R(k) / eps R(0) is never within 1e-10 of one here: rounding cannot move the count.
    expected = matrix_steps(method, target, depth, 1e-5, eta, 3000)
    assert steps_to(method, SPECTRUM, depth, eta, 1e-5, 3000)[0] == expected
    assert np.isfinite(expected)
    other = steps_to(method, SPECTRUM, depth, 1.02 * eta, 1e-5, 3000)[0]
    assert other != expected


def test_identity_without_sharing_is_sharing() -> None:
    target, start = rotated(SPECTRUM, 0), descent.identity_start(6, 3)
    tied = descent.shared(target, start, 0.02, 60)
    free = descent.unshared(target, start, 0.02, 60)
    # Layer gradients differ by the order of products only.
    np.testing.assert_allclose(free.weights, tied.weights, rtol=0.0, atol=1e-13)
    assert best_steps("identity", SPECTRUM, 6, 1e-6) == best_steps("shared", SPECTRUM, 6, 1e-6)


def test_identity_differs_from_sharing_where_not_symmetric() -> None:
    target = rotated(SPECTRUM, 0) + np.triu(np.full((3, 3), 0.3), 1)
    start = descent.identity_start(6, 3)
    tied = descent.shared(target, start, 0.02, 60)
    free = descent.unshared(target, start, 0.02, 60)
    assert np.max(np.abs(free.weights - tied.weights)) > 1e-3


@pytest.mark.parametrize("method", ["shared", "zas"])
def test_flow_time_over_eta_is_the_count_at_a_small_eta(method: str) -> None:
    # THM3's and THM4's own step sizes, where both routes can be had.
    spectrum, eps = [0.3, 0.6], 1e-4
    counted = theorem_steps(method, spectrum, 2, eps, cap=200_000)
    derived = theorem_steps(method, spectrum, 2, eps, cap=10)
    assert (counted.route, derived.route) == ("descent", "flow")
    assert counted.eta == derived.eta
    assert counted.steps > 1000
    # First order in eta: rates up to 2 G = 4, so eta x rate x log(1/eps) is below 1e-3 of it.
    np.testing.assert_allclose(derived.steps, counted.steps, rtol=2e-3)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(1.01 * derived.steps, counted.steps, rtol=2e-3)


def test_the_difference_between_count_and_flow_is_first_order() -> None:
    errors = []
    for eta in (4e-3, 2e-3, 1e-3):
        count = count_steps("shared", [0.5], 3, 1e-4, eta)
        errors.append(count.steps - spectrum_time("shared", [0.5], 3, 1e-4) / eta)
    # steps x eta = T + O(eta): in steps the difference is a constant, up to rounding to integers.
    assert max(errors) - min(errors) < 1.5


def test_theorem_steps_are_the_paper_s() -> None:
    for depth in (2, 64):
        assert theorem_steps("shared", SPECTRUM, depth, 1e-4).eta == (
            descent.shared_admissible_step(np.diag(SPECTRUM), depth)
        )
        assert theorem_steps("zas", SPECTRUM, depth, 1e-4).eta == (
            descent.zas_admissible_step(np.diag(SPECTRUM), depth)
        )
    with pytest.raises(ValueError, match="method"):
        theorem_steps("identity", SPECTRUM, 2, 1e-4)


@pytest.mark.parametrize("depth", [2, 30, 500])
@pytest.mark.parametrize("seed", [0, 1])
def test_zas_with_step_one_is_there_after_one_step(depth: int, seed: int) -> None:
    target = np.random.default_rng(seed).normal(size=(4, 4))  # any target
    assert matrix_steps("zas", target, depth, 1e-20, 1.0, 5) == 1
    singular = np.linalg.svd(target, compute_uv=False)
    assert steps_to("zas", singular, depth, 0.99, 1e-20, 5)[0] > 1
    assert best_steps("zas", SPECTRUM, depth, 1e-6, robust=False)[:2] == (1.0, 1.0)
    assert best_steps("zas", SPECTRUM, depth, 1e-6).steps > 5


@pytest.mark.parametrize("method", ["shared", "zas"])
@pytest.mark.parametrize("depth", [2, 16, 128])
def test_best_is_best(method: str, depth: int) -> None:
    best = best_steps(method, SPECTRUM, depth, 1e-6)
    proved = proved_steps(method, SPECTRUM, depth, 1e-6)
    assert best.steps <= proved.steps
    # Interior: neither end of the search, 1/2 and 20 times the proved step.
    assert 0.6 < best.eta / proved.eta < 15.0
    # Anything within 1 % does as well, and a far wider, coarser search finds nothing better that
    # its own neighbours keep.
    near = best.eta * np.array([1 / 1.01, 1.0, 1.01])
    assert np.max(steps_to(method, SPECTRUM, depth, near, 1e-6, 5000)) == best.steps
    wide = proved.eta * 1.01 ** np.arange(-300, 600)
    counts = steps_to(method, SPECTRUM, depth, wide, 1e-6, int(3 * proved.steps))
    kept = np.maximum(np.maximum(counts[:-2], counts[1:-1]), counts[2:])
    assert np.min(kept) >= best.steps - 1  # another grid's phase can gain a step


def test_steps_are_counted_from_the_last_loss_above() -> None:
    # eta L phi^p = 1.9: the sign alternates, R falls by 0.81 a step; nothing is counted early.
    phi, depth = [1.1], 4
    eta = 1.9 * admissible.shared_step(phi, depth)
    path = descent.shared_values(phi, depth, eta, 200)
    losses = descent.value_losses(path, phi)
    last = int(np.flatnonzero(losses > 1e-6 * losses[0])[-1])
    assert steps_to("shared", phi, depth, eta, 1e-6, 200)[0] == last + 1
    assert np.isinf(steps_to("shared", phi, depth, 3.0 * eta, 1e-6, 200)[0])
    assert np.isinf(steps_to("shared", phi, depth, eta, 1e-6, last)[0])


def test_sharing_stops_growing_with_depth_and_zas_does_not() -> None:
    shared = [best_steps("shared", SPECTRUM, n, 1e-6).steps for n in (128, 2048)]
    zas = [best_steps("zas", SPECTRUM, n, 1e-6).steps for n in (128, 2048)]
    assert shared[1] <= 1.05 * shared[0]
    exponent = np.log(zas[1] / zas[0]) / np.log(16.0)
    assert 0.3 < exponent < 0.5


def test_proved_count_is_within_its_proof() -> None:
    for depth in (2, 64, 1024):
        eta = admissible.shared_step(SPECTRUM, depth)
        shrink = eta * depth * min(SPECTRUM) ** (2 - 2 / depth)
        most = np.ceil(np.log(1e6) / (-2.0 * np.log1p(-shrink)))
        assert proved_steps("shared", SPECTRUM, depth, 1e-6).steps <= most
        eta = admissible.zas_step(SPECTRUM, depth)
        assert proved_steps("zas", SPECTRUM, depth, 1e-6).steps <= np.ceil(np.log(1e6) / (2 * eta))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("tied", SPECTRUM, 2, 0.1, 0.1, 9), "method"),
        (("zas", [-1.0], 2, 0.1, 0.1, 9), "spectrum"),
        (("zas", SPECTRUM, 0, 0.1, 0.1, 9), "depth"),
        (("zas", SPECTRUM, 2, 0.0, 0.1, 9), "eta"),
        (("zas", SPECTRUM, 2, 0.1, 1.5, 9), "eps"),
    ],
)
def test_what_is_outside_is_refused(arguments: tuple[Any, ...], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        steps_to(*arguments)
    with pytest.raises(ValueError, match="method"):
        matrix_steps("tied", np.eye(2), 2, 0.1, 0.1, 9)
