r"""Noise against deviations at tuned rates: a gain that shrinks with the budget, and where it ends.

The problem of `theory.models.horizon` in N updates of SGD with steps eta_t: H = diag(h_1..h_L), all
layers start at distance m from the mean of the optima, optima m + delta_l with independent delta_l
of mean 0 and variance `deviation` v, gradient noise of variance `noise` sigma^2, independent over
layers and updates. Expectations over both, exact (`losses`): tied, the common value moves by
x <- (1 - eta hbar) x + eta (1/L) sum h_l delta_l - eta nbar; freed, each layer by its own h_l.

EXCHANGEABLE LAYERS, h_l = a. Sharing beats the equal start at one rate iff the peak eta exceeds
eta* = 2 a v / (a^2 v + sigma^2) (`theory.models.quadratic.critical_step` with bias (L - 1) v). If
the rate is TUNED, it is the mean's way that keeps it up: with linear decay and small steps, c =
eta a N, the equal start's loss is proportional to

    (m^2 + v) e^(-c) + sigma^2 / (a^2 N) c^2 J(c),     J(c) = int_0^1 u^2 e^(-c u^2) du,

whose best c grows like log N only, so eta falls like 1 / N and passes eta* at

    N_0 = c / (a eta*) = (c / 2) (1 + N*),     N* = sigma^2 / (a^2 v)          (`noise_horizon`)

(N* = (L - 1) sigma^2 / (a^2 |delta|^2) with |delta|^2 = (L - 1) v). The tuned gain shrinks with the
budget and ends about N_0. It is heuristic: below N_0 sharing gains, proved (the equal start's own
best rate then exceeds eta*); above it another, larger rate might still suit sharing; the measured
end is compared in WHEN-NOISE. Without a way to go (m = 0) nothing forces the rate up.

BOTH REGIMES, different h_l, one peak for both arms: by the horizon theorem the gain is 0 up to T_c
and grows with the budget, as long as the start is what the untied run has left; once noise is, the
gain falls, to 0 where there are deviations. `crossing_budget` predicts the turn: the budget at
which, untied, what is left of the start equals what the noise has added. With tuned rates the noise
gain ends about N_0 of the exchangeable twin (all h = hbar), and a remainder stays: the tuned flow
time c / 2 grows with log N, beyond the horizon. Both heuristic; measured in WHEN-NOISE.

TUNED RATES, EXCHANGEABLE, NO NOISE, stiff differences: curvature a of the differences, c of the
mean (A > A + B), kappa = a / c. Linear decay of one peak eta per arm, N -> infinity: a mode of
curvature h falls by e^(-r(eta h)) an update, on average over the run, with

    r(y) = -int_0^1 log|1 - y u| du = 1 + ((1 - y) / y) log|1 - y|                (`decay_rate`),

for almost every eta (a factor may vanish at special ones). r(1) = r(2) = 1, above 1 between, 0 at
4.59: under decay a run survives peaks beyond 2 / h, it first grows and then shrinks. Differences
that are tied while eta_t a > 2 only shrink: their rate is 2 / y for y = eta a > 2, and r(y) below
(tie until tau / N = 1 - 2 / y). THEOREM: the better of the two modes' rates at the best eta,
max min, IS LARGER WITH SHARING IFF a > 2 c (`stiff_rates`). Proof. kappa > 2: at y = 2 the mean
has r(2 / kappa) < 1, so untied the best y exceeds 2, where the differences' falling r(y) meets the
mean's rising r(y / kappa); there 2 / y > r(y), so a larger y is better with sharing. 1 <= kappa <=
2: y = 2 gives both at least 1 untied, and y > 2 gives sharing 2 / y < 1. kappa < 1: at y > 2 the
mean's r(y / kappa) < r(2 / kappa), which y = 2 has without sharing. As kappa grows: 1 / sqrt(kappa)
with sharing, 2.30 / kappa without. At ONE rate for both arms, eta h <= 2, sharing never gains here.

All ours. Setting: Yang et al., arXiv 2110.03848, section 3.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar

from theory.models.quadratic import accumulated_noise, contraction, linear_steps
from theory.numerics.domain import Array, as_finite

LARGEST_PEAK = 8.0
"""Peaks tried, in units of 1 / max h: under decay a run recovers from those beyond 2."""


def losses(
    curvatures: ArrayLike, steps: ArrayLike, common: float, deviation: float, noise: float
) -> Array:
    """E F at N of "tied for tau updates", tau = 0..N, (N + 1,). m^2 `common`, v, sigma^2.

    inf where a run overflows. ValueError unless h (L,) > 0, steps > 0 and the rest >= 0.
    """
    h, eta = _checked(curvatures, steps, common, deviation, noise)
    with np.errstate(over="ignore", invalid="ignore"):
        found = _losses(h, eta, common, deviation, noise)
    return np.where(np.isnan(found), np.inf, found)


def _losses(h: Array, eta: Array, common: float, deviation: float, noise: float) -> Array:
    L = h.size
    power = np.cumprod((1.0 - eta[:, None] * h)[::-1], axis=0)[::-1] ** 2
    power = np.concatenate([power, np.ones((1, L))])
    terms = (eta[:, None] ** 2) * power[1:]
    added = np.concatenate([np.cumsum(terms[::-1], axis=0)[::-1], np.zeros((1, L))])
    # The common value is way * m + sum_l pull_l delta_l + a noise of variance `spread`.
    way, pull, spread = np.float64(1.0), np.zeros(L), np.float64(0.0)
    found = np.empty(eta.size + 1)
    for tau in range(eta.size + 1):
        square = way**2 * common + deviation * (pull @ pull - 2.0 * pull + 1.0) + spread
        found[tau] = 0.5 * np.sum(h * (power[tau] * square + noise * added[tau]))
        if tau < eta.size:
            kept = 1.0 - eta[tau] * float(np.mean(h))
            way, pull = kept * way, kept * pull + eta[tau] * h / L
            spread = kept**2 * spread + eta[tau] ** 2 * noise / L
    return found


def tuned(
    curvatures: ArrayLike,
    updates: int,
    common: float,
    deviation: float,
    noise: float,
    peaks: int = 60,
) -> dict[str, float]:
    """Each arm at its own best peak of linear decay: equal start, and SWE at its own best tau.

    "gain" is log10 of the quotient of losses, >= 0; "peak" and "swe_peak" eta; "tau" in [0, 1].
    The same `peaks` peaks are tried for both, from 1e-4 to `LARGEST_PEAK` over max h.
    """
    h = as_finite("curvatures", curvatures)
    best: list[tuple[float, float, int]] = [(np.inf, 0.0, 0), (np.inf, 0.0, 0)]
    for peak in np.geomspace(1e-4, LARGEST_PEAK, peaks) / np.max(h):
        found = losses(h, linear_steps(float(peak), updates), common, deviation, noise)
        tau = int(np.argmin(found))
        best[0] = min(best[0], (float(found[0]), float(peak), 0))
        best[1] = min(best[1], (float(found[tau]), float(peak), tau))
    return {
        "loss": best[0][0],
        "swe_loss": best[1][0],
        "gain": float(np.log10(best[0][0] / best[1][0])),
        "peak": best[0][1],
        "swe_peak": best[1][1],
        "tau": best[1][2] / updates,
    }


def noise_scale(own: float, deviation: float, noise: float) -> float:
    """N* = sigma^2 / (a^2 v), in updates; inf for v = 0. ValueError unless own > 0, rest >= 0."""
    _checked([own], [1.0], 0.0, deviation, noise)
    return noise / (own**2 * deviation) if deviation > 0.0 else float("inf")


def tuned_time(own: float, updates: float, common: float, deviation: float, noise: float) -> float:
    """c = eta a N of the equal start's best peak, small steps: by the minimum above.

    inf without noise (no small step is too many). ValueError as above, or for common = v = 0.
    """
    _checked([own], [1.0], common, deviation, noise)
    if common + deviation == 0.0:
        raise ValueError("common or deviation must be > 0: no rate is best for a run at its end")
    if noise == 0.0:
        return float("inf")

    def loss(c: float) -> float:
        spread = quad(lambda u: u**2 * np.exp(-c * u**2), 0.0, 1.0)[0]
        start = (common + deviation) * np.exp(-c)
        return float(start + noise / (own**2 * updates) * c**2 * spread)

    return float(minimize_scalar(loss, bounds=(1e-3, 60.0), method="bounded").x)


def noise_horizon(own: float, common: float, deviation: float, noise: float) -> float:
    """N_0, in updates: where the tuned gain of exchangeable layers ends; inf for v = 0."""
    scale = noise_scale(own, deviation, noise)
    if scale == np.inf:
        return scale

    def excess(log_updates: float) -> float:
        updates = float(np.exp(log_updates))
        c = tuned_time(own, updates, common, deviation, noise)
        return log_updates - float(np.log(0.5 * c * (1.0 + scale)))

    # c lies in (1e-3, 60), so the root is within these.
    low, high = (float(np.log(0.5 * c * (1.0 + scale))) for c in (1e-3, 60.0))
    return float(np.exp(brentq(excess, low, high, xtol=1e-6)))


def crossing_budget(
    curvatures: ArrayLike, peak: float, common: float, deviation: float, noise: float
) -> int:
    """The first N at which the untied run, linear decay from `peak`, has as much noise as start.

    ValueError without noise or without a way: then nothing is crossed; or for peak * max h >= 2.
    """
    h = as_finite("curvatures", curvatures)
    if not (noise > 0.0 and common + deviation > 0.0):
        raise ValueError("noise and common or deviation must be > 0: else nothing is crossed")
    if not 0.0 < peak * float(np.max(h)) < 2.0:
        raise ValueError("peak must be in (0, 2 / max h)")

    def noisy(updates: int) -> bool:
        left = contraction(h, linear_steps(peak, updates))[0] ** 2
        added = accumulated_noise(h, linear_steps(peak, updates))[0]
        return bool(np.sum(h * (noise * added - (common + deviation) * left)) >= 0.0)

    high = 1
    while not noisy(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if noisy(middle) else (middle, high)
    return high


def decay_rate(y: ArrayLike) -> Array:
    """r(y), y = peak times curvature > 0: log of a mode's shrinkage an update, linear decay."""
    value = as_finite("y", y)
    if np.any(value <= 0.0):
        raise ValueError("y must be > 0")
    off = np.where(value == 1.0, 1.0, np.abs(1.0 - value))
    return np.asarray(1.0 + (1.0 - value) / value * np.log(off))


