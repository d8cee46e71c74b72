r"""One draw for many layers under noise, with Adam's steps: what tying gains by their length.

`theory.models.noisy_draws` with steps of one length: where noise decides the second moment, Adam
divides a gradient by the root mean square of its noise. Copies' noises correlate by c, and one
gradient of m = L / A tied copies is their mean, whose noise has the variance c + (1 - c) / m times
a copy's. So tied copies

    move  kappa = (c + (1 - c) / m)^{-1/2} >= 1  times as fast by the same noise    (`hastening`),

while they are not learnt: du = kappa lambda u dt + sqrt(D) dB. r = nu^2 / sigma^2, q = e^{-2 lambda
tau} as there; layers of different draws have independent noises. With independent chi^2 in units
of sigma^2 e^{2 lambda t}, t > tau,

    s = (m q^{1 - kappa} (1 + r (1 - q^kappa) / kappa) + r q (1 + (m - 1) c)) chi^2_{A d}
        + r q (1 - c) chi^2_{(L - A) d}                                              (`parts`).

For c = 1 tying is nothing at all: copies whose noise is one stay equal, so that SWE at any tau, the
equal start and always-shared are one run, as late as their draw. For c < 1 a tie for N e-folds of
the gain gains (kappa - 1) N of them and loses at most psi(L d / 2) - psi(A d / 2) - log(m / kappa):
it pays for a long plateau (`pays_from`). Plain descent's never does (`noisy_draws`): there averaged
noise costs, and c = 1 is best.

c is that of whole gradients where Adam divides by these, signal and all. Not covered: moments'
memory, and noise that is not isotropic. Ours.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from theory.models import draws, noisy_draws
from theory.numerics.domain import Array


def hastening(copies: float, correlation: float) -> float:
    """kappa. ValueError unless copies >= 1 and correlation in [0, 1]."""
    if not (1.0 <= copies < np.inf):
        raise ValueError("copies must be finite and >= 1")
    if not (0.0 <= correlation <= 1.0):
        raise ValueError("correlation must be in [0, 1]")
    return float((correlation + (1.0 - correlation) / copies) ** -0.5)


def parts(
    layers: int, own: int, dimension: int, noise: float, kept: float, correlation: float
) -> noisy_draws.Parts:
    """The two chi^2 of s, in units of sigma^2 e^{2 lambda t}.

    `kept`: q in (0, 1], 1 never tied; `correlation`: c in [0, 1]. ValueError for others and as
    `noisy_draws.parts`.
    """
    _, (rest, degrees) = noisy_draws.parts(layers, own, dimension, noise, kept)
    if kept == 0.0:
        raise ValueError("kept must be in (0, 1]")
    copies = layers / own
    kappa = hastening(copies, correlation)
    tied = copies * kept ** (1.0 - kappa) * (1.0 + noise * (1.0 - kept**kappa) / kappa)
    drawn = tied + noise * kept * (1.0 + (copies - 1.0) * correlation)
    return [(drawn, float(own * dimension)), (rest * (1.0 - correlation), degrees)]


def delay(
    layers: int, own: int, dimension: int, noise: float, kept: float, correlation: float
) -> float:
    """Mean delay over a baseline of independent layers, in e-folds of the gain. As `parts`.

    `kept` of always-shared is that of its own time of learning.
    """
    each = noisy_draws.expected_log([(1.0 + noise, float(layers * dimension))])
    return each - noisy_draws.expected_log(parts(layers, own, dimension, noise, kept, correlation))


def pays_from(layers: int, own: int, dimension: int, correlation: float) -> float:
    """E-folds from which a tie comes before as many independent layers, whatever the noise; inf for
    c = 1. ValueError as `hastening` and `draws.delay`, and unless own < layers."""
    if own >= layers:
        raise ValueError("own must be less than layers")
    kappa = hastening(layers / own, correlation)
    loss = float(draws.delay(layers, own, dimension)) + float(np.log(kappa))
    return loss / (kappa - 1.0) if kappa > 1.0 else float("inf")


def simulate(
    weights: ArrayLike,
    tied: Sequence[int],
    when: float,
    noise: float,
    correlation: float,
    step: float,
    learnt: float,
    seed: int,
) -> Array:
    """Times at which s = `learnt`, of Euler-Maruyama runs of F = (1 - s)^2 / 2.

    `weights` (runs, L, d); `tied[l]`: the group of layer l, whose noises correlate by
    `correlation`; until `when` its layers move with its mean gradient, over the root mean square of
    its noise; `noise`: nu^2.
    """
    rng = np.random.default_rng([seed, 97])
    u = np.array(weights, dtype=np.float64)
    groups = np.asarray(tied)
    same = (groups[:, None] == groups[None, :]).astype(np.float64)
    correlations = (1.0 - correlation) * np.eye(len(groups)) + correlation * same
    # Singular at a correlation of 1: what is added is of the order of rounding.
    root = np.linalg.cholesky(correlations + 1e-14 * np.eye(len(groups)))
    mean = same / same.sum(1)
    together = mean / np.linalg.norm(mean @ root, axis=1)[:, None]
    found, now = np.full(len(u), np.nan), 0.0
    while np.any(np.isnan(found)):
        found = np.where(np.isnan(found) & ((u**2).sum((1, 2)) >= learnt), now, found)
        maps = together if now < when else np.eye(len(groups))
        u = noisy_draws.moved(u, maps, noise, step, rng, root)
        now += step
    return found
