"""Unrolled blocks and LISTA: their formulas written out, their draws, their data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from theory.numerics.domain import Array
from theory.toys.lista import DENSITY, Soft, lista
from theory.toys.problems import HELD
from theory.toys.unrolled import own_inputs, unrolled


def soft(z: Array, threshold: Array) -> Array:
    return np.asarray(np.sign(z) * np.maximum(np.abs(z) - threshold, 0.0))


def test_unrolled_block_written_out() -> None:
    """Two networks, two layers, loop by loop in numpy against the batched stack's loss."""
    seeds, gamma, d = (3, 4), 0.3, 3
    problem = unrolled(seeds, depth=2, width=d, gamma=gamma, eps=0.5)
    inputs = own_inputs(seeds, 7, d).numpy()

    def run(weights: Array, u: Array) -> Array:
        h = u
        for W in weights.reshape(2, d, d):
            h = (1 - gamma) * h + gamma * np.tanh(W @ h + u)
        return h

    found = problem.losses(problem.stack(problem.draws), 7).detach()
    for i in range(2):
        gap = run(problem.draws[i], inputs[i]) - run(problem.optimum[i], inputs[i])
        assert float(found[i]) == pytest.approx(0.5 * np.mean(np.sum(gap**2, axis=0)), rel=1e-12)
    at_teacher = problem.losses(problem.stack(problem.optimum), 7).detach()
    assert float(at_teacher.abs().max()) < 1e-28


def test_unrolled_teachers_share_all_at_zero_and_are_paired() -> None:
    """W* = 0.9 / sqrt(d) (G + eps G_l): linear in eps; start and data do not know it."""
    by_eps = [unrolled((1, 2), depth=3, width=4, gamma=1.0, eps=eps) for eps in (0.0, 1.0, 2.0)]
    zero, one, two = (problem.optimum for problem in by_eps)
    assert np.all(zero == zero[:, :1])
    np.testing.assert_allclose(two - one, one - zero, atol=1e-15)
    assert np.all(by_eps[0].draws == by_eps[2].draws)
    many = unrolled(tuple(range(200)), depth=4, width=4, gamma=1.0, eps=1.0)
    # 12,800 numbers: a standard deviation is known to 0.6 %, six times that is allowed
    assert many.draws.std() == pytest.approx(0.9 / 2, rel=0.04)
    assert many.optimum.std() == pytest.approx(0.9 / 2 * 2**0.5, rel=0.04)


def test_data_are_fresh_own_and_held_out() -> None:
    one, other = own_inputs((1, 2), 5, 4), own_inputs((1, 2), 6, 4)
    assert one.shape == (2, 4, 64)
    assert own_inputs((1, 2), HELD, 4).shape == (2, 4, 512)
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, other)
    assert torch.equal(own_inputs((2,), 5, 4)[0], one[1])


def test_lista_with_the_textbook_s_weights_is_ista() -> None:
    """ISTA descends the LASSO objective by its step; the stack's loss is the iterate's error."""
    problem = lista((6,), depth=5, codes=7, measured=4)
    A, alpha = problem.matrices[0], 0.05
    c = float(np.linalg.eigvalsh(A.T @ A)[-1])
    layer = [(A.T / c).ravel(), (np.eye(7) - A.T @ A / c).ravel(), np.full(7, alpha / c)]
    weights = np.tile(np.concatenate(layer), (1, 5, 1))
    stack = problem.stack(weights)
    assert np.linalg.norm(A, axis=0) == pytest.approx(np.ones(7), rel=1e-14)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3)) * (rng.random((7, 3)) < 0.3)
    u, h, objective = A @ x, np.zeros((7, 3)), []
    for _ in range(5):
        h = soft(h - A.T @ (A @ h - u) / c, np.full((7, 1), alpha / c))
        objective.append(0.5 * np.sum((A @ h - u) ** 2) + alpha * np.sum(np.abs(h)))
    assert objective == sorted(objective, reverse=True)
    with torch.no_grad():
        found = stack(torch.zeros(1, 7, 3, dtype=torch.float64), torch.from_numpy(u[None]))
    np.testing.assert_allclose(found[0].numpy(), h, atol=1e-14)


def test_lista_s_codes_are_sparse_and_their_error_the_loss() -> None:
    """A stack that answers 0 has the loss 1/2 mean |x|^2: p times the density, halved."""
    problem = lista((6, 7), depth=2, codes=16, measured=8)
    silent = np.zeros_like(problem.draws)
    losses = problem.losses(problem.stack(silent), HELD).detach().numpy()
    # 512 codes of variance 16 (3 q - q^2), q the density: 2.4, a mean to 0.11, halved; 4 of these
    np.testing.assert_allclose(losses, 0.5 * 16 * DENSITY, atol=4 * 0.055)


def test_soft_threshold_and_its_gradient() -> None:
    """Against the definition and finite differences, thresholds below 0 included; twice."""
    z = torch.tensor([[[1.5, -0.2, -2.0], [0.7, -0.6, 0.1]]], dtype=torch.float64)
    threshold = torch.tensor([[0.4, -0.3]], dtype=torch.float64)
    expected = soft(z.numpy(), threshold.numpy()[..., None])
    np.testing.assert_allclose(Soft.apply(z, threshold), expected, atol=1e-15)
    z.requires_grad_()
    threshold.requires_grad_()
    assert torch.autograd.gradcheck(Soft.apply, (z, threshold))
    assert torch.autograd.gradgradcheck(Soft.apply, (z, threshold))
