r"""How far from exchangeable the layers of a residual stack are, as it deepens, by branch scale.

Linear residual stack h <- h + beta W_l h, l = 1..L, loss 1/2 |prod (I + beta W_l) - Phi|^2
(whitened inputs), at EQUAL layers W_l = W, W symmetric with eigenvalues omega_i. The end moves by
beta M^(L-l) dW_l M^(l-1), M = I + beta W, so in W's eigenbasis the Gauss-Newton Hessian falls into
one block a pair (i, j) of directions (out, in), of rank one in the layers:

    H_ij = j j^T,    j_l = beta p^(L-l) q^(l-1),    p = 1 + beta omega_i,  q = 1 + beta omega_j.

With g = log(q / p) (`growth`) and the geometric sums, the alignment of the layers in the block is

    A = (sum_l j_l)^2 / (L sum_l j_l^2) = tanh(L g / 2) / (L tanh(g / 2))          (`alignment`),

hence lmax(C) / lmax(H) = A: tying divides the curvature by 1 / A (`curvature_ratio`), and
|[H, Q]| / |H| = sqrt(2 A (1 - A)) (`commutator_share`), as [j j^T, P] has norm sqrt(2) |P j| |Q j|.
i = j, or W a multiple of I: g = 0, A = 1, exchangeable layers: at one rate tying cannot gain.
Otherwise, with D = |omega_j - omega_i| and L -> infinity:

    beta = 1 / L:         g L -> D,          1 / A -> (D / 2) / tanh(D / 2)       bounded,
    beta = 1 / sqrt(L):   g sqrt(L) -> D,    1 / A ~  sqrt(L) D / 2              grows like sqrt(L),
    beta = 1:             g constant,        1 / A ~  L tanh(|g| / 2)             grows like L.

So scaling branches down keeps layers near exchangeable: it limits what tying could gain by
curvature (`theory.models.horizon`). Only the geometry at equal layers; no training is described,
and layers that are drawn independently are not covered. Ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_depth, as_finite


def growth(out: ArrayLike, into: ArrayLike, scale: ArrayLike) -> Array:
    """g = log((1 + beta omega_j) / (1 + beta omega_i)), omega_i `out`, omega_j `into`.

    ValueError unless both 1 + beta omega are > 0 (a layer that turns a direction round).
    """
    beta = as_finite("scale", scale)
    ends = [beta * as_finite(name, x) for name, x in (("out", out), ("into", into))]
    if any(np.any(end <= -1.0) for end in ends):
        raise ValueError("scale times out and into must be > -1")
    return np.asarray(np.log1p(ends[1]) - np.log1p(ends[0]))


def alignment(depth: ArrayLike, g: ArrayLike) -> Array:
    """A in (0, 1]; 1 at g = 0 or depth 1."""
    L, value = as_depth(depth), np.abs(as_finite("g", g))
    safe = np.where(value > 0.0, value, 1.0)
    ratio = np.tanh(L * safe / 2.0) / (L * np.tanh(safe / 2.0))
    return np.asarray(np.where(value > 0.0, ratio, 1.0))


def curvature_ratio(depth: ArrayLike, g: ArrayLike) -> Array:
    """lmax(H) / lmax(C) of the block, >= 1: how much longer a stable step tying allows."""
    return np.asarray(1.0 / alignment(depth, g))


def commutator_share(depth: ArrayLike, g: ArrayLike) -> Array:
    """|[H, Q]| / |H| of the block, in [0, 1 / sqrt(2)]."""
    A = alignment(depth, g)
    return np.asarray(np.sqrt(2.0 * A * np.maximum(1.0 - A, 0.0)))
