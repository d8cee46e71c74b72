"""The exchangeable quadratic: closed forms, recursion, multiprecision, matrices and simulation."""

import json
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from evidence.claim import Finding
from theory.claims import quadratic as quadratic_claims
from theory.claims.quadratic import random_problem
from theory.models import quadratic
from theory.models.quadratic import Quadratic
from theory.studies import quadratic as quadratic_study


def problem_of(seed: int, directions: int = 1) -> Quadratic:
    return random_problem(np.random.default_rng(seed), directions)


def recursion(problem: Quadratic, steps: np.ndarray, tau: int) -> np.ndarray:
    """E sum e^2 of SWE(tau) at T, one step after another: the bias until tau, then SGD."""
    error = problem.bias.copy()
    for eta in steps[tau:]:
        error = (1 - eta * problem.own) ** 2 * error + eta**2 * (problem.depth - 1) * problem.noise
    return error


@given(seed=st.integers(0, 10**6), T=st.integers(1, 60), eta=st.floats(0.01, 1.9))
def test_products_and_sums_are_the_recursion(seed: int, T: int, eta: float) -> None:
    problem = problem_of(seed, 3)
    for steps in (quadratic.linear_steps(eta, T), quadratic.constant_steps(eta, T)):
        all_tau = quadratic.shared_differences(problem, steps)
        for tau in {0, T // 3, T - 1, T}:
            # Positive terms, T roundings of products of at most T factors each.
            np.testing.assert_allclose(all_tau[tau], recursion(problem, steps, tau), rtol=1e-11)


@given(seed=st.integers(0, 10**6), T=st.integers(1, 60), eta=st.floats(0.01, 1.9))
def test_constant_steps_in_closed_form(seed: int, T: int, eta: float) -> None:
    problem = problem_of(seed, 3)
    taus = np.arange(T + 1)
    exact = quadratic.constant_differences(problem, eta, T, taus)
    summed = quadratic.shared_differences(problem, quadratic.constant_steps(eta, T))
    np.testing.assert_allclose(exact, summed, rtol=1e-11)


def test_constant_steps_that_forget_at_once() -> None:
    problem = Quadratic(depth=3, own=2.0, bias=1.0, noise=1.0)  # q = 1 - 0.5 * 2 = 0
    exact = quadratic.constant_differences(problem, 0.5, 4, np.array([0, 3, 4]))[:, 0]
    np.testing.assert_allclose(exact, [0.5, 0.5, 1.0], rtol=1e-15)  # 2 modes, eta^2 = 1/4


@pytest.mark.parametrize("curvature", [0.001, 0.3, 0.999])
@pytest.mark.parametrize("tau", [0, 7, 199])
def test_linear_decay_is_a_ratio_of_gamma_functions(curvature: float, tau: int) -> None:
    T, eta = 200, 0.9
    with mpmath.workdps(50):
        c = mpmath.mpf(curvature) * mpmath.mpf(eta) / T
        k = T - tau
        product = c**k * mpmath.gamma(1 / c) / mpmath.gamma(1 / c - k)
        noise = mpmath.fsum(
            (mpmath.mpf(eta) * j / T) ** 2
            * (c ** (j - 1) * mpmath.gamma(1 / c) / mpmath.gamma(1 / c - j + 1)) ** 2
            for j in range(1, k + 1)
        )
    steps = quadratic.linear_steps(eta, T)
    assert quadratic.contraction(curvature, steps)[tau, 0] == pytest.approx(
        float(product), rel=1e-12
    )
    assert quadratic.accumulated_noise(curvature, steps)[tau, 0] == pytest.approx(
        float(noise), rel=1e-12
    )


def test_eigen_directions_are_those_of_the_matrices() -> None:
    """Full Hessian I (x) A + (1/L) 11^T (x) B in a rotated basis, moments by matrix recursion."""
    rng = np.random.default_rng(0)
    L, k, T, tau = 4, 3, 25, 9
    problem = problem_of(5, k)
    problem = Quadratic(
        depth=L,
        own=problem.own,
        common=problem.common,
        bias=problem.bias,
        noise=0.3,
        dispersion=0.4,
        start=1.0,
    )
    basis = np.linalg.qr(rng.normal(size=(k, k)))[0]
    A, B = ((basis * v) @ basis.T for v in (problem.own, problem.common))
    ones = np.ones((L, L)) / L
    hessian = np.kron(np.eye(L), A) + np.kron(ones, B)
    optimum = (quadratic_study.draw_bias(rng, problem) @ basis.T).reshape(-1)
    mean_of = np.kron(ones, np.eye(k))
    common_start = np.kron(np.ones((L, L)), np.eye(k))  # E x x^T for one start in all modules
    spread = problem.dispersion[0] * (np.eye(L * k) - mean_of)
    steps = quadratic.linear_steps(0.8, T)

    def loss(until: int, second: np.ndarray) -> float:
        # x - optimum: E of its outer product, the optimum's part is deterministic.
        moment = second + np.outer(optimum, optimum)
        for t, eta in enumerate(steps):
            tie = mean_of if t < until else np.eye(L * k)
            # x - o <- x - o - eta tie (H (x - o) + xi)
            step = np.eye(L * k) - eta * tie @ hessian
            moment = step @ moment @ step.T + eta**2 * 0.3 * tie @ tie.T
        return 0.5 * float(np.trace(hessian @ moment))

    expected = quadratic.loss_by_tau(problem, steps)
    for until in (0, tau, T):
        assert loss(until, common_start) == pytest.approx(expected[until], rel=1e-10)
    assert loss(0, common_start + spread) == pytest.approx(
        quadratic.loss_unshared(problem, steps), rel=1e-10
    )


def test_mean_is_the_same_with_and_without_sharing() -> None:
    assert quadratic_study.mean_gap(3) < 1e-12  # rounding of 200 contracting steps


@given(seed=st.integers(0, 10**6), T=st.integers(1, 50), eta=st.floats(0.05, 0.95))
def test_gain_is_the_difference_of_the_losses(seed: int, T: int, eta: float) -> None:
    problem, steps = problem_of(seed, 3), quadratic.linear_steps(eta, T)
    unshared = quadratic.loss_unshared(problem, steps)
    direct = unshared - quadratic.loss_by_tau(problem, steps)
    # The direct difference cancels: rounding of the losses, among them the common mode's.
    np.testing.assert_allclose(
        quadratic.gain_by_tau(problem, steps), direct, rtol=1e-9, atol=1e-12 * unshared
    )


@given(seed=st.integers(0, 10**6), T=st.integers(2, 60), eta=st.floats(0.05, 0.95))
def test_best_tau_of_several_directions_lies_between_their_own(
    seed: int, T: int, eta: float
) -> None:
    problem, steps = problem_of(seed, 4), quadratic.linear_steps(eta, T)
    own = [int(np.count_nonzero(steps > c)) for c in quadratic.critical_step(problem)]
    losses = quadratic.loss_by_tau(problem, steps)
    best = float(losses.min())
    assert losses[min(own) : max(own) + 1].min() <= best * (1 + 1e-12)
    assert best == losses[quadratic.best_tau(problem, steps)]


def test_best_fraction_does_not_depend_on_the_length() -> None:
    for T in (100, 1000, 4000):
        problem = quadratic_study.single(4.0, T)
        steps = quadratic.linear_steps(quadratic_study.ETA, T)
        share = 1 - float(quadratic.critical_step(problem)[0]) / quadratic_study.ETA
        assert quadratic.best_tau(problem, steps) == int(np.ceil(share * T - 1e-9))


@pytest.mark.parametrize(("ratio", "best"), [(0.9, 0), (1.1, 60)])
def test_constant_steps_share_always_or_never(ratio: float, best: int) -> None:
    problem = quadratic_study.single(ratio, 60)
    steps = quadratic.constant_steps(quadratic_study.ETA, 60)
    losses = quadratic.loss_by_tau(problem, steps)
    assert quadratic.best_tau(problem, steps) == best
    assert np.all(np.diff(losses) > 0) if best == 0 else np.all(np.diff(losses) < 0)
    assert quadratic.noise_floor(problem, quadratic_study.ETA)[0] == pytest.approx(ratio)


def test_limits() -> None:
    steps = quadratic.linear_steps(0.5, 50)
    noiseless = Quadratic(depth=4, own=1.0, bias=1.0)
    assert quadratic.critical_step(noiseless)[0] == 2.0  # the edge of stability
    assert quadratic.best_tau(noiseless, steps) == 0
    unbiased = Quadratic(depth=4, own=1.0, noise=1.0)
    assert quadratic.critical_step(unbiased)[0] == 0.0
    assert quadratic.best_tau(unbiased, steps) == 50
    one = Quadratic(depth=1, own=1.0, noise=1.0, start=2.0)
    losses = quadratic.loss_by_tau(one, steps)
    np.testing.assert_array_equal(losses, losses[0])
    assert losses[0] == quadratic.loss_unshared(one, steps)
    for alike in (one, Quadratic(depth=4, own=1.0, dispersion=1.0, start=1.0)):
        assert quadratic.critical_step(alike)[0] == np.inf, "no step at which tying would help"
        assert np.all(np.diff(quadratic.shared_differences(alike, steps)[:, 0]) == 0.0)
        assert quadratic.best_tau(alike, steps) == 0 == np.count_nonzero(steps > np.inf)


def test_a_step_of_one_over_the_curvature_forgets_the_gain() -> None:
    """What QUAD-WIN leaves out: the margin is positive, and at T no tau is better."""
    spread = Quadratic(depth=4, own=1.0, dispersion=1.0)
    for steps, wins in (([1.5, 1.0, 0.5], False), ([1.5, 0.9, 0.5], True)):
        assert quadratic.first_step_margin(spread, 1.5)[0] > 0.0
        gain = quadratic.gain_by_tau(spread, steps)
        assert bool(np.max(gain[1:]) > 0.0) == wins


def test_nothing_to_win_without_bias_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A threshold of 0 would claim a gain over the equal start there; the check sees it."""
    assert quadratic_claims.check_win(0, "smoke").verdict == "holds"
    right = quadratic.critical_step

    def zero(problem: Quadratic) -> np.ndarray:
        return np.where(np.isinf(right(problem)), 0.0, right(problem))

    monkeypatch.setattr(quadratic, "critical_step", zero)
    assert quadratic_claims.check_win(0, "smoke").verdict == "fails"


def test_long_runs_neither_overflow_nor_lose_the_floor() -> None:
    problem = Quadratic(depth=8, own=[1.0, 1e-4], bias=1.0, noise=0.1)
    found = quadratic.shared_differences(problem, quadratic.constant_steps(0.5, 100_000))[0]
    power = np.exp(2e5 * np.log1p(-0.5e-4))
    floor = quadratic.noise_floor(problem, 0.5)
    np.testing.assert_allclose(found, power * (1 - floor) * [0, 1] + floor, rtol=1e-9)


def test_flow_against_an_integrator_and_small_steps() -> None:
    problem = Quadratic(
        depth=5, own=[0.4, 1.0], common=[0.3, 0.0], bias=[1.0, 0.5], dispersion=0.2, start=[1.0, 2]
    )
    rng = np.random.default_rng(1)
    delta = quadratic_study.draw_bias(rng, problem)
    tau, end = 0.7, 2.0

    def field(t: float, flat: np.ndarray) -> np.ndarray:
        x = flat.reshape(delta.shape)
        gradient = problem.own * (x - delta) + problem.common * x.mean(axis=0)
        if t < tau:
            gradient = np.broadcast_to(gradient.mean(axis=0), delta.shape)
        return -gradient.reshape(-1)

    x = np.broadcast_to(np.sqrt(problem.start), delta.shape).reshape(-1)
    for span in ((0.0, tau), (tau, end)):
        # The field jumps at tau: one integration up to it, one after (evaluated just beside it).
        edge = (span[0] + (1e-12 if span[0] else 0.0), span[1] - (1e-12 if not span[0] else 0.0))
        x = solve_ivp(field, edge, x, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    weights = x.reshape(delta.shape)
    loss = 0.5 * np.sum(problem.own * (weights - delta) ** 2)
    loss += 0.5 * 5 * np.sum(problem.common * weights.mean(axis=0) ** 2)
    assert float(quadratic.flow_loss(problem, end, tau)) == pytest.approx(loss, rel=1e-8)
    errors = []
    for T in (200, 400, 800):
        steps = quadratic.constant_steps(end / T, T)
        shared = quadratic.loss_by_tau(problem, steps)[round(0.35 * T)]
        errors.append(abs(shared - loss))
        unshared = quadratic.loss_unshared(problem, steps)
        flow = float(quadratic.flow_loss(problem, end, None))
        assert unshared == pytest.approx(flow, rel=4.0 / T)
    slope = np.polyfit(np.log([200, 400, 800]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.02)  # first order


def test_flow_breaks_even_where_it_says() -> None:
    problem = Quadratic(depth=5, own=0.4, bias=0.7, dispersion=0.3)
    tau = float(quadratic.flow_break_even(problem)[0])
    unshared = float(quadratic.flow_loss(problem, 3.0, None))
    assert float(quadratic.flow_loss(problem, 3.0, tau)) == pytest.approx(unshared, rel=1e-12)
    assert float(quadratic.flow_loss(problem, 3.0, 1.01 * tau)) > unshared
    unbiased = Quadratic(depth=5, own=0.4, dispersion=0.3)
    assert np.isinf(quadratic.flow_break_even(unbiased)[0])


def test_simulation_agrees_within_standard_errors() -> None:
    steps = quadratic.linear_steps(quadratic_study.ETA, 50)
    problem = quadratic_study.spectrum(50, depth=6)
    taus = [0, 10, 25, 50]
    run = quadratic_study.simulate(problem, steps, taus, 4000, np.random.default_rng(2))
    exact = np.append(
        quadratic.loss_by_tau(problem, steps)[taus], quadratic.loss_unshared(problem, steps)
    )
    mean, error = run.losses.mean(axis=1), run.losses.std(axis=1, ddof=1) / 4000**0.5
    assert np.max(np.abs(mean - exact) / error) < 4
    # Three more parts in a hundred would not pass.
    assert np.max(np.abs(mean - 1.03 * exact) / error) > 4


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        (
            "QUAD-MEAN: 1 % more",
            lambda: quadratic_claims.check_mean(
                1, "smoke", lambda p, s: 1.01 * quadratic.mean_square(p, s)
            ),
        ),
        (
            "QUAD-WIN: margin at a step 1 % longer",
            lambda: quadratic_claims.check_win(
                0, "smoke", lambda p, eta: quadratic.first_step_margin(p, 1.01 * eta)
            ),
        ),
        (
            "QUAD-TAU: critical step 1 % larger",
            lambda: quadratic_claims.check_tau(
                0, "smoke", lambda p: 1.01 * quadratic.critical_step(p)
            ),
        ),
        (
            "QUAD-TAU: without the curvature term",
            lambda: quadratic_claims.check_tau(
                0, "smoke", lambda p: 2 * p.own * p.bias / p.noise_rate
            ),
        ),
    ],
)
def test_a_wrong_formula_differs(name: str, finding: Callable[[], Finding]) -> None:
    assert finding().verdict == "fails", name


def test_study_is_json_and_a_function_of_the_seed() -> None:
    data = quadratic_study.study(1, "smoke")
    json.dumps(data, allow_nan=False)
    assert data == quadratic_study.study(1, "smoke")
    assert data["curves"] != quadratic_study.study(2, "smoke")["curves"]
    # Up to 40 means, correlated: 4.5 is crossed by chance in one of 3000 seeds.
    assert data["caption_numbers"]["largest_z"] < 4.5
    assert data["caption_numbers"]["rule_gap"] <= 1 / data["caption_numbers"]["rule_steps"] + 1e-12
    with pytest.raises(ValueError, match="scale"):
        quadratic_study.study(0, "tiny")


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("own must be > 0", lambda: Quadratic(depth=2, own=0.0)),
        ("noise must be >= 0", lambda: Quadratic(depth=2, own=1.0, noise=-1.0)),
        ("start must be finite", lambda: Quadratic(depth=2, own=1.0, start=np.inf)),
        ("shape", lambda: Quadratic(depth=2, own=np.ones((2, 2)))),
        ("depth must be an integer", lambda: Quadratic(depth=0, own=1.0)),
        ("bias must be 0 for depth 1", lambda: Quadratic(depth=1, own=1.0, bias=1.0)),
        ("eta must be > 0", lambda: quadratic.linear_steps(0.0, 5)),
        ("steps must be >= 1", lambda: quadratic.constant_steps(0.1, 0)),
        ("steps must be >= 0", lambda: quadratic.contraction(1.0, [0.1, -0.1])),
        ("stability", lambda: quadratic.contraction(1.0, [2.0])),
        ("time", lambda: quadratic.flow_loss(problem_of(0), -1.0, None)),
        ("tau", lambda: quadratic.constant_differences(problem_of(0), 0.5, 4, 5)),
    ],
)
def test_bad_arguments_are_refused_by_name(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=words):
        call()
