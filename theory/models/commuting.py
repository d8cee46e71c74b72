r"""The part of a curvature that cannot make sharing pay: what of it commutes with Q.

Q = I minus the layer mean, P = I - Q, both per parameter. H = PHP + QHQ + (PHQ + QHP), the three
orthogonal in the Frobenius product: the first two keep the mean of the layers and their differences
apart, the last couples them. `commuting` drops the last: it is the nearest matrix that commutes
with Q, and what it drops has the norm of [H, Q] = PHQ - QHP
(`theory.models.switching.commutator`).

NEVER BELOW THE EQUAL START. F = 1/2 (w - w*)^T H (w - w*) with PHQ = 0 and H >= 0, one rate for all
arms, eta lmax(H) <= 2, no noise. The mean of the layers moves by PHP alone, tied or not, so it ends
in the same place whatever tau. The differences start at 0 from an equal start, stay there while
tied, and then contract towards those of w*, each eigen-direction v of QHQ by 1 - eta_t h a step:

    F(tau) = const + 1/2 sum_v h prod_{t >= tau} (1 - eta_t h)^2 (v w*)^2,

which never falls with tau, as |1 - eta_t h| <= 1. So a model of this form never says that sharing
gains over the equal start at one rate; whatever says so lies in what `commuting` drops, in noise,
or in rates of each arm's own. Against a baseline from other draws it may say anything.

`exchangeable` is a smaller set: the mean over all permutations of the layers, I (x) A +
(1/L) 1 1^T (x) B (`theory.models.fit_quadratic.Curvature`), where the layers are alike as well.
"""

import numpy as np

from theory.models.fit_quadratic import Curvature
from theory.numerics.domain import Array, as_finite


def commuting(hessian: Array) -> Array:
    """PHP + QHQ of H, (L, k, L, k). ValueError for another shape or entries not finite.

    With r and c the means over the first and the second layer and m over both, PH = r, HP = c and
    PHP = m, so PHP + QHQ = H - r - c + 2 m.
    """
    H = as_finite("hessian", hessian)
    if H.ndim != 4 or H.shape[:2] != H.shape[2:]:
        raise ValueError("hessian must have shape (L, k, L, k)")
    first, second = H.mean(axis=0, keepdims=True), H.mean(axis=2, keepdims=True)
    return np.asarray(H - first - second + 2.0 * first.mean(axis=2, keepdims=True))


def exchangeable(hessian: Array) -> Array:
    """Mean of H over all permutations of its layers, (L, k, L, k). ValueError as `Curvature.of`."""
    found = Curvature.of(hessian)
    L = len(hessian)
    out = np.zeros_like(hessian) + ((found.mean - found.own) / L)[None, :, None, :]
    for layer in range(L):
        out[layer, :, layer] += found.own
    return out
