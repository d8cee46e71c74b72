r"""Interlacing: what tying does to curvature, largest stable step and conditioning.

On the tied manifold w = (x, .., x) the mean rule is x <- x - eta (1/L) sum_l g_l, so its Hessian is

    C = (1/L) sum_lm H_lm = U^T H U,     U = (1, .., 1)^T (x) I / sqrt(L),    U^T U = I:

a compression of H. Cauchy's interlacing (eigenvalues ascending, n = L k, by Courant and Fischer:
a min-max over subspaces of the range of U is one over fewer subspaces) gives

    lambda_i(H) <= lambda_i(C) <= lambda_{n-k+i}(H),   in particular  lmin(H) <= eig(C) <= lmax(H).

Consequences, at every point of the tied manifold and for any loss: (i) tying never raises
sharpness; the largest stable step of the tied run, 2 / lmax(C), is at least that of the untied one;
(ii) for H > 0 it never worsens conditioning; (iii) for block-diagonal H >= 0, C = mean of H_ll, so
lmax(H) / L <= lmax(C) and the stable step grows by at most L; with couplings there is no such
limit: H = Q (pure differences) has C = 0. Equality lmax(C) = lmax(H) iff H has a top eigenvector
whose layers are all equal. The bound is on the MEAN rule; one tensor used L times moves by the sum
of the gradients, L times as far at the same rate: its curvature is L C.

It compares two linear dynamics, not two losses: tied, w stays on the manifold, whose least loss is
above the whole space's where optima differ. Ours as a statement on sharing; interlacing is textbook
(Horn and Johnson, Matrix Analysis, 4.3).
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_finite


def tied_hessian(hessian: ArrayLike) -> Array:
    """C, (k, k), of H (L, k, L, k). ValueError for another shape."""
    H = _blocks(hessian)
    return np.asarray(H.sum(axis=(0, 2)) / H.shape[0])


def spectra(hessian: ArrayLike) -> tuple[Array, Array]:
    """Eigenvalues, ascending, of H (L k,) and of C (k,)."""
    H = _blocks(hessian)
    n = H.shape[0] * H.shape[1]
    flat = H.reshape(n, n)
    C = tied_hessian(H)
    untied, tied = (np.linalg.eigvalsh((M + M.T) / 2.0) for M in (flat, C))
    return np.asarray(untied), np.asarray(tied)


def interlacing_gap(hessian: ArrayLike) -> float:
    """The least of lambda_i(C) - lambda_i(H) and lambda_{n-k+i}(H) - lambda_i(C): >= 0, proved."""
    untied, tied = spectra(hessian)
    return float(min(np.min(tied - untied[: tied.size]), np.min(untied[-tied.size :] - tied)))


def stable_steps(hessian: ArrayLike) -> tuple[float, float]:
    """Largest stable constant steps 2 / lmax, (untied, tied): the second is never less.

    inf where lmax <= 0: nothing grows.
    """
    untied, tied = spectra(hessian)
    return _step(float(untied[-1])), _step(float(tied[-1]))


def conditions(hessian: ArrayLike) -> tuple[float, float]:
    """lmax / lmin, (untied, tied): the second is never more. ValueError unless H > 0."""
    untied, tied = spectra(hessian)
    if not untied[0] > 0.0:
        raise ValueError("hessian must be positive definite")
    return float(untied[-1] / untied[0]), float(tied[-1] / tied[0])


def _step(largest: float) -> float:
    return 2.0 / largest if largest > 0.0 else float("inf")


def _blocks(hessian: ArrayLike) -> Array:
    H = as_finite("hessian", hessian)
    if H.ndim != 4 or H.shape[:2] != H.shape[2:]:
        raise ValueError("hessian must have shape (L, k, L, k)")
    return H
