"""The rule that looks one step ahead, and the run in which it is wrong."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

from theory.models import quadratic
from theory.models.horizon import critical_horizon
from theory.models.predictions import Split, best_tau
from theory.models.quadratic import Quadratic
from theory.theorems import one_step
from theory.theorems.alignment import alignment

STIFF = np.array([64.0, *[1.0] * 7])
RANDOM = np.exp(np.random.default_rng(4).normal(size=5))


def flow(h: np.ndarray, end: float, tau: float) -> float:
    """R at the end by integrating every layer: the mean gradient until tau, then its own."""

    def tied(_: float, x: np.ndarray) -> np.ndarray:
        return np.full(x.size, -np.mean(h * x))

    x = np.ones(h.size)
    for law, span in ((tied, tau), (lambda _, x: -h * x, end - tau)):
        if span > 0.0:
            x = solve_ivp(law, (0.0, span), x, method="DOP853", rtol=1e-11, atol=1e-14).y[:, -1]
    return float(0.5 * h @ x**2)


@pytest.mark.parametrize("h", [STIFF, RANDOM], ids=["one stiff layer", "random"])
def test_final_loss_against_an_integrator(h: np.ndarray) -> None:
    end = 4.0 / float(h.max())
    for tau in (0.0, 0.3 * end, end):
        assert one_step.final_loss(h, end, tau) == pytest.approx(flow(h, end, tau), rel=1e-8)


def test_slope_is_the_derivative_of_the_final_loss() -> None:
    end = 0.1
    for tau in (0.01, 0.06):
        rise = quad(lambda t: float(one_step.slope(STIFF, end, t)), 0.0, tau, epsrel=1e-12)[0]
        losses = one_step.final_loss(STIFF, end, [0.0, tau])
        assert rise == pytest.approx(losses[1] - losses[0], rel=1e-9)


def test_one_step_says_untie_and_the_run_says_tie() -> None:
    """h = (64, 1 x 7), one start, one optimum, no noise: T > 2.11 / max h and tying first gains."""
    gradients = STIFF  # at x = 1
    share = float(alignment(gradients[:, None, None]))
    assert share == pytest.approx(71**2 / (8 * (64**2 + 7)))
    split = Split(0, gradients**2, np.zeros(8), float(gradients.mean()) ** 2, 0.0)
    for rule in (None, "adam", "sign"):
        assert best_tau([split], 100, rule) == 0
    turn = brentq(lambda time: float(one_step.slope(STIFF, time)), 0.0, 1.0)
    assert turn * 64 == pytest.approx(2.11, abs=0.005)
    assert critical_horizon(STIFF) == pytest.approx(turn, rel=1e-9)  # brentq: 2e-12 absolute
    taus = np.linspace(0.0, 1.0, 2001)
    for end in (0.5 * turn, 0.99 * turn):
        assert np.argmin(one_step.final_loss(STIFF, end, taus * end)) == 0
    for end in (1.01 * turn, 2.0 * turn, 10.0 * turn):
        losses = one_step.final_loss(STIFF, end, taus * end)
        assert losses.min() < losses[0]
        assert taus[np.argmin(losses)] * end == pytest.approx(end - turn, abs=1e-3 * end)


def test_exchangeable_layers_never_gain_without_noise() -> None:
    """The rule's own ground: [H, Q] = 0, one rate. Every tau > 0 ends higher, at any T."""
    problem = Quadratic(depth=8, own=0.3, common=0.2, bias=1.0, start=1.0)
    for steps in (1, 10, 100):
        losses = quadratic.loss_by_tau(problem, quadratic.linear_steps(0.5, steps))
        assert np.all(np.diff(losses) > 0.0)
    assert np.all(one_step.slope(np.full(8, 3.0), [0.1, 1.0, 10.0]) == 0.0)


@pytest.mark.parametrize(
    ("h", "end", "tau", "name"),
    [
        ([[1.0]], 1.0, 0.0, "curvatures"),
        ([1.0, 0.0], 1.0, 0.0, "curvatures"),
        ([1.0, np.nan], 1.0, 0.0, "curvatures"),
        ([1.0], -1.0, 0.0, "time"),
        ([1.0], 1.0, 1.1, "tau"),
        ([1.0], 1.0, -0.1, "tau"),
    ],
)
def test_domain(h: list[float], end: float, tau: float, name: str) -> None:
    for function in (one_step.final_loss, one_step.slope):
        with pytest.raises(ValueError, match=name):
            function(h, end, tau)
