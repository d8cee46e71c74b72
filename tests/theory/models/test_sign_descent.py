"""Noisy sign descent: closed forms, multiprecision, integrator, bounds, simulation."""

import json
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from evidence.claim import Finding
from theory.claims import sign_descent as sign_descent_claims
from theory.models import sign_descent
from theory.models.sign_descent import Rule
from theory.studies import sign_descent as sign_descent_study
from theory.toys.adam_claims import adam_gain

LION: Any = "lion"
RULES: tuple[Rule, ...] = ("sign", "adam")


def exact_drift(r: mpmath.mpf, rule: Rule) -> mpmath.mpf:
    return mpmath.erf(r / mpmath.sqrt(2)) if rule == "sign" else r / mpmath.sqrt(1 + r**2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("depth", [1, 2, 12, 4096])
def test_gain_against_multiprecision(rule: Rule, depth: int) -> None:
    for r in (1e-12, 1e-9, 4e-7, 1e-4, 0.03, 1.0, 7.0, 300.0):
        with mpmath.workdps(40):
            snr = mpmath.mpf(r)
            exact = exact_drift(mpmath.sqrt(depth) * snr, rule) / exact_drift(snr, rule)
        found = float(sign_descent.gain_from_snr(r, depth, rule))
        assert found == pytest.approx(float(exact), rel=2e-13), r  # the small-r limit's error


@given(snr=st.floats(-1e6, 1e6), depth=st.integers(1, 10**6), rule=st.sampled_from(RULES))
def test_gain_lies_between_one_and_the_root_of_the_depth(
    snr: float, depth: int, rule: Rule
) -> None:
    gain = float(sign_descent.gain_from_snr(snr, depth, rule))
    assert 1 - 1e-12 <= gain <= depth**0.5 * (1 + 1e-12)
    assert gain == float(sign_descent.gain_from_snr(-snr, depth, rule))


def test_gain_limits_and_correlated_noise() -> None:
    for rule in RULES:
        assert float(sign_descent.gain_from_snr(0.0, 16, rule)) == 4.0
        assert float(sign_descent.gain_from_snr(1e9, 16, rule)) == pytest.approx(1.0, abs=1e-12)
        # Noise that all layers share does not average.
        assert float(sign_descent.gain_from_snr(0.1, 16, rule, 1.0)) == 1.0
        # Written out: 16 / (1 + 15 * 0.2) = 4 independent noises.
        assert float(sign_descent.gain_from_snr(0.1, 16, rule, 0.2)) == pytest.approx(
            float(sign_descent.gain_from_snr(0.1, 4, rule)), rel=1e-14
        )


def test_correlated_noise_averages_as_the_effective_depth() -> None:
    rng = np.random.default_rng(3)
    L, c, n = 6, 0.3, 200_000
    noise = np.sqrt(1 - c) * rng.normal(size=(n, L)) + np.sqrt(c) * rng.normal(size=(n, 1))
    mean = noise.mean(axis=1)
    expected = 1 / float(sign_descent.effective_depth(L, c))
    assert abs(mean.var() / expected - 1) < 4 * np.sqrt(2 / n)


def test_expected_sign_by_quadrature_and_by_sampling() -> None:
    for r in (0.05, 0.7, 2.5):
        with mpmath.workdps(30):
            above = mpmath.quad(mpmath.npdf, [-r, 0, 10, mpmath.inf])
        assert float(sign_descent.drift(r)) == pytest.approx(float(2 * above - 1), rel=1e-13)
    rng = np.random.default_rng(4)
    tied, tied_error, own, own_error = sign_descent_study.sampled_speeds(rng, 0.4, 9, 200_000)
    # Three times the signal-to-noise of one layer when nine are averaged.
    assert abs(tied - sign_descent.drift(1.2)) < 4 * tied_error
    assert abs(own - sign_descent.drift(0.4)) < 4 * own_error
    # 1 % more signal-to-noise of the single layer is seen.
    assert abs(own - sign_descent.drift(0.4 * 1.02)) > 4 * own_error


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("start", "end", "slope"), [(1.0, 0.5, 1e-3), (1.0, 1e-6, 0.3), (5.0, 0.1, 40.0), (1, 0.999, 2)]
)
def test_steps_to_reach_against_multiprecision(
    rule: Rule, start: float, end: float, slope: float
) -> None:
    depth, eta = 7, 0.01
    with mpmath.workdps(30):
        scale = mpmath.sqrt(depth) * mpmath.mpf(slope)
        cuts = [mpmath.log(end) + (mpmath.log(start) - mpmath.log(end)) * i / 12 for i in range(13)]
        exact = mpmath.quad(
            lambda u: mpmath.exp(u) / exact_drift(scale * mpmath.exp(u), rule), cuts
        )
    found = float(sign_descent.steps_to_reach(start, end, eta, slope, depth, rule))
    assert found == pytest.approx(float(exact / mpmath.mpf(eta)), rel=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_steps_to_reach_solve_the_drift_equation(rule: Rule) -> None:
    eta, slope, depth = 0.05, 0.8, 5
    steps = float(sign_descent.steps_to_reach(2.0, 0.1, eta, slope, depth, rule))
    path = solve_ivp(
        lambda _, x: -eta * sign_descent.drift(np.sqrt(depth) * slope * x, rule),
        (0.0, steps),
        [2.0],
        method="DOP853",
        rtol=1e-11,
        atol=1e-13,
    )
    assert path.y[0, -1] == pytest.approx(0.1, rel=1e-8)


def test_steps_to_reach_broadcast_and_limits() -> None:
    many = sign_descent.steps_to_reach(1.0, 0.1, 0.01, [1e-6, 1e6], [[1], [16]], "sign")
    assert many.shape == (2, 2)
    np.testing.assert_allclose(many[0, 0] / many[1, 0], 4.0, rtol=1e-9)  # noise: sqrt(L)
    np.testing.assert_allclose(many[:, 1], 90.0, rtol=1e-9)  # no noise: (1 - 0.1) / 0.01
    assert float(sign_descent.steps_to_reach(1.0, 1.0, 0.1, 1.0)) == 0.0


def test_simulated_descent_takes_the_predicted_steps() -> None:
    """The drift equation is the limit of small steps: at eta = 0.005 it is within 2 %."""
    row = sign_descent_study.reach(np.random.default_rng(5), [1.0], 9, 0.005, 400)[0]
    for name in ("tied", "unshared"):
        room = 4 * row[f"{name}_standard_error"] + 0.02 * row[f"{name}_predicted"]
        assert abs(row[f"{name}_steps"] - row[f"{name}_predicted"]) < room
    assert row["gain"] == pytest.approx(row["predicted"], rel=0.05)
    assert row["predicted"] > 1.5


def test_floors_are_the_price_of_the_gain() -> None:
    arms = sign_descent_study.floors(np.random.default_rng(6), 16, 0.02, 400)["arms"]
    for arm in arms.values():
        # First order in eta: the saturation of erf at the floor adds 3 % at eta = 0.02.
        room = 4 * arm["standard_error"] + 0.04 * arm["predicted"]
        assert abs(arm["floor"] - arm["predicted"]) < room
    predicted = {name: arm["predicted"] for name, arm in arms.items()}
    assert predicted["tied"] == pytest.approx(4 * predicted["unshared"], rel=1e-12)
    assert predicted["tied"] == pytest.approx(predicted["unshared, sqrt(L) eta"], rel=1e-12)


def test_a_path_that_stays_above_is_refused() -> None:
    assert sign_descent_study.crossing(np.array([1.0, 0.6, 0.2]), 0.3) == 1.75
    with pytest.raises(ValueError, match="level"):
        sign_descent_study.crossing(np.array([1.0, 0.6]), 0.3)


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        (
            "1 % more",
            lambda: sign_descent_claims.check_sign(
                0, "smoke", lambda r, n: 1.01 * sign_descent_claims.sign_gain(r, n)
            ),
        ),
        (
            "1 % less",
            lambda: sign_descent_claims.check_sign(
                0, "smoke", lambda r, n: 0.99 * sign_descent_claims.sign_gain(r, n)
            ),
        ),
        (
            "the Adam rule",
            lambda: sign_descent_claims.check_sign(0, "smoke", adam_gain),
        ),
    ],
)
def test_a_wrong_formula_differs(name: str, finding: Callable[[], Finding]) -> None:
    assert finding().verdict == "fails", name


