"""Interlacing against the tied dynamics themselves, and at its edges."""

from __future__ import annotations

import numpy as np
import pytest

from tests.theory.models.test_switching import K, L, quadratic, random_hessian
from theory.models import interlacing
from theory.models.switching import trajectory


def test_tied_hessian_is_what_moves_tied_layers() -> None:
    rng = np.random.default_rng(0)
    H, start = random_hessian(rng), rng.normal(size=K)
    run = trajectory(quadratic(H, np.zeros((L, K))), np.tile(start, (L, 1)), [0.3], [1.0])
    moved = start - 0.3 * interlacing.tied_hessian(H) @ start
    np.testing.assert_allclose(run[1], np.tile(moved, (L, 1)), rtol=1e-12)


def test_eigenvalues_interlace() -> None:
    """Indefinite too; and not by a wide margin only: the gap is met where layers are equal."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        H = random_hessian(rng) - rng.uniform(0.0, 1.0) * np.eye(L * K).reshape(L, K, L, K)
        assert interlacing.interlacing_gap(H) > 0.0
    same = np.einsum("lm,ij->limj", np.full((L, L), 1.0 / L), np.diag([3.0, 2.0, 1.0]))
    assert interlacing.interlacing_gap(same) == pytest.approx(0.0, abs=1e-14)


def test_gap_and_spectra_written_out() -> None:
    """h = (3, 1): C = 2, a gap of 1 to either side."""
    H = np.diag([3.0, 1.0]).reshape(2, 1, 2, 1)
    untied, tied = interlacing.spectra(H)
    np.testing.assert_allclose(untied, [1.0, 3.0], rtol=1e-14)
    np.testing.assert_allclose(tied, [2.0], rtol=1e-14)
    assert interlacing.interlacing_gap(H) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_stable_steps_are_where_runs_turn(factor: float) -> None:
    H = random_hessian(np.random.default_rng(2))
    steps = interlacing.stable_steps(H)
    assert steps[1] > steps[0]
    start = np.random.default_rng(3).normal(size=K)
    for size, tie in zip(steps, (0.0, 1.0), strict=True):
        states = trajectory(
            quadratic(H, np.zeros((L, K))), np.tile(start, (L, 1)),
            np.full(3000, factor * size), np.full(3000, tie),
        )  # fmt: skip
        grown = np.linalg.norm(states[-1]) / np.linalg.norm(states[1500])
        assert (grown > 1.0) == (factor > 1.0)


def test_tying_never_worsens_conditioning() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        untied, tied = interlacing.conditions(random_hessian(rng))
        assert tied < untied
    assert interlacing.conditions(np.diag([8.0, 2.0]).reshape(2, 1, 2, 1)) == (4.0, 1.0)


def test_block_diagonal_layers_gain_at_most_the_depth() -> None:
    """One stiff layer: 8 times the step, exactly; differences only: any step."""
    h = np.diag([1.0] + [0.0] * 7).reshape(8, 1, 8, 1)
    assert interlacing.stable_steps(h) == (2.0, 16.0)
    Q = (np.eye(8) - 0.125).reshape(8, 1, 8, 1)
    assert interlacing.stable_steps(Q)[1] > 1e15


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="hessian must have shape"):
        interlacing.tied_hessian(np.eye(2))
    with pytest.raises(ValueError, match="hessian must be positive definite"):
        interlacing.conditions(np.zeros((2, 1, 2, 1)))
