"""Step sizes: the two proofs as properties, the measured limits by another route."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory.linear import descent
from theory.linear.targets import TARGETS
from theory.theorems import bounds
from theory.theorems.admissible import (
    ROOM,
    THEOREMS,
    largest_step,
    proved_step,
    rounding_room,
    shared_bound,
    shared_step,
    theorem_step,
    zas_bound,
    zas_step,
)

FAST = 1.02
"""A mutated bound: the rate 2 % larger."""

spectra = st.lists(st.floats(-2.5, 2.0), min_size=1, max_size=4).map(
    lambda logs: np.exp(np.array(logs))
)


def log_ratio(
    theorem: str, phi: np.ndarray, depth: int, eta: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """log R_k / R_0 by `theory.linear.descent`, down to rounding, and the room for rounding."""
    run = descent.shared_values if theorem == "theorem4" else descent.zas_values
    losses = descent.value_losses(run(phi, depth, eta, steps), phi)
    low = losses < max(descent.loss_floor(phi, eta), 1e-22 * float(losses[0]))
    losses = losses[: int(np.argmax(low)) if np.any(low) else None]
    return np.log(losses / losses[0]), rounding_room(losses, phi, depth)


@settings(deadline=None, max_examples=150)
@given(spectra, st.integers(1, 2000), st.floats(0.01, 1.0))
@example(np.array([0.1, 5.0]), 2, 1.0)
@example(np.array([1e-2]), 40, 1.0)
def test_sharper_theorem4(phi: np.ndarray, depth: int, part: float) -> None:
    phi = np.where(np.abs(phi - 1.0) < 1e-6, 1.1, phi)  # R(0) must not be rounding
    eta = part * shared_step(phi, depth)
    found, room = log_ratio("theorem4", phi, depth, eta, 120)
    when = np.arange(found.size, dtype=np.float64)
    with np.errstate(divide="ignore"):
        bound = np.log(shared_bound(when, eta, phi, depth))
    assert np.all(found <= bound + room)
    paper = np.log(bounds.theorem4(when, eta, float(np.min(phi)), depth))
    assert np.all(bound <= paper + ROOM)


@settings(deadline=None, max_examples=150)
@given(spectra, st.integers(1, 2000), st.floats(0.01, 1.0))
@example(np.array([1e-2]), 2, 0.99)
@example(np.array([5.0, 5.0]), 3, 1.0)
def test_sharper_theorem3(phi: np.ndarray, depth: int, part: float) -> None:
    eta = part * min(zas_step(phi, depth), 0.999)  # 1 (L = 1) ends in one step: log 0
    found, room = log_ratio("theorem3", phi, depth, eta, 120)
    when = np.arange(found.size, dtype=np.float64)
    bound = np.log(zas_bound(when, eta))
    assert np.all(found <= bound + room)
    assert np.all(bound <= np.log(bounds.theorem3(when, eta)) + ROOM)


def test_a_rate_two_per_cent_larger_is_too_large() -> None:
    phi, depth = np.array([0.97]), 4
    eta = 0.3 * shared_step(phi, depth)
    found, room = log_ratio("theorem4", phi, depth, eta, 200)
    bound = np.log(shared_bound(np.arange(found.size), eta, phi, depth))
    assert np.all(found <= bound + room)
    assert np.any(found > FAST * bound + room)
    phi = np.array([0.01])
    eta = 0.3 * zas_step(phi, depth)
    found, room = log_ratio("theorem3", phi, depth, eta, 200)
    bound = np.log(zas_bound(np.arange(found.size), eta))
    assert np.all(found <= bound + room)
    assert np.any(found > FAST * bound + room)


@pytest.mark.parametrize("seed", range(4))
def test_on_full_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth, d = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    target = rng.normal(size=(d, d))  # any real target
    eta = zas_step(np.linalg.svd(target, compute_uv=False), depth)
    losses = descent.zas(target, depth, eta, 80).losses
    bound = losses[0] * zas_bound(np.arange(81), eta)
    assert np.all(losses <= bound * (1 + 1e-9) + 1e-26)
    positive = target @ target.T + 0.3 * np.eye(d)
    eta = shared_step(np.linalg.eigvalsh(positive), depth)
    losses = descent.shared(positive, descent.identity_start(depth, d), eta, 80).losses
    bound = losses[0] * shared_bound(np.arange(81), eta, np.linalg.eigvalsh(positive), depth)
    assert np.all(losses <= bound * (1 + 1e-9) + 1e-24)


@pytest.mark.parametrize(("sigma", "depth"), [(0.3, 2), (2.0, 7), (1.0, 900)])
def test_zas_step_is_its_formula(sigma: float, depth: int) -> None:
    with mpmath.workdps(30):
        # On the hyperbola log a^2 = y, log sigma = (L-1)/2 y + log(e^y - 1)/2.
        y = mpmath.findroot(
            lambda y: (depth - 1) * y / 2 + mpmath.log(mpmath.expm1(y)) / 2 - mpmath.log(sigma),
            (1e-6, 3.0),
            solver="anderson",
        )
        a2, b2 = mpmath.exp(y), mpmath.expm1(y)
        formula = a2 ** (depth - 2) * (a2 + (depth - 1) * b2)
    np.testing.assert_allclose(zas_step([0.1, sigma], depth), float(1 / formula), rtol=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 64, 4096])
def test_theorem3_s_own_step_is_shorter_than_the_proved_one(depth: int) -> None:
    """What makes THM3 a case of THM3-STEP: the chain of its proof, link by link."""
    for size in (1, 4):
        for smax in np.geomspace(1e-8, 1e6, 57):
            spectrum = np.linspace(0.0, smax, size + 1)[1:]  # ||Phi||_F from smax to 2 smax
            frobenius = float(np.linalg.norm(spectrum))
            steepest = 1.0 / zas_step(spectrum, depth)
            assert steepest <= max(2.0 * np.e, depth**2 * smax**2) * (1.0 + 1e-12)
            xi = max(2.0 * frobenius, 3.0 / depth**0.5, 1.0)
            paper = theorem_step("theorem3", spectrum, depth)
            assert paper <= 1.0 / (144.0 * depth**2 * xi**4) * (1.0 + 1e-12)
            assert paper * steepest < 1.0 / 20.0
    eta = np.linspace(1e-3, 1.499, 400)
    assert np.all((1.0 - eta) ** 2 <= 1.0 - eta / 2.0)


def test_shared_step_written_out() -> None:
    assert shared_step([0.2, 0.9], 10) == 0.1
    np.testing.assert_allclose(shared_step([0.5, 4.0], 2), 1 / 8)
    np.testing.assert_allclose(shared_step([4.0], 4), 1 / 32)


def keeps(theorem: str, values: list[float], depth: int, eta: float, steps: int = 1200) -> bool:
    """The theorem's inequality at every step, by its update rule in 500 digits."""
    with mpmath.workdps(500):
        step_size = mpmath.mpf(eta)
        layers = [[mpmath.mpf(1), mpmath.mpf(theorem == "theorem4")] for _ in values]
        factor = (
            mpmath.exp(-(2 * depth - 2) * min(1, min(values)) ** 2 * step_size)
            if theorem == "theorem4"
            else 1 - step_size / 2
        )
        allowed, first = mpmath.mpf(1), mpmath.mpf(0)
        for step in range(steps):
            loss = mpmath.mpf(0)
            for pair, value in zip(layers, values, strict=True):
                a, b = pair
                power = a ** (depth - 2)
                residual = power * a * b - value
                loss += residual**2
                pull = step_size * residual * power
                pair[1] = b - pull * a
                pair[0] = pair[1] if theorem == "theorem4" else a - pull * b
            first = loss if step == 0 else first
            if loss > first * allowed * (1 + mpmath.mpf(ROOM)):
                return False
            allowed *= factor
    return True


