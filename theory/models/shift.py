r"""What a skill that comes later costs at the end: the baseline's loss of a run so much shorter.

In `theory.models.draws` s' = 4 g(s) s in the CLOCK c, the sum of rates: one orbit, whatever is
drawn, copied or tied, run through at one speed. Runs that reach some level of s at c_0 and c_0 +
Delta are one curve, shifted, so that at any budget C of the clock

    loss(C) = Phi(C - Delta),    gap = Phi(C - Delta) - Phi(C),    Phi the baseline's,

and the arm is level with the baseline of C at C + Delta. Noise that is made while s << 1 is a part
of the start (`noisy_draws`). What follows:

* Sharing costs UPDATES, Delta, not a share of them: no budget turns the sign, and at C it is
  Delta / C of the compute. Where Phi = E + a C^-b the gap is (Phi(C) - E) ((1 - Delta / C)^-b - 1),
  about b (Phi(C) - E) Delta / C (`power_gap`): it falls like C^-(1 + b).
* `draws`, `noisy_draws` and `grown_draws` bound Delta in e-folds of the gain, so the gap is
  foretold by the baseline's runs alone: one tells the length of an e-fold, shorter and longer
  ones, each with a decay of its own, tell Phi (`told`).
* An arm that ends with fewer weights than the baseline leaves this curve: what is above Phi(C -
  Delta) is what the weights were worth.

SKILLS IN A ROW, s_k' = 4 (1 - s_k) s_{k-1} s_k with s_0 = 1, s_k learnt only where s_{k-1} is:
while a skill waits its own start waits, and as starts go to 0 the k-th is learnt at

    c_k = sum_{i <= k} log(1 / s_i(0)) / 4,                                       (`learnt_at`)

so copies without noise lose a draw at EVERY skill, k times the mean delay by the k-th, and a shift
by the first skill's is what they lose at least. Noise while a skill waits makes them forget it.

Not covered: noise once s is not small, and so what a rate's decay does beside counting less; parts
of the loss learnt in the plateau beside the skill. Ours.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.interpolate import PchipInterpolator

from theory.numerics.domain import Array, as_finite


def told(clocks: ArrayLike, losses: ArrayLike, at: ArrayLike) -> Array:
    """Phi at `at`, from final `losses` (n,) of the baseline at budgets `clocks` (n,): a monotone
    piecewise cubic in the logarithm of the clock; NaN outside of the budgets.

    ValueError unless clocks are positive and ascending, two or more.
    """
    x, y = as_finite("clocks", clocks), as_finite("losses", losses)
    if x.ndim != 1 or len(x) < 2 or not np.all(np.diff(x) > 0.0) or x[0] <= 0.0:
        raise ValueError("clocks must be two or more, positive and ascending")
    if y.shape != x.shape:
        raise ValueError("losses must be one for each of the clocks")
    to = as_finite("at", at)
    if np.any(to <= 0.0):
        raise ValueError("at must be > 0")
    return np.asarray(PchipInterpolator(np.log(x), y, extrapolate=False)(np.log(to)))


def power_gap(excess: ArrayLike, power: ArrayLike, share: ArrayLike) -> Array:
    """Gap where Phi(C) - E = `excess` ~ C^-power, by `share` = Delta / C of the clock.

    ValueError unless excess and power are >= 0 and share < 1.
    """
    e, b, x = as_finite("excess", excess), as_finite("power", power), as_finite("share", share)
    if np.any(e < 0.0) or np.any(b < 0.0):
        raise ValueError("excess and power must be >= 0")
    if np.any(x >= 1.0):
        raise ValueError("share must be < 1")
    return np.asarray(e * np.expm1(-b * np.log1p(-x)))


def learnt_at(starts: ArrayLike) -> Array:
    """Clock at which each of the skills in a row is learnt, from `starts` (.., K) of small s_k(0),
    up to what is bounded as they go to 0. ValueError unless all are in (0, 1)."""
    s = np.asarray(starts, dtype=np.float64)
    if s.ndim < 1 or not np.all((s > 0.0) & (s < 1.0)):
        raise ValueError("starts must be in (0, 1)")
    return np.asarray(np.cumsum(-np.log(s) / 4.0, -1))


def in_a_row(starts: ArrayLike, clocks: ArrayLike) -> Array:
    """s_k (K, n) of skills in a row at ascending `clocks` (n,), by an integrator of their log odds.

    ValueError unless starts (K,) are in (0, 1).
    """
    first, at = np.asarray(starts, dtype=np.float64), as_finite("clocks", clocks)
    if first.ndim != 1 or not np.all((first > 0.0) & (first < 1.0)):
        raise ValueError("starts must be in (0, 1)")

    def velocity(_: float, odds: Array) -> Array:
        before = 1.0 / (1.0 + np.exp(-odds[:-1]))
        return 4.0 * np.concatenate([[1.0], before])

    odds = np.log(first) - np.log1p(-first)
    found = solve_ivp(velocity, (0.0, float(at[-1])), odds, "LSODA", at, rtol=1e-9, atol=1e-9)
    return np.asarray(1.0 / (1.0 + np.exp(-found.y)))


def descend(weights: ArrayLike, rates: ArrayLike, tied: int = 0, until: int = 0) -> Array:
    """s after 0, 1, .. updates of gradient descent at `rates` (T,), F = (1 - s)^2 / 2, from layers'
    weights (L, d); in the first `until` updates the layers l mod `tied` move by their mean.

    ValueError unless tied divides L where until > 0.
    """
    w = np.array(weights, dtype=np.float64)
    if until and (tied < 1 or len(w) % tied):
        raise ValueError("tied must divide the layers")
    found = [float((w**2).sum())]
    for update, rate in enumerate(as_finite("rates", rates)):
        move = 2.0 * (1.0 - found[-1]) * w
        if update < until:
            by_group = move.reshape(len(w) // tied, tied, -1)
            move = np.broadcast_to(by_group.mean(0), by_group.shape).reshape(w.shape)
        w = w + rate * move
        found.append(float((w**2).sum()))
    return np.asarray(found)
