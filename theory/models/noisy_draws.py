r"""One draw for all layers under noise: what tying costs a first skill that every layer can learn.

`theory.models.draws` with gradient noise while nothing is learnt, s << 1: in R^d, a Brownian motion
for each layer, du_l = lambda u_l dt + sqrt(D) dB_l, lambda = 2 g(0) (a flow; Adam's steps, where
noise decides their length, in another time). u_l(t) = e^{lambda t} (u_l(0) + xi_l(t)), where xi_l
tends to N(0, nu^2 I), nu^2 = D / (2 lambda), within an e-fold: noise is a second draw, made early.

A of L layers are drawn from N(0, sigma^2 I) and copied, the copies tied until tau and then let go;
r = nu^2 / sigma^2, q = e^{-2 lambda tau}. Tied copies move with the mean of their L / A noises: the
copies' mean gets all its noise, tied or not, and their differences only what comes after tau. So

    s = sigma^2 e^{2 lambda t} ((L / A + r) chi^2_{A d} + r q chi^2_{(L - A) d})        (`parts`)

with independent chi^2; A = L is the baseline. In e-folds of s, the skill is learnt in the mean

    later than the baseline's by  psi(L d / 2) + log(2 (1 + r)) - E log(..)             (`delay`).

TYING ONLY DELAYS, from every start, in distribution: q falls in tau and nothing else depends on it,
so s at a larger tau is stochastically smaller. (Not on every path: noise after tau may undo noise
before it. Always-shared, q = 0, is later on every path, as it has the mean's part of s alone.) So
the equal start (q = 1) is before SWE at every tau, and SWE before always-shared, which is later
than the baseline by delay(r = 0) + log(1 + r) - log(1 + r A / L): up to log(L / A) more than
without noise, as untied layers have L noises for draws and tied ones the mean of L / A. For
r -> infinity the equal start is the baseline: noise makes it forget its start. Without noise all of
them are one run (`theory.models.draws`).

E log of Q = sum_i c_i chi^2_{k_i} by Frullani: int_0^infinity (e^{-t} - E e^{-t Q}) dt / t with
E e^{-t Q} = prod_i (1 + 2 c_i t)^{-k_i / 2}.

Not covered: what averaged noise does to Adam's step length (`theory.models.sign_descent`), which is
for tying. Ours.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.optimize import brentq

from theory.models import draws
from theory.numerics.domain import Array, as_finite

Parts = list[tuple[float, float]]
"""Weights and degrees of freedom of independent chi^2."""
LARGEST = 12.0
"""|log r| up to which a noise is looked for."""


def parts(layers: int, own: int, dimension: int, noise: float, kept: float) -> Parts:
    """The two chi^2 of s, in units of sigma^2 e^{2 lambda t}.

    `noise`: r >= 0; `kept`: q in [0, 1], 1 never tied, 0 tied to the end. ValueError for others and
    as `draws.delay`.
    """
    float(draws.delay(layers, own, dimension))
    if not (0.0 <= noise < np.inf):
        raise ValueError("noise must be finite and >= 0")
    if not (0.0 <= kept <= 1.0):
        raise ValueError("kept must be in [0, 1]")
    drawn = (layers / own + noise, float(own * dimension))
    return [drawn, (noise * kept, float((layers - own) * dimension))]


def expected_log(of: Parts) -> float:
    """E log of a weighted sum of independent chi^2, absolute error below 1e-9.

    ValueError unless a weight is positive and none is negative.
    """
    weights, degrees = as_finite("parts", of).T
    if np.any(weights < 0.0) or not np.any((weights > 0.0) & (degrees > 0.0)):
        raise ValueError("weights must be >= 0, one of them positive")
    scale = float(weights @ degrees)

    def integrand(x: float) -> float:
        """In t = e^x, of Q / E Q."""
        t = np.exp(x)
        log_mean = -float(degrees @ np.log1p(2.0 * weights * t / scale)) / 2.0
        return float(np.exp(-t) - np.exp(log_mean))

    low, high = -40.0, 40.0 + 80.0 / float(degrees[weights > 0.0].sum())
    found, _ = quad(integrand, low, high, limit=500, epsabs=1e-11, epsrel=1e-11)
    return float(found) + float(np.log(scale))


def delay(layers: int, own: int, dimension: int, noise: float, kept: float = 1.0) -> float:
    """Mean delay over the baseline under the same noise, in e-folds of the gain. As `parts`."""
    each = expected_log([(1.0 + noise, float(layers * dimension))])
    return each - expected_log(parts(layers, own, dimension, noise, kept))


def noise_of(layers: int, own: int, dimension: int, gap: float) -> float:
    """The noise r at which always-shared is `gap` e-folds later than the equal start.

    It grows with r, from 0 to `delay` at r -> infinity, q = 0. ValueError for another gap, up to
    LARGEST, and as `parts`; also unless own < layers.
    """
    if own >= layers:
        raise ValueError("own must be less than layers")

    def over(log_noise: float) -> float:
        tied, untied = (delay(layers, own, dimension, float(np.exp(log_noise)), q) for q in (0, 1))
        return tied - untied - gap

    ends = (-LARGEST, LARGEST)
    low, high = (over(end) for end in ends)
    if not low < 0.0 < high:
        raise ValueError(f"gap must be in ({low + gap:g}, {high + gap:g})")
    return float(np.exp(brentq(over, *ends, xtol=1e-10)))


def simulate(
    weights: ArrayLike, tied: Sequence[int], noise: float, step: float, share: float, seed: int
) -> Array:
    """Times at which s = `share`, of Euler-Maruyama runs of F = (1 - s)^2 / 2, the first of each.

    `weights` (runs, L, d); `tied[l]`: the group of layer l, layers of one group moving with the
    mean of their gradients and noises; `noise`: nu^2, so that D = 2 lambda nu^2 = 4 nu^2.
    """
    rng = np.random.default_rng([seed, 93])
    u = np.array(weights, dtype=np.float64)
    groups = np.asarray(tied)
    mean = (groups[:, None] == groups[None, :]) / (groups[:, None] == groups[None, :]).sum(1)
    found, now = np.full(len(u), np.nan), 0.0
    while np.any(np.isnan(found)):
        found = np.where(np.isnan(found) & ((u**2).sum((1, 2)) >= share), now, found)
        u = moved(u, mean, noise, step, rng)
        now += step
    return found


def moved(
    u: Array,
    mean: Array,
    noise: float,
    step: float,
    rng: np.random.Generator,
    root: Array | None = None,
) -> Array:
    """Return runs' weights (runs, L, d) a step of `simulate` later; `mean` (L, L) over groups;
    `root` (L, L): a root of the correlation of layers' noises, None for independent ones."""
    s = (u**2).sum((1, 2))
    drift = 2.0 * (1.0 - np.minimum(s, 1.0))[:, None, None] * u
    each = rng.normal(size=u.shape)
    if root is not None:
        each = np.einsum("lm,nmd->nld", root, each)
    kick = np.sqrt(4.0 * noise * step) * each
    return np.asarray(u + np.einsum("lm,nmd->nld", mean, step * drift + kick))