@pytest.mark.parametrize("theorem", THEOREMS)
@pytest.mark.parametrize("name", ["all above one", "across one", "all below one"])
@pytest.mark.parametrize("depth", [2, 12])
def test_largest_step_by_the_theorem_itself(theorem: str, name: str, depth: int) -> None:
    phi = np.array(TARGETS[name])
    limit = largest_step(theorem, phi, depth)

    # Violations next to the limit come late, when R is far below rounding: 500 digits.
    for part in (0.3, 0.6, 0.8, 0.9, 0.95, 0.98):
        assert keeps(theorem, TARGETS[name], depth, part * limit)
    assert not keeps(theorem, TARGETS[name], depth, 1.02 * limit)
    assert limit >= proved_step(theorem, phi, depth) > theorem_step(theorem, phi, depth)


@pytest.mark.parametrize("depth", [2, 9, 300])
def test_sharing_s_step_is_within_two_of_the_best_possible(depth: int) -> None:
    # For lmax >= 1, eta L lmax^p > 2 repels from the target: no inequality survives it.
    for phi in ([1.5, 2.0, 3.0], [0.5, 1.2, 2.0], [0.05, 1.5, 2.0], [1.01]):
        assert 1.25 < largest_step("theorem4", phi, depth) / shared_step(phi, depth) <= 2.0


def test_the_order_is_one_over_depth() -> None:
    for theorem, power in (("theorem4", 2), ("theorem3", 3)):
        true, proved, paper = (
            np.array([f(theorem, [0.5, 1.2, 2.0], n) for n in (32, 128)])
            for f in (largest_step, proved_step, theorem_step)
        )
        # Up to L^(1 - 2/L) with sharing and logarithms for ZAS.
        assert abs(np.log(true[0] / true[1]) / np.log(4) - 1.0) < 0.05
        assert abs(np.log(proved[0] / proved[1]) / np.log(4) - 1.0) < 0.05
        np.testing.assert_allclose(np.log(paper[0] / paper[1]) / np.log(4), power, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: shared_step([], 2), "spectrum"),
        (lambda: zas_step([-1.0], 2), "spectrum"),
        (lambda: shared_step([1.0], 0), "depth"),
        (lambda: shared_bound(3, 1.01 * shared_step([2.0], 3), [2.0], 3), "eta"),
        (lambda: zas_bound(3, 1.2), "eta"),
        (lambda: largest_step("theorem4", [2.0], 1), "depth"),
        (lambda: largest_step("theorem5", [2.0], 2), "theorem"),
    ],
)
def test_what_is_outside_is_refused(call: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        call()
