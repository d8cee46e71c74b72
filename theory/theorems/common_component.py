r"""The common component, and when unsharing certainly finishes what sharing began.

**The split.** w_l = w_0 / sqrt(L) + u_l with sum_l u_l = 0 is an orthonormal change of
coordinates, w_0 = sum_l w_l / sqrt(L), so sum_l ||w_l||^2 = ||w_0||^2 + sum_l ||u_l||^2. By the
chain rule dR/dw_0 = sum_l g_l / sqrt(L): one step of plain descent on w_0 alone moves every layer
by -(eta / L) sum_i g_i, exactly the paper's mean rule (for one tied tensor, dR/dw = sum_i g_i, it
is eta / L in place of eta). Sharing learns w_0, unsharing frees u.

**Theorem (stage two).** Let all layers equal W at the time of unsharing, c > 0 the least and K the
largest singular value of W, R_0 the loss there, any target Phi. If for some 0 < r < c

    (i)  sqrt(2 R_0) < r sqrt(L) (c - r)^(L-1),   or
    (ii) sqrt(2 R_0) < r L (c - r)^(2(L-1)) / (K + r)^(L-1),

then the unshared flow W_l' = -g_l stays within ||W_l - W||_F < r for ever, and

    R(t) <= R_0 exp(-2 L (c - r)^(2(L-1)) t) -> 0.

Proof. ||A E B||_F >= s_min(A) ||E||_F s_min(B), so ||g_l||^2 >= prod_{i != l} s_min(W_i)^2 2 R and
R' = -sum_l ||g_l||^2 <= -2 mu R, mu = L (c - r)^(2(L-1)), while every layer is within r of W
(singular values move by no more than the layer does). As long as that lasts, with
G^2 = sum_l ||g_l||^2 >= 2 mu R: (sqrt R)' = -G^2 / (2 sqrt R) <= -G sqrt(mu / 2), so the whole path
has length int G dt <= sqrt(2 R_0 / mu), and no layer moves further: less than r under (i). Or
||g_l|| <= (K + r)^(L-1) sqrt(2 R), whose integral is at most (K + r)^(L-1) sqrt(2 R_0) / mu: less
than r under (ii). So r is never reached, by continuity. []

With r = c / L, (1 - 1/L)^(L-1) >= 1/e: it is enough that
    ||W^L - Phi||_F < c^L / (e sqrt(L)),  and then R(t) <= R_0 exp(-2 e^-2 L c^(2(L-1)) t);
(ii) replaces 1 / sqrt(L) by about e^-3 (c / K)^(L-1). The rate keeps the factor L of sharing.
Taking r -> 0 at t = 0: R'(0) <= -2 L c^(2(L-1)) R_0, an equality in one dimension.

**SWE time.** If sharing meets the condition at tau, SWE reaches eps R(0) by
    T = tau + log(R(tau) / (eps R(0))) / (2 L (c - r)^(2(L-1))),
on targets that no tied network represents, where sharing alone never ends. tau may be read off the
run: the condition is a certificate that can be tested at any step. `theory.theorems.swe_time`
bounds both stages beforehand. It is a local theorem: it needs ||W^L - Phi||_F < s_min(W)^L, so det
Phi has the sign of det W^L, and a negative eigenvalue
met from the identity (`theory.theorems.odd_targets`) never qualifies.

Reference: Yang et al., arXiv 2110.03848, Algorithm 1; its first version names targets that deviate
from sharing as open.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import deep_linear
from theory.numerics.domain import Array, as_depth, as_finite


def split(weights: ArrayLike) -> tuple[Array, Array]:
    """(w_0, u) of weights (..., L, d, d): w_0 = sum_l w_l / sqrt(L), u_l = w_l - w_0 / sqrt(L).

    Shapes (..., d, d) and (..., L, d, d). ValueError for a bad shape or entry.
    """
    layers = as_finite("weights", weights)
    if layers.ndim < 3 or layers.shape[-3] < 1:
        raise ValueError("weights must have shape (..., L, d, d) with L >= 1")
    root = layers.shape[-3] ** 0.5
    common = np.sum(layers, axis=-3) / root
    return common, layers - common[..., None, :, :] / root


def join(common: ArrayLike, apart: ArrayLike) -> Array:
    """Weights (..., L, d, d) from the two parts of `split`."""
    own = as_finite("apart", apart)
    return np.asarray(as_finite("common", common)[..., None, :, :] / own.shape[-3] ** 0.5 + own)


def energies(weights: ArrayLike) -> tuple[Array, Array]:
    """(||w_0||^2, sum_l ||u_l||^2); shapes (...). They add up to sum_l ||w_l||^2."""
    common, apart = split(weights)
    return np.sum(common**2, axis=(-2, -1)), np.sum(apart**2, axis=(-3, -2, -1))


def common_step(weights: ArrayLike, target: ArrayLike, eta: float) -> Array:
    """One step of plain descent on w_0 alone, u fixed: w_0 <- w_0 - eta dR/dw_0; (L, d, d)."""
    common, apart = split(weights)
    slope = np.sum(deep_linear.layer_gradients(weights, target), axis=-3)
    return join(common - eta * slope / apart.shape[-3] ** 0.5, apart)


class Certificate(NamedTuple):
    """What stage two guarantees: layers stay within `radius`, R falls at `rate` or faster.

    Both NaN where the theorem's condition fails.
    """

    radius: float
    rate: float

    @property
    def holds(self) -> bool:
        """Whether the condition is met."""
        return bool(np.isfinite(self.rate))


def certificate(least: float, largest: float, loss: float, depth: int) -> Certificate:
    """The theorem of stage two at a tied point: the least radius r, hence the best rate.

    `least` = c, `largest` = K: singular values of the layer, 0 <= c <= K; `loss` = R_0 >= 0;
    `depth` = L. rate = 2 L (c - r)^(2(L-1)) per unit of flow time. ValueError naming the argument
    outside this domain.
    """
    L = int(as_depth(depth))
    if not 0.0 <= least <= largest < np.inf:
        raise ValueError("least must lie in [0, largest], largest finite")
    if not 0.0 <= loss < np.inf:
        raise ValueError("loss must be >= 0 and finite")
    size = (2.0 * loss) ** 0.5
    if L == 1:  # linear regression: R' = -2 R wherever the layer is, along a path of length `size`
        return Certificate(size, 2.0)

    def room(radius: float) -> float:
        """The larger right-hand side of (i) and (ii)."""
        inner = (least - radius) ** (L - 1)
        first = radius * L**0.5 * inner
        return max(first, radius * L * inner**2 / (largest + radius) ** (L - 1))

    if loss == 0.0 and least > 0.0:
        return Certificate(0.0, 2.0 * L * least ** (2.0 * (L - 1)))
    # (i) rises up to r = c / L, (ii) up to less than that: the first radius that suffices lies
    # below c / L, or none does.
    grid = np.linspace(0.0, least / L, 400)
    enough = np.array([room(float(r)) > size for r in grid])
    if not np.any(enough):
        return Certificate(np.nan, np.nan)
    high = float(grid[int(np.argmax(enough))])
    low = float(grid[int(np.argmax(enough)) - 1])
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if room(middle) > size else (middle, high)
    return Certificate(high, 2.0 * L * (least - high) ** (2.0 * (L - 1)))


def certify(weights: ArrayLike, target: ArrayLike) -> Certificate:
    """`certificate` of tied weights (L, d, d), all equal, and a target (d, d)."""
    layers = as_finite("weights", weights)
    values = np.linalg.svd(layers[0], compute_uv=False)
    lost = float(deep_linear.loss(layers, target))
    return certificate(float(values[-1]), float(values[0]), lost, layers.shape[0])


def basin(least: float, depth: int) -> float:
    """c^L / (e sqrt(L)): a smaller ||W^L - Phi||_F is always certified.

    ValueError for least < 0 or a bad depth.
    """
    L = int(as_depth(depth))
    if not 0.0 <= least < np.inf:
        raise ValueError("least must be >= 0 and finite")
    return least**L / (np.e * L**0.5)
