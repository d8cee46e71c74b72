r"""One draw for all layers, or one each: when a first skill is learnt that any layer can learn.

L layers, u_l in R^d the weight of layer l along what the skill needs, s = sum_l |u_l|^2 the part of
it that is learnt, loss F(s) with F'(s) = -g(s), g > 0 on [0, s*). Gradient flow u_l' = 2 g(s) u_l
keeps every u_l's direction and all their ratios, so

    s' = 4 g(s) s,    time from s(0) to s* = int_{s(0)}^{s*} ds / (4 g(s) s)
                                           = (log(1 / s(0)) + c + o(1)) / (4 g(0)),  s(0) -> 0,

c free of s(0): only log s(0) counts, in E-FOLDS of the gain F(0) - F(s) = g(0) s + O(s^2).

TYING DOES NOTHING HERE: equal layers have equal gradients, so their mean is each one's own. SWE at
any tau, the equal start and always-shared are one run; all that differs from untied layers is the
start. A of L layers drawn, u ~ N(0, sigma^2 I), each copied to L / A: s(0) = sigma^2 (L / A)
chi^2_{A d}. E log chi^2_k = psi(k / 2) + log 2 and Var log chi^2_k = psi'(k / 2), so copies leave

    later in the mean by    psi(L d / 2) - psi(A d / 2) - log(L / A) >= 0 e-folds   (`delay`),
    with standard deviation sqrt(psi'(A d / 2))                                     (`spread`),

though E s(0) is the same: the logarithm is concave, and one draw may be small. The delay falls in d
and A, like (1 / A - 1 / L) / d, and is bounded in L: log x - psi(x) at x = A d / 2, 1.27 e-folds
at A = d = 1. The spread is the larger effect: 2.22 e-folds there, 0.43 of twelve draws. Where the
untied layers have the A draws among their own, the copies still leave first with probability

    P(F_{A d, (L - A) d} > 1),    Snedecor's ratio of mean squares                      (`first`),

1/3 and more.

`start` is E log s(0) itself, so it says of two stacks of one width, task and rate which leaves
first: L drawn layers before L' by psi(L d / 2) - psi(L' d / 2), about log(L / L'), whatever noise
each makes. Branches multiplied by a have s = a sum_l |u_l|^2: later by log(1 / a), in e-folds that
are 1 / a times as long in this flow, and no longer where steps have one length (Adam's, in noise).
Not in it: what copies add up to at the start of a Pre-LN stack, before any skill (`stream`).

Products within a layer, as a query's and a key's, grow by another power of their own scale: not
covered. Nor are Adam's steps, but where noise decides their length they are a flow in another time.
Ours; the start is that of Yang et al., arXiv 2110.03848, Algorithm 1.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.special import digamma, logit, polygamma
from scipy.stats import f as snedecor

from theory.numerics.domain import Array, as_depth


def delay(layers: ArrayLike, draws: ArrayLike, dimension: ArrayLike) -> Array:
    """Mean delay in e-folds of the gain, of `draws` drawn layers copied to `layers`, over as many
    drawn as there are. ValueError unless all are integers >= 1 and draws divide layers."""
    L, A = _divided(layers, draws)
    d = _as_dimension(dimension)
    return np.asarray(digamma(L * d / 2.0) - digamma(A * d / 2.0) - np.log(L / A))


def start(
    layers: ArrayLike, draws: ArrayLike, dimension: ArrayLike, scale: ArrayLike = 1.0
) -> Array:
    """E log(s(0) / sigma^2), branches multiplied by `scale`: of two stacks the one with more leaves
    earlier, by the difference in e-folds. ValueError as for `delay`, and unless scale > 0."""
    L, A = _divided(layers, draws)
    d, a = _as_dimension(dimension), np.asarray(scale, dtype=np.float64)
    if not np.all((a > 0.0) & np.isfinite(a)):
        raise ValueError("scale must be positive and finite")
    return np.asarray(digamma(A * d / 2.0) + np.log(2.0 * a * L / A))


def spread(draws: ArrayLike, dimension: ArrayLike) -> Array:
    """Standard deviation over starts of when the skill is learnt, in e-folds of the gain."""
    A, d = as_depth(draws), _as_dimension(dimension)
    return np.asarray(np.sqrt(polygamma(1, A * d / 2.0)))


def first(layers: int, draws: int, dimension: int) -> float:
    """Probability that the copies leave before the layers that they were taken from.

    ValueError unless draws divide layers and are fewer."""
    L, A = (float(x) for x in _divided(layers, draws))
    if A == L:
        raise ValueError("draws must be fewer than layers")
    d = float(_as_dimension(dimension))
    return float(snedecor.sf(1.0, A * d, (L - A) * d))


def learnt_at(start: ArrayLike, share: ArrayLike) -> Array:
    """Time at which s = `share`, from s = `start`, for F = (1 - s)^2 / 2: a logistic.

    ValueError unless 0 < start <= share < 1.
    """
    s, end = np.broadcast_arrays(np.asarray(start, float), np.asarray(share, float))
    if not np.all((s > 0.0) & (s <= end) & (end < 1.0)):
        raise ValueError("start and share must be 0 < start <= share < 1")
    return np.asarray((logit(end) - logit(s)) / 4.0)


def flow(weights: ArrayLike, times: ArrayLike, tied: int = 0) -> Array:
    """s at `times`, from layers' weights (L, d), for F = (1 - s)^2 / 2, by an integrator.

    `tied` > 0: layer l moves by the mean gradient of the layers l mod `tied`.
    """
    w = np.asarray(weights, dtype=np.float64)
    (L, d), at = w.shape, np.asarray(times, dtype=np.float64)

    def velocity(_: float, u: Array) -> Array:
        move = 2.0 * (1.0 - float(u @ u)) * u
        if tied:
            by_group = move.reshape(L // tied, tied, d)
            move = np.broadcast_to(by_group.mean(0), by_group.shape).reshape(-1)
        return move

    found = solve_ivp(
        velocity, (0.0, float(at[-1])), w.reshape(-1), "DOP853", at, rtol=1e-11, atol=1e-14
    )
    return np.asarray((found.y**2).sum(0))


def _divided(layers: ArrayLike, draws: ArrayLike) -> tuple[Array, Array]:
    """Both as depths. ValueError unless draws divide layers."""
    L, A = np.broadcast_arrays(as_depth(layers), as_depth(draws))
    if np.any(L % A):
        raise ValueError("draws must divide layers")
    return L, A


def _as_dimension(dimension: ArrayLike) -> Array:
    value = np.asarray(dimension, dtype=np.float64)
    if not np.all((value >= 1.0) & np.isfinite(value) & (value == np.floor(value))):
        raise ValueError("dimension must be an integer >= 1")
    return value
