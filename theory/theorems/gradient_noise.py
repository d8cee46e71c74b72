r"""Additive gradient noise: what tying does to the noise floor, in closed form.

Every layer's gradient carries sigma xi_l, entries N(0, 1), independent over layers (`overlap` 0),
the same in all (1) or between: xi_l = sqrt(overlap) zeta + sqrt(1 - overlap) zeta_l. No sharing
moves layer l by -eta (g_l + sigma xi_l), sharing all layers by the mean of that. Tying averages L
noises, which divides their variance by L. It does not lower the floor, and this is why.

**Floor.** Near a minimum, W_L .. W_1 = Phi, the error q = vec(product - Phi) is to first order
q = sum_l J_l vec(dW_l), J_l = (W_L .. W_{l+1}) (x) (W_{l-1} .. W_1)^T, R = ||q||^2 / 2, and

    no sharing:  q+ = (I - eta K) q - eta sigma sum_l J_l xi_l,    K = sum_l J_l J_l^T;
    sharing:     q+ = (I - eta K_0) q - eta sigma J_0 xi_0,        K_0 = J_0 J_0^T,

J_0 = sum_l J_l / sqrt(L), xi_0 = sum_l xi_l / sqrt(L): the common component of weights and of noise
(theory.theorems.common_component), whose noise has variance 1, not 1/L: the averaged noise enters
through all L layers at once. With independent noises the stationary second moment, exactly
(discrete Lyapunov equation X = (I - eta K) X (I - eta K) + eta^2 sigma^2 K, diagonal with K), gives

    E R = 1/2 sum_i eta sigma^2 / (2 - eta kappa_i) = d^2 eta sigma^2 / 4 + O(eta^2),

kappa the d^2 eigenvalues of K, or K_0. The first order knows neither the depth nor the target, nor
the minimum reached, nor tying. The second order favours tying by a little: K_0 <= K (the square of
a mean is at most the mean of squares), with equality iff all J_l agree. At a tied minimum of a PD
target with eigenvalues v_a^L, kappa_ab = h_(L-1)(v_a^2, v_b^2) and kappa_0ab = h_(L-1)(v_a, v_b)^2
/ L, h_n(x, y) = sum_i x^i y^(n-i): the same for a = b, and for a multiple of the identity.

**At equal sensitivities tying changes nothing.** If all J_l agree (L = 1; Phi = c I at its tied
minimum), K = K_0 and sum_l J_l xi_l = J_0 xi_0: the two linearised processes are one, noise by
noise, for any overlap; noise common to all layers is not averaged, with or without tying.

**What is left to tying.** Without it the (L - 1) d^2 directions that do not change the product
diffuse, each with variance eta^2 sigma^2 k after k steps (`apart`): the weights walk along the
valley of minima and K with them, so the floor is not quite stationary. Both effects are of second
order in eta. Linearised; the simulation of theory.studies.gradient_noise is not.

Source: ours. References: Yang et al., arXiv 2110.03848, Algorithm 1; Mandt, Hoffman, Blei, JMLR
2017, for the stationary second moment of SGD at a quadratic.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_finite


def jacobians(weights: ArrayLike) -> Array:
    """J_l of the product by each layer, row-major vec; weights (L, d, d), result (L, d^2, d^2).

    ValueError for a bad shape or entry.
    """
    layers = as_finite("weights", weights)
    if layers.ndim != 3 or layers.shape[0] < 1 or layers.shape[1] != layers.shape[2]:
        raise ValueError("weights must have shape (L, d, d) with L >= 1")
    depth, d = layers.shape[:2]
    below, above = [np.eye(d)], [np.eye(d)]
    for layer in range(depth - 1):
        below.append(layers[layer] @ below[-1])
        above.append(above[-1] @ layers[depth - 1 - layer])
    return np.stack([np.kron(above[depth - 1 - k], below[k].T) for k in range(depth)])


def curvature(weights: ArrayLike, *, tied: bool) -> Array:
    """K, or K_0 where `tied`, at a minimum (L, d, d); (d^2, d^2), symmetric. Errors as above."""
    each = jacobians(weights)
    if tied:
        common = each.sum(axis=0) / each.shape[0] ** 0.5
        return np.asarray(common @ common.T)
    return np.asarray(np.einsum("lij,lkj->ik", each, each))


def noise_floor(
    weights: ArrayLike, eta: float, sigma: float, *, tied: bool, overlap: float = 0.0
) -> float:
    """Stationary E R at a minimum (L, d, d), sum_i eta sigma^2 n_i / (2 kappa_i (2 - eta kappa_i)).

    n_i is the noise's variance along eigenvector i: kappa_i for `overlap` 0, otherwise of (1 -
    overlap) K + overlap L K_0, for sharing (1 - overlap + overlap L) K_0. Infinity where eta kappa
    >= 2. ValueError naming the argument for eta <= 0, sigma < 0, overlap outside [0, 1], or a
    singular minimum.
    """
    if not 0.0 <= overlap <= 1.0:
        raise ValueError("overlap must lie in [0, 1]")
    kappa, axes = _spectrum(weights, eta, sigma, tied)
    noise = kappa * (1.0 - overlap)
    if overlap > 0.0:
        common = len(np.asarray(weights)) * curvature(weights, tied=True)
        noise = noise + overlap * np.einsum("ji,jk,ki->i", axes, common, axes)
    if np.any(eta * kappa >= 2.0):
        return np.inf
    return float(np.sum(0.5 * eta * sigma**2 * noise / (kappa * (2.0 - eta * kappa))))


def expected_loss(
    steps: ArrayLike, weights: ArrayLike, error: ArrayLike, eta: float, sigma: float, *, tied: bool
) -> Array:
    """E R after k steps of the linearised process from product - Phi = `error`, independent noise.

    sum_i (a_i^(2k) e_i^2 + eta^2 sigma^2 kappa_i (1 - a_i^(2k)) / (1 - a_i^2)) / 2, a = 1 - eta
    kappa, e_i the error along eigenvector i. `weights`: the minimum (L, d, d); `error` (d, d);
    `steps` (n,) >= 0, result (n,). Errors as for `noise_floor`.
    """
    kappa, axes = _spectrum(weights, eta, sigma, tied)
    start = axes.T @ as_finite("error", error).reshape(-1)
    decay = np.abs(1.0 - eta * kappa) ** (2.0 * np.asarray(steps, dtype=np.float64)[..., None])
    floor = eta * sigma**2 / (2.0 - eta * kappa)
    return np.asarray(0.5 * np.sum(decay * start**2 + floor * (1.0 - decay), axis=-1))


def first_order_floor(d: int, eta: float, sigma: float) -> float:
    """d^2 eta sigma^2 / 4, for every method, depth and target. ValueError for d < 1."""
    if d < 1:
        raise ValueError("d must be >= 1")
    return d**2 * eta * sigma**2 / 4.0


def apart(steps: ArrayLike, weights: ArrayLike, eta: float, sigma: float) -> Array:
    """Without sharing, E sum_l ||u_l||^2 after k steps from a minimum, u_l = dW_l - its mean.

    Independent noises. The layers' errors have covariance eta^2 sigma^2 k along what leaves the
    product alone and J^T X_k (K^+)^2 J along the rest, X_k that of q; the sum of both after taking
    off the layers' mean. `steps` (n,), result (n,). Errors as for `noise_floor`.
    """
    kappa, axes = _spectrum(weights, eta, sigma, False)
    each = jacobians(weights)
    depth, width = each.shape[0], each.shape[1]
    k = np.asarray(steps, dtype=np.float64)
    decay = np.abs(1.0 - eta * kappa) ** (2.0 * k[..., None])
    moved = eta * sigma**2 / (2.0 - eta * kappa) * (1.0 - decay) / kappa  # along J^T axes, unit
    rotated = np.einsum("lij,ik->lkj", each, axes) / kappa[:, None] ** 0.5
    share = np.sum(np.sum(rotated, axis=0) ** 2, axis=-1) / depth  # of each, in the common part
    free = (depth - 1) * width - np.sum(1.0 - share)  # traces of the projections
    return np.asarray(eta**2 * sigma**2 * k * free + np.sum((1.0 - share) * moved, axis=-1))


def _spectrum(weights: ArrayLike, eta: float, sigma: float, tied: bool) -> tuple[Array, Array]:
    if not 0.0 < eta < np.inf:
        raise ValueError("eta must be > 0 and finite")
    if not 0.0 <= sigma < np.inf:
        raise ValueError("sigma must be >= 0 and finite")
    kappa, axes = np.linalg.eigh(curvature(weights, tied=tied))
    if not kappa[0] > 1e-12 * kappa[-1]:
        raise ValueError("weights must be a minimum at which the product can move in any direction")
    return kappa, axes
