"""The blocks against the Hessian of whole stacks, and the three limits."""

from __future__ import annotations

import numpy as np
import pytest

from theory.claims.when_tuned import residual_hessian
from theory.models import branch_scale, interlacing, switching

W = np.array([[0.7, 0.4], [0.4, -0.3]])
OUT, INTO = np.linalg.eigvalsh(W)


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_hessian_by_differences_of_the_product(beta: float) -> None:
    """H = J^T J, J by central differences of the end-to-end matrix in every weight."""
    L, d = 3, 2
    weights = np.tile(W, (L, 1, 1))

    def product(values: np.ndarray) -> np.ndarray:
        end = np.eye(d)
        for w in values:
            end = (np.eye(d) + beta * w) @ end
        return end.reshape(-1)

    J = np.empty((d * d, L * d * d))
    for i in range(L * d * d):
        shift = np.zeros(L * d * d)
        shift[i] = 1e-5
        up, down = (product(weights + s * shift.reshape(weights.shape)) for s in (1, -1))
        J[:, i] = (up - down) / 2e-5
    found = residual_hessian(W, L, beta).reshape(L * d * d, L * d * d)
    np.testing.assert_allclose(found, J.T @ J, atol=1e-8)


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_blocks_make_up_the_hessian(depth: int) -> None:
    """Eigenvalues of C over those of H: in turn A of each pair of directions."""
    beta = 0.5
    untied, tied = interlacing.spectra(residual_hessian(W, depth, beta))
    blocks, tied_blocks = [], []
    for i in (OUT, INTO):
        for j in (OUT, INTO):
            layers = np.arange(depth)
            chain = beta * (1 + beta * i) ** layers[::-1] * (1 + beta * j) ** layers
            blocks.append(float(chain @ chain))
            A = float(branch_scale.alignment(depth, branch_scale.growth(i, j, beta)))
            tied_blocks.append(A * blocks[-1])
            ratio = branch_scale.curvature_ratio(depth, branch_scale.growth(i, j, beta))
            assert float(ratio) == pytest.approx(blocks[-1] / (chain.sum() ** 2 / depth), rel=1e-12)
    np.testing.assert_allclose(untied[-4:], np.sort(blocks), rtol=1e-10)
    np.testing.assert_allclose(tied, np.sort(tied_blocks), rtol=1e-10)


def test_commutator_share_of_a_block() -> None:
    chain = np.exp(0.3 * np.arange(6))
    H = np.outer(chain, chain).reshape(6, 1, 6, 1)
    assert float(branch_scale.commutator_share(6, 0.3)) == pytest.approx(
        switching.commutator(H), rel=1e-12
    )
    assert float(branch_scale.commutator_share(6, 0.0)) == 0.0


def test_limits_of_depth() -> None:
    D, L = 1.4, 2**24
    ratio = [
        float(branch_scale.curvature_ratio(L, branch_scale.growth(0.2, 0.2 + D, beta)))
        for beta in (1.0 / L, L**-0.5, 1.0)
    ]
    assert ratio[0] == pytest.approx(D / 2.0 / np.tanh(D / 2.0), rel=1e-6)
    assert ratio[1] == pytest.approx(L**0.5 * D / 2.0, rel=1e-3)
    assert ratio[2] == pytest.approx(L * np.tanh(np.log(2.6 / 1.2) / 2.0), rel=1e-12)


def test_layers_that_turn_round_are_refused() -> None:
    with pytest.raises(ValueError, match="must be > -1"):
        branch_scale.growth(-2.0, 0.0, 0.5)
