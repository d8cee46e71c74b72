"""The SWE time holds on targets beyond sharing: as a property, and its ingredients one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.linear import deep_linear, integrate, shared_flow, zas_flow
from theory.theorems import swe_time


@given(
    half=st.integers(1, 8),
    part=st.floats(0.05, 0.6),
    split=st.booleans(),
    phi=st.lists(st.floats(0.3, 3.0), min_size=1, max_size=2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=25)
def test_swe_arrives_in_time(
    half: int, part: float, split: bool, phi: list[float], seed: int
) -> None:
    depth, eps = 2 * half, 1e-5
    size = part * min(1.0, min(phi)) / (np.e * depth**0.5)
    raw = np.diag([-1.0, 1.0]) if split else np.random.default_rng(seed).normal(size=(2, 2))
    offset = size * raw / np.linalg.norm(raw)
    found = swe_time.bound(phi, size, 1.0, 1.0, depth, eps)
    assert np.isfinite(found.time)
    target, start = swe_time.problem(phi, offset, depth)
    first = float(deep_linear.loss(start, target))
    tied = start
    if found.tau > 0.0:
        path = integrate.weight_flow([found.tau], target, start, tied=True)
        tied = path[-1]
        # R_1 never rises, the rest is Theorem 2's flow; the layer has moved less than promised.
        rest = float(shared_flow.loss(found.tau, np.diag(phi), depth))
        assert deep_linear.loss(tied, target) <= 0.5 * size**2 + rest + 1e-9
        moved = np.linalg.norm(tied[0][:2, :2] - start[0][:2, :2])
        assert moved <= size * (found.tau / (2 * depth)) ** 0.5 + 1e-9
    left = found.time - found.tau
    final = tied if left <= 0.0 else integrate.weight_flow([left], target, tied, tied=False)[-1]
    assert np.sqrt(deep_linear.loss(final, target)) <= np.sqrt(eps * first) + 1e-8  # integrator


def test_sharing_alone_does_not_arrive() -> None:
    target, start = swe_time.problem([1.5], np.diag([-0.04, 0.04]), 8)
    goal = 1e-5 * deep_linear.loss(start, target)
    tied = integrate.weight_flow([20.0], target, start, tied=True)[-1]
    assert deep_linear.loss(tied, target) > 0.5 * 0.04**2 > goal


def test_zas_is_slower_than_the_guarantee_in_deep_networks() -> None:
    """What is proved for SWE at L = 64 lies below the exact time of ZAS."""
    offset = np.diag([-0.01, 0.01])
    found = swe_time.bound([1.5], float(np.linalg.norm(offset)), 1.0, 1.0, 64, 1e-5)
    target, start = swe_time.problem([1.5], offset, 64)
    goal = 1e-5 * float(deep_linear.loss(start, target))
    assert zas_flow.loss(found.time, target, 64) > goal


def test_not_certified_is_nan() -> None:
    assert np.isnan(swe_time.bound([1.5], 0.9, 1.0, 1.0, 8, 1e-3).time)


def test_time_is_the_sum_of_both_stages() -> None:
    found = swe_time.bound([1.2], 0.01, 1.0, 1.0, 4, 1e-4)
    first = 0.5e-4 + 0.5 * 0.04
    lost = 0.5e-4 + 0.5 * float(shared_flow.gap(found.tau, 1.2, 4)) ** 2
    rest = np.log(lost / (1e-4 * first)) / found.stage_two.rate
    assert found.time == pytest.approx(found.tau + rest, rel=1e-12)
    assert found.time != pytest.approx(1.01 * (found.tau + rest), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("phi", ([-1.0], 0.1, 1.0, 1.0, 4, 0.1)),
        ("delta", ([1.0], 0.0, 1.0, 1.0, 4, 0.1)),
        ("least", ([1.0], 0.1, 2.0, 1.0, 4, 0.1)),
        ("depth", ([1.0], 0.1, 1.0, 1.0, 0, 0.1)),
        ("eps", ([1.0], 0.1, 1.0, 1.0, 4, 1.0)),
    ],
)
def test_bad_arguments_are_named(
    name: str, wrong: tuple[list[float], float, float, float, int, float]
) -> None:
    with pytest.raises(ValueError, match=name):
        swe_time.bound(*wrong)
