"""The staircase in flow: finite differences, multiprecision, another integrator, small starts."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.models import staircase, staircase_swe
from theory.models.staircase_swe import Staircase
from theory.numerics.domain import Array


def other_flow(starts: Array, times: Array, depth: int = 0) -> Array:
    """Weights (K, n) by DOP853 on the weights themselves; `depth` > 0 ties that many layers."""

    def field(_: float, w: Array) -> Array:
        g = staircase.gradient(w)
        return np.full_like(w, -g.sum() / depth) if depth else -g

    span = (0.0, float(times[-1]))
    found = solve_ivp(field, span, starts, "DOP853", t_eval=times, rtol=1e-12, atol=1e-14)
    assert found.success
    return np.asarray(found.y)


def test_loss_and_gradient_written_out() -> None:
    w = np.array([0.5, 2.0])  # P = 1/4, 1: S_1 = 3/16, S_2 = 0
    assert staircase.products(w).tolist() == [0.25, 1.0]
    assert float(staircase.loss(w)) == 9 / 64
    assert staircase.gradient(w).tolist() == [-2 * 3 / 16 / 2 / 0.5, 0.0]
    rng = np.random.default_rng(1)
    many, near = rng.uniform(-1.2, 1.2, (7, 5)), 1e-6
    for layer in range(5):
        step = near * np.eye(5)[layer]
        slope = (staircase.loss(many + step) - staircase.loss(many - step)) / (2 * near)
        np.testing.assert_allclose(staircase.gradient(many)[:, layer], slope, atol=1e-9)
    assert staircase.gradient(np.array([0.0, 1.0])).tolist() == [0.0, 0.0]  # no quotient 0 / 0


def test_the_tied_point_is_the_equal_one() -> None:
    for square in (1e-3, 0.4, 1 - 1e-9):
        w = np.full(6, square**0.5)
        assert float(staircase.tied_loss(square, 6)) == pytest.approx(
            float(staircase.loss(w)), rel=1e-6
        )
        # q' = 2 w w', w' = -mean gradient: 2 w mean(-g) = (4 / K^2) G
        drive = float(staircase.drive(square, 6))
        mean = -2.0 * w[0] * float(staircase.gradient(w).mean())
        assert drive * 4 / 36 == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("skills", [1, 2, 9, 40])
def test_tied_span_against_multiprecision(skills: int) -> None:
    with mpmath.workdps(30):

        def over_g(y: mpmath.mpf) -> mpmath.mpf:
            x = 1 / (1 + mpmath.exp(-y))
            return x * (1 - x) / mpmath.fsum(k * x**k * (1 - x**k) for k in range(1, skills + 1))

        for low, high in ((0.01, 0.999), (0.5, 0.5000001)):
            ends = [mpmath.log(mpmath.mpf(x) / (1 - mpmath.mpf(x))) for x in (low, high)]
            exact = mpmath.quad(over_g, mpmath.linspace(*ends, 9))
            found = float(staircase.tied_span(low, high, skills))
            assert found == pytest.approx(float(exact), rel=1e-9 if low == 0.5 else 1e-12)
    if skills == 1:  # a logistic: log(x / (1 - x))
        assert float(staircase.tied_span(0.2, 0.8, 1)) == pytest.approx(2 * np.log(4), rel=1e-13)


def test_tied_flow_against_another_integrator() -> None:
    for depth in (4, 9):
        stairs = Staircase(4, 0.2, depth)
        times = stairs.tied_time([0.1, 0.5, 0.9])
        weights = other_flow(np.full(4, 0.2), times, depth)
        np.testing.assert_allclose(weights[2] ** 2, [0.1, 0.5, 0.9], rtol=1e-9)
        assert stairs.tied_square(float(times[1])) == pytest.approx(0.5, rel=1e-10)
        level = float(staircase.tied_loss(0.5, 4))
        assert stairs.tied_level(level) == pytest.approx(float(times[1]), rel=1e-9)
        assert stairs.hops(1.0)[0] == pytest.approx(float(times[1]), rel=1e-12)
        assert stairs.first_loss == pytest.approx(float(staircase.loss(np.full(4, 0.2))), rel=1e-12)


def test_tied_constant_and_its_limit_of_deep_stacks() -> None:
    for skills, start in ((3, 1e-3), (8, 1e-2)):
        exact = float(staircase.tied_span(start**2, 0.7, skills))
        first = -2 * np.log(start) + staircase.tied_constant(0.7, skills)
        assert exact - first == pytest.approx(start**2, rel=0.05)  # the error stated: w_0^2
    deep = -0.5 - 1.5 * np.log(3.0) + np.pi / (2 * 3**0.5)
    gaps = [staircase.tied_constant(0.5 ** (1 / k), k) - deep for k in (50, 100, 200)]
    assert abs(gaps[2]) < abs(gaps[1]) < abs(gaps[0]) < 1e-3
    x = 0.3
    assert float(staircase.drive(x, 200)) == pytest.approx(x * (1 + x + x * x) / (1 - x * x) ** 2)


def test_relaxation_is_the_least_eigenvalue() -> None:
    for n in (1, 2, 7, 40):
        index = np.arange(1, n + 1)
        settle = n + 1 - np.maximum.outer(index, index)
        assert staircase.relaxation(n) == pytest.approx(np.linalg.eigvalsh(settle)[0], rel=1e-9)
        assert staircase.relaxation(n) > 0.25


def test_untied_flow_against_another_integrator() -> None:
    starts = np.array([0.3, 0.2, 0.25])
    path = staircase_swe.untied(starts)
    hops = np.array([path.hop(k) for k in (1, 2, 3)])
    p = staircase.products(other_flow(starts, hops).T)
    np.testing.assert_allclose(np.diag(p), 0.5, rtol=1e-6)
    weights = other_flow(starts, np.array([1.0, 4.0, 30.0])).T
    np.testing.assert_allclose(path.loss([1.0, 4.0, 30.0]), staircase.loss(weights), rtol=1e-5)
    level = float(staircase.loss(weights)[1])
    assert path.time_to(level) == pytest.approx(4.0, rel=1e-6)
    assert path.hop(1) == staircase_swe.untied(-starts).hop(1)
    assert path.end == pytest.approx(staircase_swe.horizon(starts), rel=1e-12)
    # 1 / lambda_3 for the last share, 3 a hop, and the hops' first order
    span = -2 * np.log(starts).sum() + 9 + 0.5 * np.log(1e9) / staircase.relaxation(3) + 10
    assert staircase_swe.horizon(starts) == pytest.approx(0.75 * span, rel=1e-12)


def test_untied_flow_against_multiprecision() -> None:
    start = 0.1
    path = staircase_swe.untied([start, start])
    with mpmath.workdps(25):

        def field(_: mpmath.mpf, q: list[mpmath.mpf]) -> list[mpmath.mpf]:
            one, two = q[0], q[0] * q[1]
            return [one * (1 - one) + two * (1 - two), two * (1 - two)]

        at = mpmath.odefun(field, 0, [mpmath.mpf("0.01")] * 2)(9)
    found = np.exp(path.path(9.0))
    np.testing.assert_allclose(found, [float(q) for q in at], rtol=1e-8)


@pytest.mark.parametrize("skills", [1, 2, 5])
def test_hops_tend_to_their_first_order(skills: int) -> None:
    gaps = []
    for start in (1e-3, 1e-5):
        found = staircase_swe.untied(np.full(skills, start)).hop(skills)
        first = staircase.untied_hop(np.full(skills, start), skills)
        gaps.append(abs(found - first) * 4 / skills)
    slowest = 2 * staircase.relaxation(max(1, skills - 1))
    assert gaps[1] < 1e-3  # a hundred times less than c_2
    if skills > 2:  # the order stated, from two decades of the start
        assert np.log10(gaps[0] / gaps[1]) / 2 > slowest
    assert len(staircase.hop_constants(skills)) == skills
    assert staircase.hop_constants(skills)[0] == 0.0


def test_first_order_from_unequal_starts() -> None:
    starts = np.array([2e-5, 1e-4, 5e-5])
    path = staircase_swe.untied(starts)
    for hop in (1, 2, 3):
        assert path.hop(hop) == pytest.approx(staircase.untied_hop(starts, hop), abs=3e-3)
    assert staircase.untied_hop(starts[:1], 1) == pytest.approx(-0.5 * np.log(2e-5), rel=1e-12)


def test_the_ratio_tends_to_the_hops_it_takes() -> None:
    assert staircase.limiting_ratio(4, 0.01) == 1.0
    assert staircase.limiting_ratio(4, 0.6) == 0.5
    assert staircase.limiting_ratio(4, 0.01, 8) == 0.5
    for share in (0.01, 0.6):
        limit, gaps = staircase.limiting_ratio(4, share), []
        for start in (1e-2, 1e-4, 1e-8):
            stairs = Staircase(4, start)
            gaps.append(abs(stairs.time_to(share, start) / stairs.time_to(share, 1.0) - limit))
        assert gaps[2] < 0.6 * gaps[1] < 0.4 * gaps[0]  # like 1 / A
        assert gaps[2] * 2 * np.log(1e8) < 4
    with pytest.raises(ValueError, match="the loss rests there"):
        staircase.limiting_ratio(4, 0.75)


WINDOWS = {0.5: (0.6, 0.9), 0.1: (1.07, 1.23), 1e-2: (1.15, 1.5), 1e-4: (1.2, 2.23)}


@pytest.mark.parametrize("skills", [2, 4, 8, 16])
@pytest.mark.parametrize("start", [0.03, 0.1, 0.3])
def test_ratios_of_times_at_ordinary_starts(skills: int, start: float) -> None:
    """First found by another program: half the loss later when tied, the rest earlier."""
    stairs = Staircase(skills, start)
    for share, (low, high) in WINDOWS.items():
        ratio = stairs.time_to(share, start) / stairs.time_to(share, 1.0)
        assert low < ratio < high, share
    own, tied = stairs.hops(start), stairs.hops(1.0)
    assert 0.55 * skills < tied[0] / own[0] < skills
    assert tied[-1] < own[-1]


def test_the_last_decades_go_by_the_final_rates() -> None:
    stairs = Staircase(3, 0.2)
    own, tied = (stairs.time_to(1e-9, untie) - stairs.time_to(1e-7, untie) for untie in (0.2, 1.0))
    assert own / tied == pytest.approx(4 * 7 / 6 / staircase.relaxation(3), rel=1e-3)


def test_layers_without_a_skill_slow_the_mean() -> None:
    few, many = Staircase(4, 0.1), Staircase(4, 0.1, 12)
    assert many.time_to(0.1, 1.0) == pytest.approx(3 * few.time_to(0.1, 1.0), rel=1e-12)
    assert many.time_to(0.1, 0.1) == few.time_to(0.1, 0.1)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("squares must", lambda: staircase.tied_span(0.0, 0.5, 2)),
        ("must not be 0", lambda: staircase.untied_hop([0.0, 0.1], 1)),
        ("in 1..K", lambda: staircase.untied_hop([0.1], 2)),
        ("no zero", lambda: staircase_swe.untied([0.1, 0.0])),
        ("weights must be finite", lambda: staircase.loss([np.nan])),
        ("is not reached", lambda: staircase_swe.untied([0.1]).time_to(1e-30)),
        ("skills must", lambda: Staircase(4, 0.1, 3)),
        ("start must", lambda: Staircase(4, 1.0)),
        ("share must", lambda: Staircase(4, 0.1).time_to(1e-12, 1.0)),
        ("0 to rounding", lambda: Staircase(4, 0.1).best_untie(200.0)),
    ],
)
def test_bad_arguments(words: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=words):
        call()