def tied_rate(y: ArrayLike) -> Array:
    """Rate of differences that are tied while eta_t a > 2: 2 / y for y > 2, else r(y)."""
    value = as_finite("y", y)
    return np.asarray(np.where(value > 2.0, 2.0 / value, decay_rate(value)))


def stiff_rates(ratio: float) -> tuple[float, float]:
    """The worse mode's rate at the best peak, (equal start, SWE); a / c = `ratio` > 0.

    The second is larger iff ratio > 2, else they are equal (up to the grid's 1e-5).
    """
    if not 0.0 < ratio < np.inf:
        raise ValueError("ratio must be > 0 and finite")
    y = np.geomspace(1e-3, 10.0 * max(1.0, ratio), 400_001)
    mean = decay_rate(y / ratio)
    return (
        float(np.max(np.minimum(decay_rate(y), mean))),
        float(np.max(np.minimum(tied_rate(y), mean))),
    )


def _checked(
    curvatures: ArrayLike, steps: ArrayLike, common: float, deviation: float, noise: float
) -> tuple[Array, Array]:
    h = np.atleast_1d(as_finite("curvatures", curvatures))
    eta = np.atleast_1d(as_finite("steps", steps))
    if h.ndim != 1 or eta.ndim != 1 or np.any(h <= 0.0) or np.any(eta <= 0.0):
        raise ValueError("curvatures (L,) and steps (N,) must be > 0")
    if not all(0.0 <= value < np.inf for value in (common, deviation, noise)):
        raise ValueError("common, deviation and noise must be >= 0 and finite")
    return h, eta