def test_study_is_json_and_a_function_of_the_seed() -> None:
    data = sign_descent_study.study(1, "smoke")
    json.dumps(data, allow_nan=False)
    assert data == sign_descent_study.study(1, "smoke")
    assert data["gains"] != sign_descent_study.study(2, "smoke")["gains"]
    assert data["caption_numbers"]["largest_z"] < 4.5  # five points
    with pytest.raises(ValueError, match="scale"):
        sign_descent_study.study(0, "tiny")


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("snr must be finite", lambda: sign_descent.drift(np.inf)),
        ("rule must be", lambda: sign_descent.drift(1.0, LION)),
        ("depth must be", lambda: sign_descent.gain_from_snr(1.0, 0)),
        ("correlation must", lambda: sign_descent.effective_depth(2, 1.5)),
        ("end must", lambda: sign_descent.steps_to_reach(1.0, 2.0, 0.1, 1.0)),
        ("eta must", lambda: sign_descent.steps_to_reach(1.0, 0.5, 0.0, 1.0)),
        ("slope must", lambda: sign_descent.steps_to_reach(1.0, 0.5, 0.1, 0.0)),
        ("eta must", lambda: sign_descent.noise_floor(0.0, 1.0, 2, True)),
        ("slope must", lambda: sign_descent.noise_floor(0.1, -1.0, 2, True)),
    ],
)
def test_bad_arguments_are_refused_by_name(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=words):
        call()
