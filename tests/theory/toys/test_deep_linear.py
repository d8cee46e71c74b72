"""The training core on deep linear networks: it is the paper's algorithm, and follows its flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swe.sharing.schedule import AlwaysShared, EqualStart, SweFixed
from theory.linear import descent
from theory.toys.deep_linear import core_against_flow, descend, distinct_modules


def random_target(seed: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.eye(size) + 0.3 * rng.standard_normal((size, size))


@given(
    seed=st.integers(0, 10**6),
    depth=st.integers(1, 7),
    size=st.integers(1, 4),
    eta=st.floats(1e-4, 0.02),
)
def test_tied_sgd_is_the_papers_mean_gradient_algorithm(
    seed: int, depth: int, size: int, eta: float
) -> None:
    """Torch, one tied module, autograd; against numpy, L matrices, written-out gradients."""
    target, steps = random_target(seed, size), 25
    tied, _ = descend(torch.from_numpy(target)[None], depth, AlwaysShared(), eta, steps)
    start = descent.identity_start(depth, size)
    explicit = descent.shared(target, start, eta, steps).losses
    np.testing.assert_allclose(tied[:, 0], explicit, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 10**6), tau=st.integers(1, 19))
def test_swe_is_averaged_descent_and_then_plain_descent(seed: int, tau: int) -> None:
    """SWE-F through the core against the two numpy routines joined at tau, to 1e-12."""
    target, depth, eta, steps = random_target(seed, 3), 5, 0.01, 20
    measured, events = descend(
        torch.from_numpy(target)[None], depth, SweFixed(until=tau), eta, steps
    )
    first = descent.shared(target, descent.identity_start(depth, 3), eta, tau)
    second = descent.unshared(target, first.weights, eta, steps - tau)
    joined = np.concatenate([first.losses[:-1], second.losses])
    assert events == 1
    np.testing.assert_allclose(measured[:, 0], joined, rtol=1e-12, atol=1e-12)


def test_equal_start_is_plain_descent_from_the_identity() -> None:
    target = random_target(0, 3)
    measured, _ = descend(torch.from_numpy(target)[None], 5, EqualStart(), 0.01, 20)
    explicit = descent.unshared(target, descent.identity_start(5, 3), 0.01, 20).losses
    np.testing.assert_allclose(measured[:, 0], explicit, rtol=1e-12, atol=1e-12)


def test_seeds_trained_together_do_not_mix() -> None:
    targets = torch.from_numpy(np.stack([random_target(seed, 3) for seed in range(3)]))
    together, _ = descend(targets, 4, SweFixed(until=5), 0.01, 12)
    for index in range(3):
        alone, _ = descend(targets[index : index + 1], 4, SweFixed(until=5), 0.01, 12)
        np.testing.assert_allclose(together[:, index], alone[:, 0], rtol=1e-12)


def test_the_core_follows_the_flow_to_first_order() -> None:
    result = core_against_flow(0)
    assert result["slope"] == pytest.approx(1, abs=0.05), "the next order bends the line a little"
    assert result["errors"][-1] < result["errors"][0] / 6, "three halvings: a factor of about 8"


def test_distinct_modules_are_a_function_of_the_seed() -> None:
    one, again, other = (distinct_modules(seed, "smoke") for seed in (0, 0, 1))
    assert one == again
    assert one["settings"][0]["arms"] != other["settings"][0]["arms"]
    for setting in one["settings"]:
        assert all(entry["loss"]["n"] == one["seeds"] for entry in setting["arms"].values())
        assert all(curve[0] == 0.0 for curve in setting["curves"].values())
