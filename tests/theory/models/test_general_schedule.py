"""Any quadratic, any steps: against simulated runs, the core's rules, and runs one by one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from swe.sharing.schedule import SweAdaptive, SweMultistage
from tests.theory.models.test_switching import K, L, quadratic, random_hessian
from theory.models import general_schedule as general
from theory.models.fit_quadratic import general_losses
from theory.models.general_schedule import Problem
from theory.models.quadratic import linear_steps
from theory.models.switching import trajectory

T = 20


def problem(seed: int, noise: float = 0.0) -> Problem:
    rng = np.random.default_rng(seed)
    S = noise * random_hessian(rng)
    return Problem(random_hessian(rng), rng.normal(size=(L, K)), rng.normal(size=K), S)


def test_without_noise_it_is_the_run() -> None:
    one, steps = problem(0), linear_steps(0.3, T)
    found = general.loss_by_tau(one, steps)
    np.testing.assert_allclose(
        found, general_losses(one.hessian, one.optimum, one.start, steps, list(range(T + 1))),
        rtol=1e-10,
    )  # fmt: skip
    model, start = quadratic(one.hessian, one.optimum), np.tile(one.start, (L, 1))
    for tau in (0, 7, T):
        run = trajectory(model, start, steps, np.arange(T) < tau)
        assert found[tau] == pytest.approx(float(one.loss(run[-1])), rel=1e-10)


def test_with_noise_it_is_the_mean_of_runs() -> None:
    """20000 runs with correlated noise that know gradients and tying only: four tau, |z| < 4.5."""
    one, steps, runs = problem(1, 2.0), linear_steps(0.3, T), 20_000
    assert one.noise is not None
    rng = np.random.default_rng(2)
    root = np.linalg.cholesky(one.noise.reshape(L * K, L * K))
    noise = (rng.normal(size=(T, runs, L * K)) @ root.T).reshape(T, runs, L, K)
    exact = general.loss_by_tau(one, steps)
    for tau in (0, 5, 13, T):
        w = np.broadcast_to(one.start, (runs, L, K))
        for t in range(T):
            g = one.gradient(w) + noise[t]
            w = w - steps[t] * (g.mean(axis=1, keepdims=True) if t < tau else g)
        losses = one.loss(w)
        error = losses.std(ddof=1) / runs**0.5
        assert abs(losses.mean() - exact[tau]) < 4.5 * error
        assert abs(losses.mean() - 1.04 * exact[tau]) > 4.5 * error


def test_best_tau_is_the_least() -> None:
    """A common optimum and different curvatures: an inner one, of the curve itself."""
    h = np.diag([1.0, 0.1, 0.1, 0.1]).reshape(4, 1, 4, 1)
    one = Problem(h, np.ones((4, 1)), np.zeros(1))
    steps = np.full(60, 0.5)
    tau = general.best_tau(one, steps)
    curve = general_losses(h, one.optimum, one.start, steps, [tau - 1, tau, tau + 1])
    assert 0 < tau < 60
    assert curve[1] < min(curve[0], curve[2])


def test_stages_are_runs_of_groups() -> None:
    """Boundary 0 opens at 3, boundary 2 at 10, boundary 1 never: by hand, group by group."""
    one, steps = problem(3), linear_steps(0.3, T)
    w = np.tile(one.start, (L, 1))
    for t in range(T):
        g = one.gradient(w).copy()
        groups = [[0, 1, 2, 3]] if t < 3 else [[0], [1, 2, 3]] if t < 10 else [[0], [1, 2], [3]]
        for group in groups:
            g[group] = g[group].mean(axis=0)
        w = w - steps[t] * g
    found = general.stage_losses(one, steps, [[3, T, 10], [5, 5, 5]])
    assert found[0] == pytest.approx(float(one.loss(w)), rel=1e-12)
    assert found[1] == pytest.approx(general.loss_by_tau(one, steps)[5], rel=1e-10)


def test_best_stages_are_the_least_of_all_chains() -> None:
    h = np.diag([2.0, 0.8, 0.3, 0.1]).reshape(4, 1, 4, 1)
    one, steps = Problem(h, np.ones((4, 1)), np.zeros(1)), linear_steps(0.9, T)
    times, least, single = general.best_stages(one, steps, 5)
    assert least == pytest.approx(general.stage_losses(one, steps, times[None])[0], rel=1e-14)
    assert single == pytest.approx(general.loss_by_tau(one, steps)[::5].min(), rel=1e-10)
    rng = np.random.default_rng(5)
    others = general.stage_losses(one, steps, rng.integers(0, 5, (200, L - 1)) * 5)
    assert least <= others.min()
    assert least < single


@pytest.mark.parametrize("rule", ["swe-a", "swe-m"])
def test_rules_are_those_of_the_core(rule: Any) -> None:
    """The core's schedule, fed with the gradients of a run, opens the same boundaries."""
    steps, opened = linear_steps(0.3, 40), 0
    schedule = (
        SweAdaptive(interval=3, rho=0.5) if rule == "swe-a" else SweMultistage(interval=3, rho=0.5)
    )
    for seed in range(6):
        one = problem(10 + seed)
        found = general.cosine_stages(one, steps, rule, 3)
        state, w = schedule.start(L), np.tile(one.start, (L, 1))
        times = np.full(L - 1, 40)
        for t, size in enumerate(steps):
            g = one.gradient(w)
            cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairwise(g)]
            state = schedule.decide(state, t, 40, cosines)
            cuts = np.cumsum(state.layout.groups)[:-1] - 1
            times[[i for i in cuts if times[i] == 40]] = t
            w = w - size * (general._group_means(tuple(times <= t)) @ g)
        np.testing.assert_array_equal(found, times)
        opened += int(np.sum(times < 40))
    assert opened > 3


def test_adjacent_cosines_written_out() -> None:
    found = general.adjacent_cosines(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
    assert found[0] == pytest.approx(0.5**0.5, rel=1e-14)
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("optimum must have", lambda: Problem(np.eye(4), np.ones((2, 2)), np.ones(2))),
        ("start must have", lambda: Problem(problem(0).hessian, np.ones((L, K)), np.ones(1))),
        ("times must have", lambda: general.stage_losses(problem(0), [0.1], [[0]])),
        ("times must lie", lambda: general.stage_losses(problem(0), [0.1], [[0, 0, 2]])),
        ("points must be", lambda: general.best_stages(problem(0), [0.1], 1)),
        ("interval must be", lambda: general.cosine_stages(problem(0), [0.1], "swe-a", 0)),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=message):
        call()
