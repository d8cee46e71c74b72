"""The staircase under noisy steps: integrators, limits, the front, and runs with real noise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from theory.models import staircase, staircase_steps
from theory.models.sign_descent import Rule, drift
from theory.models.staircase_swe import Staircase
from theory.numerics.domain import Array

LION: Any = "lion"
RULES: tuple[Rule, ...] = ("sign", "adam")


def expected_path(starts: Array, times: Array, noise: float, rule: Rule, depth: int = 0) -> Array:
    """Losses (n,) by DOP853 on the weights; `depth` > 0 ties that many layers."""

    def field(_: float, w: Array) -> Array:
        g = -staircase.gradient(w)
        if not depth:
            return drift(g / noise, rule)
        return np.full_like(w, drift(g.sum() / depth * depth**0.5 / noise, rule))

    found = solve_ivp(
        field, (0.0, float(times[-1])), starts, "DOP853", t_eval=times, rtol=1e-10, atol=1e-12
    )
    return np.asarray(staircase.loss(found.y.T))


@pytest.mark.parametrize("rule", RULES)
def test_expected_steps_against_another_integrator(rule: Rule) -> None:
    starts, levels = np.array([0.1, 0.15, 0.1]), [0.3, 0.1, 0.01]
    times = staircase_steps.untied_steps(starts, levels, 0.2, rule)
    np.testing.assert_allclose(expected_path(starts, times, 0.2, rule), levels, rtol=1e-4)
    for depth in (3, 7):
        ends = np.array([0.3, 0.6, 0.95])
        tied = staircase_steps.tied_steps(0.1, ends, 3, 0.2, rule, depth)
        found = expected_path(np.full(3, 0.1), tied, 0.2, rule, depth)
        np.testing.assert_allclose(found, staircase.tied_loss(ends**2, 3), rtol=1e-8)


@pytest.mark.parametrize("rule", RULES)
def test_full_noise_is_the_root_of_the_depth_times_the_flow(rule: Rule) -> None:
    for skills, depth in ((4, 4), (4, 9)):
        stairs = Staircase(skills, 0.1, depth)
        flow = stairs.time_to(0.1, 0.1) / stairs.time_to(0.1, 1.0)
        found = staircase_steps.gain(0.1, skills, 1e3, 0.1, rule, depth)
        assert found == pytest.approx(depth**0.5 * flow, rel=1e-5)
    # The bound: the speed is the flow's up to a factor in [1 - z^2 / 6, 1] or [1 - z^2 / 2, 1].
    z = np.linspace(1e-3, 2.0, 50)
    speed = drift(z, rule) / z / staircase_steps.SLOPE[rule]
    assert np.all(speed <= 1.0)
    assert np.all(speed >= 1.0 - z**2 / (6.0 if rule == "sign" else 2.0))


def test_without_noise_there_is_nothing_to_gain_at_first() -> None:
    """All layers take one step together while all S_l > 0."""
    quiet = staircase_steps.gain(0.3, 4, 1e-4, 0.5)
    assert quiet == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("skills", "gain"), [(8, 3.51), (16, 6.18), (32, 10.83)])
def test_gains_between_as_another_program_found_them(skills: int, gain: float) -> None:
    assert staircase_steps.gain(0.03, skills, 0.06 / skills, 0.1) == pytest.approx(gain, abs=0.01)


def test_letting_go_under_noise() -> None:
    levels, noise = [0.2, 0.02], 0.3
    untied = staircase_steps.untied_steps([0.1] * 4, levels, noise)
    joined = [staircase_steps.swe_steps(w0, 0.5, levels, 4, noise) for w0 in (0.1, 0.2)]
    np.testing.assert_allclose(
        staircase_steps.swe_steps(0.1, 0.1, levels, 4, noise), untied, rtol=1e-9
    )
    later = expected_path(
        np.full(4, 0.5),
        joined[0] - float(staircase_steps.tied_steps(0.1, 0.5, 4, noise)),
        noise,
        "sign",
    )
    np.testing.assert_allclose(later, levels, rtol=1e-4)
    apart = float(staircase_steps.tied_steps(0.1, 0.2, 4, noise))
    np.testing.assert_allclose(joined[0] - joined[1], apart, rtol=1e-6)
    # In full noise the sign of letting go is that of 1 / sqrt(K) - A.
    for skills in (4, 9):
        w = np.full(skills, 0.9999)
        g = staircase.gradient(w)
        found = float(g.sum() ** 2 / (skills * np.sum(g**2)))
        assert staircase_steps.end_alignment(skills) == pytest.approx(found, rel=2e-3)
        end = float(staircase.tied_loss(0.98**2, skills))
        late = staircase_steps.swe_steps(0.1, 0.95, [end], skills, 50.0)[0]
        assert late > float(staircase_steps.tied_steps(0.1, 0.98, skills, 50.0))
    assert staircase_steps.end_alignment(10**4) == pytest.approx(5 / 6, rel=1e-3)


def test_front_against_small_steps() -> None:
    skills, wait, dx = 6, 0.08, 2e-4
    w, filled, x = np.zeros(skills), np.zeros(skills), 0.0
    began: list[float] = []
    while len(began) < skills:
        p = np.concatenate([[1.0], np.cumprod(np.minimum(w, 1.0) ** 2)[:-1]])
        filled = filled + p * dx
        w = w + np.where(filled >= wait, dx, 0.0)
        x += dx
        began += [x] * (int(np.count_nonzero(w)) - len(began))
    found = staircase_steps.front(skills, wait)
    np.testing.assert_allclose(found, began, atol=5e-3)
    gain = (began[-1] + 1) / (1 + 6**0.5 * wait)
    assert staircase_steps.front_gain(skills, wait) == pytest.approx(gain, abs=4e-3)


def test_front_written_out() -> None:
    for wait in (1 / 3 + 1e-9, 2.0):
        spaced = wait + np.arange(5) * (wait + 2 / 3)
        np.testing.assert_allclose(staircase_steps.front(5, wait), spaced, atol=1e-6)
        closed = (5 * wait + 11 / 3) / (1 + 5**0.5 * wait)
        assert staircase_steps.front_gain(5, wait) == pytest.approx(closed, abs=1e-6)
    # Two at a time at the spacing 1/2: int_0^(1/2) x^2 (x + 1/2)^2 dx = 31 / 960
    steady = np.diff(staircase_steps.front(12, 31 / 960))
    np.testing.assert_allclose(steady[-3:], 0.5, atol=1e-4)
    wait, gain = staircase_steps.best_front(9)
    waits = wait * np.array([0.9, 1.1])
    assert gain == pytest.approx(staircase_steps.front_gain(9, wait), rel=1e-12)
    assert all(staircase_steps.front_gain(9, float(other)) < gain for other in waits)


@pytest.mark.parametrize("skills", [4, 8])
@pytest.mark.parametrize("wait", [0.1, 1.0])
def test_the_front_is_what_small_starts_tend_to(skills: int, wait: float) -> None:
    """Logarithmically slowly, and up to the climb beyond 1 that it leaves out."""
    gaps = []
    for start in (1e-1, 1e-4, 1e-8):
        noise = staircase_steps.noise_of_wait(wait, start, skills)
        gain = staircase_steps.gain(start, skills, noise, 0.25 / skills)
        gaps.append(gain / staircase_steps.front_gain(skills, wait) - 1.0)
    assert -0.13 < gaps[2] < 0.0
    assert abs(gaps[2]) < abs(gaps[1])


def test_the_best_gain_grows_almost_like_the_depth() -> None:
    best = {k: staircase_steps.best_front(k)[1] for k in (8, 32, 128)}
    slopes = [np.log(best[4 * k] / best[k]) / np.log(4) for k in (8, 32)]
    assert 0.75 < slopes[0] < slopes[1] < 1.0


def test_noise_of_wait_written_out() -> None:
    # log(1 / w_0) = 2, K = 4: sigma = 2 u'(0) wait / (4 * 2)
    start = float(np.exp(-2.0))
    assert staircase_steps.noise_of_wait(0.4, start, 4, "adam") == pytest.approx(0.1, rel=1e-12)
    assert staircase_steps.noise_of_wait(0.4, start, 4) == pytest.approx(
        0.1 * (2 / np.pi) ** 0.5, rel=1e-12
    )


def test_sgd_noise_raises_the_start_of_both_alike() -> None:
    rng = np.random.default_rng(4)
    growth, rate, noise, start = 0.5, 0.1, 0.2, 0.05
    w = np.full(200_000, start)
    for _ in range(30):
        w = w + rate * (growth * w + noise * rng.normal(size=w.size))
    exact = float(staircase_steps.spread(start, growth, rate, noise, 30))
    error = float(np.std(w**2)) / w.size**0.5
    assert abs(float(np.mean(w**2)) - exact) < 4 * error
    assert error < 0.003 * exact
    assert float(staircase_steps.spread(start, growth, rate, noise, 0)) == pytest.approx(start**2)
    # Hop 1, untied and tied (growth and variance L times smaller): one start, as rate -> 0.
    skills, rate = 6, 1e-4
    for layers in (1, skills):
        a, s = 2.0 / (skills * layers), noise / layers**0.5
        steps = 3.0 / (rate * a)
        raised = staircase_steps.spread(start, a, rate, s, steps) / (1 + rate * a) ** (2 * steps)
        raised = raised + rate * s**2 / (2 * a) * np.exp(-6.0)
        assert float(raised) ** 0.5 == pytest.approx(
            staircase_steps.effective_start(start, skills, rate, noise), rel=1e-4
        )


def run(update: Any, seed: int = 0, **changed: Any) -> Array:
    options: dict[str, Any] = {"rate": 0.05, "noise": 0.0, "level": 0.1, "steps": 5000}
    starts = changed.pop("starts", np.full((1, 3), 0.2))
    options |= changed
    rng = np.random.default_rng(seed)
    return staircase_steps.simulate(rng, starts, update=update, **options)


def test_small_sgd_steps_follow_the_flow() -> None:
    stairs = Staircase(3, 0.2)
    share = 0.1 / stairs.first_loss
    for weight in (0.2, 0.6, 1.0):
        tau = np.inf if weight == 1.0 else float(stairs.tied_time(weight**2))
        untie = 10**6 if weight == 1.0 else round(tau / 0.002)
        found = float(run("sgd", rate=0.002, steps=10**5, untie=untie)[0]) * 0.002
        assert found == pytest.approx(stairs.time_to(share, weight), rel=3e-3)


def test_small_sign_steps_follow_their_expectation() -> None:
    many = np.full((64, 3), 0.2)
    expected = float(staircase_steps.untied_steps([0.2] * 3, [0.1], 0.3)[0])
    found = run("sign", rate=5e-4, noise=0.3, steps=10**5, starts=many) * 5e-4
    error = float(np.std(found)) / 8
    assert float(np.mean(found)) == pytest.approx(expected, abs=4 * error + 0.02 * expected)
    assert error < 0.03 * expected


def test_adamw_is_torch_s() -> None:
    start = np.array([0.3, 0.5, 0.9])
    w = torch.tensor(start, requires_grad=True)
    optimiser = torch.optim.AdamW([w], lr=0.01, weight_decay=0.1, betas=(0.8, 0.95))
    losses = []
    for step in range(120):
        optimiser.zero_grad()
        p = torch.cumprod(w**2, 0)
        (0.5 * ((1 - p) ** 2).mean()).backward()
        assert w.grad is not None
        if step < 40:
            w.grad[:] = w.grad.mean()
        optimiser.step()
        losses.append(float(staircase.loss(w.detach().numpy())))
    for level in (0.1, 0.04, 0.02):
        first = 1 + next(i for i, value in enumerate(losses) if value <= level)
        got = run(
            "adamw",
            starts=start[None],
            rate=0.01,
            level=level,
            steps=120,
            untie=40,
            betas=(0.8, 0.95),
            decay=0.1,
        )
        assert got.tolist() == [first]


def test_runs_are_paired_and_end() -> None:
    many = np.full((4, 3), 0.2)
    assert (
        run("sign", rate=0.01, noise=0.2, starts=many).tolist()
        == run("sign", rate=0.01, noise=0.2, starts=many).tolist()
    )
    assert np.isinf(run("sgd", steps=3)).all()
    assert run("sgd", level=1.0).tolist() == [0.0]


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("update must", lambda: run("lion")),
        ("wait must", lambda: staircase_steps.front(3, 0.0)),
        ("noise must", lambda: staircase_steps.tied_steps(0.1, 0.5, 2, 0.0)),
        ("must be > 0", lambda: staircase_steps.untied_steps([0.1, 0.0], [0.1], 1.0)),
        ("must fall", lambda: staircase_steps.untied_steps([0.1, 0.1], [0.1, 0.2], 1.0)),
        ("rule must", lambda: staircase_steps.tied_steps(0.1, 0.5, 2, 1.0, LION)),
    ],
)
def test_bad_arguments(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=words):
        call()
