"""The promised accuracy of flow times over the whole domain, against multiprecision."""

from types import ModuleType

import mpmath
import numpy as np
import pytest

from tests.theory.theorems.test_speedup import EXACT, shared_by_quadrature
from theory.linear import shared_flow, zas_flow
from theory.theorems.speedup import flow_time, spectrum_time, time_ratio

SMALLEST = 5e-324


@pytest.mark.parametrize("phi", [1e-3, 0.5, 1 - 1e-13, 1 + 1e-10, 2.0, 1e3])
@pytest.mark.parametrize("eps", [SMALLEST, 1e-300, 1e-34, 1e-12, 0.5, 1 - 1e-9, 1 - 1e-15])
@pytest.mark.parametrize("depth", [1, 4, 300])
def test_shared_times(phi: float, eps: float, depth: int) -> None:
    exact = float(shared_by_quadrature(phi, depth, mpmath.mpf(eps)))
    np.testing.assert_allclose(flow_time("shared", phi, depth, eps), exact, rtol=EXACT)


@pytest.mark.parametrize("phi", [1e-3, 0.5, 1.0, 2.0, 30.0])
@pytest.mark.parametrize("depth", [1, 4, 60])
def test_zas_times_end_at_the_final_rate_and_begin_at_the_first(phi: float, depth: int) -> None:
    """Late differences are those of an exponential, early times those of REM1; both exactly."""
    late = flow_time("zas", phi, depth, [SMALLEST, 1e-300]) - flow_time("zas", phi, depth, 1e-100)
    logs = np.log(1e-100) - np.log([SMALLEST, 1e-300])
    np.testing.assert_allclose(late, logs / zas_flow.rate(phi, depth), rtol=EXACT)
    near = 1 - np.array([1e-15, 1e-13])
    # The rate has changed by O(L phi^2 delta^2) at most: s has moved by phi delta / 2.
    np.testing.assert_allclose(flow_time("zas", phi, depth, near), -np.log(near) / 2, rtol=EXACT)


def test_ratio_next_to_the_start() -> None:
    """Both flows are linear next to phi = 1: the ratio tends to that of the final rates."""
    for phi in (1 + 1e-11, 1 - 1e-11):
        found = time_ratio(phi, 4, 1e-12)
        assert found == pytest.approx(float(time_ratio(1 + 1e-4, 4, 1e-12)), rel=1e-4)


def test_with_an_eigenvalue_one_sharing_may_end_faster() -> None:
    """Sharing starts where ZAS is slowest: [1, 4], L = 2 tends to rate(4) / rate_zas(1) > 1."""
    limit = float(shared_flow.rate(4.0, 4.0, 2) / zas_flow.rate(1.0, 2))
    assert limit == pytest.approx(16 / 20**0.5, rel=1e-12)
    deep = [float(time_ratio([1.0, 4.0], 2, eps)) for eps in (1e-60, 1e-120, 1e-240)]
    # T = (log(1/eps) + c) / rate: the difference from the limit halves with each squaring of eps.
    gaps = limit - np.array(deep)
    np.testing.assert_allclose(gaps[:-1] / gaps[1:], 2.0, rtol=1e-2)


def test_spectrum_times_reach_the_smallest_eps() -> None:
    rate = float(shared_flow.rate(0.5, 0.5, 4))  # of the slowest eigenvalue
    times = [spectrum_time("shared", [0.5, 2.0], 4, eps) for eps in (1e-200, 1e-300)]
    assert times[1] - times[0] == pytest.approx(100 * np.log(10.0) / rate, rel=EXACT)


@pytest.mark.parametrize("flow", [shared_flow, zas_flow])
def test_time_left_refuses(flow: ModuleType) -> None:
    assert flow.time_left([0.0, -np.inf], 2.0, 3).tolist() == [0.0, np.inf]
    for bad in (1e-9, np.nan):
        with pytest.raises(ValueError, match="log_left"):
            flow.time_left(bad, 2.0, 3)
    with pytest.raises(ValueError, match="target"):
        flow.time_left(-1.0, 1.0 if flow is shared_flow else 0.0, 3)
