r"""How well the layers' gradients agree, and what averaging them costs (the paper's remark on COR).

For layer gradients g_1 .. g_L of any loss R at any weights,

    A = ||sum_l g_l||^2 / (L sum_l ||g_l||^2),   0 <= A <= 1 by Cauchy-Schwarz.

**Theorem (two factors).** Moving every layer by its own gradient, W_l' = -g_l, gives
R' = sum_l <g_l, W_l'> = -S with S = sum_l ||g_l||^2. Moving every layer by the mean gradient,
W_l' = -(1/L) sum_i g_i, gives R' = -<sum_l g_l, sum_i g_i> / L = -A S. So at one and the same point
sharing never descends faster than not sharing; it is as fast iff all g_l are equal, A = 1; with
orthogonal gradients of any norms A = 1/L: averaging loses the factor L. The paper's factor L over
ZAS can only come from S, that is from where the flow is: at the identity S = L ||I - Phi||_F^2 and
A = 1, at the ZAS start S = ||Phi||_F^2 and A = 1/L (one layer alone has a gradient).
Averaging costs more than it gives where A S at the shared point is below S at the unshared one.
All this is about a point. Two flows that left one start are at different points later, and then
either can be ahead; `study` counts how often, and `theory.theorems.one_step` has a run without
noise that ends lower for having been tied although A < 1 at its start.

Reference: Yang et al., arXiv 2110.03848, the discussion after Theorem 4 and the rule of SWE-A.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_finite


def alignment(gradients: ArrayLike) -> Array:
    """A = ||sum_l g_l||^2 / (L sum_l ||g_l||^2) of gradients (..., L, d, d); shape (...).

    NaN where all gradients vanish. ValueError naming the argument for a bad shape or entry.
    """
    layers = _flat(gradients)
    total = np.sum(layers**2, axis=(-2, -1))
    common = np.sum(np.sum(layers, axis=-2) ** 2, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(common / (layers.shape[-2] * total))


def descent_rates(gradients: ArrayLike) -> tuple[Array, Array]:
    """(-R' under the layers' own gradients, -R' under their mean) = (S, A S); shapes (...).

    Computed from the definitions, <g_l, movement of l>, not from A. Errors as for `alignment`.
    """
    layers = _flat(gradients)
    mean = np.mean(layers, axis=-2, keepdims=True)
    return np.sum(layers * layers, axis=(-2, -1)), np.sum(layers * mean, axis=(-2, -1))


def adjacent_cosines(gradients: ArrayLike) -> Array:
    """cos(g_l, g_{l+1}) for l = 1 .. L-1, what SWE-A looks at; (..., L, d, d) to (..., L - 1).

    NaN next to a gradient that vanishes. Errors as for `alignment`.
    """
    layers = _flat(gradients)
    norms = np.linalg.norm(layers, axis=-1)
    inner = np.sum(layers[..., 1:, :] * layers[..., :-1, :], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(inner / (norms[..., 1:] * norms[..., :-1]), -1.0, 1.0))


def rule_unties(cosines: ArrayLike, rho: float = 0.5) -> Array:
    """SWE-A's check: more than half of the adjacent cosines (..., L - 1) lie below rho.

    One check; the paper asks for three in a row. ValueError for rho outside [-1, 1].
    """
    if not -1.0 <= rho <= 1.0:
        raise ValueError("rho must lie in [-1, 1]")
    values = as_finite("cosines", cosines)
    return np.asarray(2 * np.sum(values < rho, axis=-1) > values.shape[-1])


def alignment_bounds(cosines: ArrayLike, norms: ArrayLike) -> tuple[float, float]:
    """All that the adjacent cosines (L - 1,) and the norms (L,) say about A: (lower, upper).

    With theta_l = arccos of the l-th cosine, angles obey the triangle inequality, so for i < j and
    T = sum of theta_l between them, M = the largest of these,
        max(0, 2 M - T) <= angle(g_i, g_j) <= min(pi, T),
    and A = sum_ij n_i n_j cos(angle_ij) / (L sum n_l^2). The lower bound is
    cut at 0. The upper one is the least of this and of the triangle inequality over neighbours,
        L sum n_l^2 A <= (sum over disjoint neighbours ||g_l + g_{l+1}|| + the rest)^2,
    attained by two vectors to and fro: for one cosine c, equal norms, even L, A <= (1 + c) / 2.
    ValueError for shapes, cosines outside
    [-1, 1], negative or all-zero norms.
    """
    cosine, size = as_finite("cosines", cosines), as_finite("norms", norms)
    if size.ndim != 1 or size.size < 1 or cosine.shape != (size.size - 1,):
        raise ValueError("cosines must have shape (L - 1,) for norms (L,), L >= 1")
    if not np.all(np.abs(cosine) <= 1.0):
        raise ValueError("cosines must lie in [-1, 1]")
    if not (np.all(size >= 0.0) and np.any(size > 0.0)):
        raise ValueError("norms must be >= 0 and not all zero")
    theta = np.arccos(cosine)
    place = np.concatenate([[0.0], np.cumsum(theta)])
    lower, upper = np.eye(size.size), np.eye(size.size)
    for i in range(size.size - 1):
        total = place[i + 1 :] - place[i]
        largest = np.maximum.accumulate(theta[i:])
        lower[i, i + 1 :] = lower[i + 1 :, i] = np.cos(np.minimum(np.pi, total))
        upper[i, i + 1 :] = upper[i + 1 :, i] = np.cos(np.maximum(0.0, 2.0 * largest - total))
    scale = size.size * float(size @ size)
    together = np.sqrt(
        np.maximum(0.0, size[1:] ** 2 + size[:-1] ** 2 + 2.0 * size[1:] * size[:-1] * cosine)
    )
    most = float(size @ upper @ size)
    for first in (0, 1):
        pairs = np.arange(first, size.size - 1, 2)
        alone = np.sum(size) - np.sum(size[pairs] + size[pairs + 1])
        most = min(most, float(np.sum(together[pairs]) + alone) ** 2)
    return max(0.0, float(size @ lower @ size) / scale), most / scale


def untie_bound(depth: int, rho: float = 0.5) -> float:
    """The largest A that gradients of equal norm may have when SWE-A's check unties them.

    B = floor((L - 1) / 2) + 1 adjacent cosines lie below rho, so at least m = ceil(B / 2) disjoint
    neighbours have ||g_l + g_{l+1}|| < sqrt(2 + 2 rho), and by the triangle inequality
        A <= (1 - m (2 - sqrt(2 + 2 rho)) / L)^2,
    0.87 for deep networks and rho = 0.5: untying then raises -R' by 15 % or more. When the check
    keeps them tied nothing follows, A may be 0 (`kept_in_vain`). ValueError for L < 2 or rho
    outside [-1, 1].
    """
    if depth < 2:
        raise ValueError("depth must be >= 2")
    if not -1.0 <= rho <= 1.0:
        raise ValueError("rho must lie in [-1, 1]")
    disjoint = -(-((depth - 1) // 2 + 1) // 2)
    return float((1.0 - disjoint * (2.0 - (2.0 + 2.0 * rho) ** 0.5) / depth) ** 2)


def kept_in_vain(depth: int) -> Array:
    """Gradients (L, 2, 1) that SWE-A keeps tied for ever although averaging leaves nothing, A = 0.

    Unit vectors turning by 2 pi / L a layer: every adjacent cosine is cos(2 pi / L) > 0.5 for
    L >= 7, and they sum to zero. ValueError for L < 7.
    """
    if depth < 7:
        raise ValueError("depth must be >= 7: below, cos(2 pi / L) <= 0.5")
    angle = 2.0 * np.pi * np.arange(depth) / depth
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, :, None]


def untied_in_vain(depth: int, cosine: float = 0.49) -> Array:
    """Gradients (L, 2, 1) that SWE-A unties although averaging costs little.

    All equal but for m = ceil(L / 4) single layers, apart from each other, at angle arccos(cosine)
    to the rest: each spoils two adjacent cosines, 2 m > (L - 1) / 2, and
        A = 1 - 2 (m / L) (1 - m / L) (1 - cosine),
    about 0.81. ValueError for L < 5 or a cosine outside [-1, 0.5).
    """
    if depth < 5:
        raise ValueError("depth must be >= 5")
    if not -1.0 <= cosine < 0.5:
        raise ValueError("cosine must lie in [-1, 0.5)")
    gradients = np.tile(np.array([1.0, 0.0]), (depth, 1))
    odd = 1 + 2 * np.arange(-(-depth // 4))
    gradients[odd] = [cosine, np.sqrt(1.0 - cosine**2)]
    return gradients[:, :, None]


def early_misalignment(target: ArrayLike, depth: int) -> float:
    """lim (1 - A) / t^2 as t -> 0, identity start, either flow:

        (L^2 - 1) / 12 * ||Phi Phi^T - Phi^T Phi||_F^2 / ||Phi - I||_F^2.

    With D = Phi - I every layer is I + t D + O(t^2), so g_l = -D + t [L D - (L - l) D^T D
    - (l - 1) D D^T] + O(t^2): the layers' gradients differ by t (l - (L + 1) / 2) [D^T, D], and
    1 - A = sum_l ||g_l - mean||^2 / sum_l ||g_l||^2. It vanishes iff Phi is normal. Neighbours
    differ by 1 / L of what the first and the last do, so adjacent cosines stay within O(1 / L^2)
    of one while A does not: SWE-A's statistic is blind to this drift in deep networks. `target`:
    (d, d), not the identity. ValueError for a bad target or depth.
    """
    phi = as_finite("target", target)
    if depth < 1:
        raise ValueError("depth must be >= 1")
    apart = float(np.sum((phi - np.eye(phi.shape[0])) ** 2))
    if apart == 0.0:
        raise ValueError("target must differ from the identity")
    return (depth**2 - 1) / 12.0 * float(np.sum((phi @ phi.T - phi.T @ phi) ** 2)) / apart


def _flat(gradients: ArrayLike) -> Array:
    layers = as_finite("gradients", gradients)
    if layers.ndim < 3 or layers.shape[-3] < 1:
        raise ValueError("gradients must have shape (..., L, d, d) with L >= 1")
    return layers.reshape(*layers.shape[:-2], -1)
