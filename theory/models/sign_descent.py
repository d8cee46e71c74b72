r"""Noisy sign descent, and what tying layers does to the speed of what they have in common.

L modules see one common gradient g, each through its own noise: g + sigma xi_l, xi standard normal
and independent. An update of sign type moves each by -eta u(r), r = g / sigma the signal-to-noise
ratio, in expectation:

    sign rule    u(r) = E sign(g + sigma xi) = erf(r / sqrt 2),
    adam rule    u(r) = r / sqrt(1 + r^2) = g / sqrt(g^2 + sigma^2):

Adam divides a mean gradient (first moment) by the root of a mean square (second moment), and when
both averages are long against the noise and short against the change of g, those are g and
g^2 + sigma^2; with beta1 = beta2 = 0 it is the sign rule. Without sharing the mean of the modules
moves with u(r). Tied, all move with the mean of the gradients, whose noise is sigma / sqrt(L):
u(sqrt(L) r). Both u are increasing and concave on r >= 0 with u(0) = 0, so the gain

    u(sqrt(L) r) / u(r)  lies in [1, sqrt(L)]:

concavity gives u(r) >= u(sqrt(L) r) / sqrt(L), monotony the rest; sqrt(L) as r -> 0 (noise
dominates), 1 as r -> infinity. SGD has u(r) = r and no gain at all (`theory.models.quadratic`).

What the gain costs: unshared, the modules' noises average in the mean, variance
eta^2 (1 - u^2) / L a step, tied it is eta^2 (1 - u_L^2); so where noise dominates, tying with step
eta is, for the mean, exactly unsharing with step sqrt(L) eta: the same drift, the same diffusion.
THE GAIN IS ONE OF STEP SIZE, there to be had by a larger step without sharing - which the
differences then pay for: with every arm tuned sharing may still win on the whole loss, by their
noise (`theory.toys.adam_unshare`). Time is counted in steps. Setting: Yang et al.,
arXiv 2110.03848, trains with AdamW and gives theory for plain descent; derivations are ours.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from theory.numerics.domain import Array, as_depth, as_finite
from theory.numerics.quadrature import panel_integral

Rule = Literal["sign", "adam"]


PANEL = 0.5
"""Width in log z: the zeros of erf nearest the real axis are 0.9 away, error about 7^-24."""


def drift(snr: ArrayLike, rule: Rule = "sign") -> Array:
    """u(r): expected step over -eta, elementwise, odd in r.

    ValueError unless `snr` = g / sigma is finite and `rule` is "sign" or "adam".
    """
    r = as_finite("snr", snr)
    if rule == "sign":
        return np.asarray(erf(r / np.sqrt(2.0)))
    if rule == "adam":
        return np.asarray(r / np.hypot(1.0, r))
    raise ValueError('rule must be "sign" or "adam"')


def effective_depth(depth: ArrayLike, correlation: ArrayLike = 0.0) -> Array:
    """L / (1 + (L - 1) c): how many independent noises average when they correlate by c.

    The mean of L noises of variance sigma^2 and pairwise correlation c has variance
    sigma^2 (1 + (L - 1) c) / L. ValueError unless depth is an integer >= 1 and 0 <= c <= 1.
    """
    L = as_depth(depth)
    c = as_finite("correlation", correlation)
    if np.any((c < 0.0) | (c > 1.0)):
        raise ValueError("correlation must lie in [0, 1]")
    return np.asarray(L / (1.0 + (L - 1.0) * c))


def gain_from_snr(
    snr: ArrayLike, depth: ArrayLike, rule: Rule = "adam", correlation: ArrayLike = 0.0
) -> Array:
    """Predicted gain of the common mode's speed by tying `depth` layers, at equal step size.

    u(sqrt(L) |r|) / u(|r|), in [1, sqrt(L)]. `snr` = |E g| / std of one coordinate of one layer's
    gradient over batches, which a run can measure; `correlation` of the layers' noises replaces L
    by `effective_depth`. Arguments broadcast. Default rule "adam": it is the one that AdamW with
    its usual betas follows, see `theory.toys.adam_quadratic`. Where sqrt(L) r < 4e-7 the limit
    sqrt(L) is returned, right to 1e-13 relative. ValueError for bad arguments, by name.
    """
    r = np.abs(as_finite("snr", snr))
    root = np.sqrt(effective_depth(depth, correlation))
    tiny = r * root < 1e-6 / np.sqrt(6.0)  # both rules: 1 - O((sqrt(L) r)^2)
    safe = np.where(tiny, 1.0, r)
    return np.asarray(np.where(tiny, root, drift(root * safe, rule) / drift(safe, rule)))


def descent_ratio(
    first: ArrayLike, second: ArrayLike, noise: ArrayLike, mean_noise: ArrayLike, rule: Rule
) -> tuple[float, float]:
    """Predicted first-order descent of tied over untied layers, and of their common part alone.

    Layers' gradients g_l and noise sigma_l (L, n) and the noise of their mean, (n,), give

        untied: sum_l g_l u(g_l / sigma_l),  its common part: sum_l gbar u(g_l / sigma_l),
        tied:   L gbar u(gbar / sigma_mean),

    -R' per unit of step size, summed over the n coordinates; returns (tied / untied, tied / common
    part). While the first exceeds 1, one more tied step lowers the loss more than an untied one:
    tying gains what averaging noise gives and pays the gradients' differences. Under plain descent
    it would be the alignment (`theory.theorems.alignment`), which never exceeds 1. `first` and
    `second` (L, n) are two independent estimates of g (halves of a sample): products of the two
    have no bias by estimation noise, which would look like signal. ValueError for shapes that do
    not fit.
    """
    one, two, spread = (
        as_finite(n, v) for n, v in (("first", first), ("second", second), ("noise", noise))
    )
    mean_spread = as_finite("mean_noise", mean_noise)
    if one.ndim != 2 or one.shape != two.shape or spread.shape != one.shape:
        raise ValueError("first, second and noise must have one shape (L, n)")
    if mean_spread.shape != one.shape[1:]:
        raise ValueError("mean_noise must have shape (n,)")
    tied = untied = common = 0.0
    for g, h in ((one, two), (two, one)):
        moves = _direction(h, spread, rule)
        untied += float(np.sum(g * moves))
        common += float(np.sum(g.mean(axis=0) * moves))
        together = _direction(h.mean(axis=0), mean_spread, rule)
        tied += len(g) * float(np.sum(g.mean(axis=0) * together))
    return tied / untied, tied / common


def _direction(signal: Array, noise: Array, rule: Rule) -> Array:
    """`drift` of signal / noise; its sign where there is no noise."""
    quiet = noise <= 0.0
    return np.where(quiet, np.sign(signal), drift(signal / np.where(quiet, 1.0, noise), rule))


def steps_to_reach(
    start: ArrayLike,
    end: ArrayLike,
    eta: ArrayLike,
    slope: ArrayLike,
    depth: ArrayLike = 1,
    rule: Rule = "sign",
) -> Array:
    """Steps that the mean of the modules takes from `start` to `end` on a quadratic, by its drift.

    x' = -eta u(sqrt(L) k x), k = h / sigma = `slope` (curvature of the mean over noise):

        t = (1 / (eta kL)) int_{z1}^{z0} dz / u(z),  z = kL x, kL = sqrt(L) k.

    `depth` = 1 without sharing, L when L modules are tied. Adam rule: 1/u = sqrt(1 + z^2) / z has
    the antiderivative sqrt(1 + z^2) - arcsinh(1 / z). Sign rule: composite Gauss-Legendre in log z,
    where z / erf(z / sqrt 2) is smooth; tested to 1e-12 against multiprecision for ratios up to
    1e6. Limits: (start - end) / eta without noise; log(start / end) / (eta u'(0) kL) with much.
    The ODE neglects fluctuations of x, of relative size eta / x: exact as eta -> 0 at fixed
    eta * steps. Arguments broadcast. ValueError unless 0 < end <= start and eta, slope > 0.
    """
    x0, x1, step, k = (
        as_finite(n, v) for n, v in (("start", start), ("end", end), ("eta", eta), ("slope", slope))
    )
    if np.any(x1 <= 0.0) or np.any(x1 > x0):
        raise ValueError("end must be > 0 and <= start")
    if np.any(step <= 0.0):
        raise ValueError("eta must be > 0")
    if np.any(k <= 0.0):
        raise ValueError("slope must be > 0")
    scale = np.sqrt(as_depth(depth)) * k
    speed = step * scale
    way = scale * (x0 - x1)  # z0 - z1 as it is, where both are nearly one number
    z0, z1, way, speed = np.broadcast_arrays(scale * x0, scale * x1, way, speed)
    if rule == "adam":
        # sqrt(1 + z^2) can be huge at both ends: its difference is taken before the roots. So is
        # that of asinh(1 / z): asinh a - asinh b = asinh((a^2 - b^2) / (a hypot(1, b) + ...)).
        root0, root1 = np.hypot(1.0, z0), np.hypot(1.0, z1)
        together = (z0 + z1) / (root0 + root1)
        span = way * together + np.arcsinh(way / z1 / z0 * together)
    elif rule == "sign":
        width = np.log1p(way / z1).reshape(-1)
        flat = panel_integral(_log_integrand, np.log(z1).reshape(-1), width, PANEL)
        span = flat.reshape(z0.shape)
    else:
        raise ValueError('rule must be "sign" or "adam"')
    return np.asarray(span / speed)


def noise_floor(eta: ArrayLike, slope: ArrayLike, depth: ArrayLike, tied: bool) -> Array:
    """Stationary E xbar^2 of noisy sign descent where noise dominates, to first order in eta.

    Drift -eta u'(0) s k x, diffusion eta^2 / n a step, so E x^2 = eta / (2 n u'(0) s k), with
    s = sqrt(L), n = 1 tied and s = 1, n = L unshared; u'(0) = sqrt(2 / pi) for signs. Tied it is
    sqrt(L) times higher: at equal floors the speeds are equal too. Assumes k sqrt(L) x << 1 at the
    floor, that is eta k << 1. ValueError as for `steps_to_reach`.
    """
    step, k, L = as_finite("eta", eta), as_finite("slope", slope), as_depth(depth)
    if np.any(step <= 0.0):
        raise ValueError("eta must be > 0")
    if np.any(k <= 0.0):
        raise ValueError("slope must be > 0")
    speed, averaged = (np.sqrt(L), 1.0) if tied else (1.0, L)
    return np.asarray(step / (2.0 * averaged * np.sqrt(2.0 / np.pi) * speed * k))


def _log_integrand(log_z: Array) -> Array:
    """dz / erf(z / sqrt 2), with z = e^u: z / erf(z / sqrt 2) du."""
    z = np.exp(log_z)
    return z / drift(z, "sign")
