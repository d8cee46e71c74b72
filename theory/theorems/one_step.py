r"""What a rule that looks one step ahead assumes, and a run in which it is wrong.

Alignment (`theory.theorems.alignment`: a tied step descends A <= 1 times an untied one), the ratio
of descents (`theory.models.predictions.best_tau`) and SWE-A's cosines compare one tied with one
untied update at one point. Without noise such a rule says tau = 0, always. The loss at the END is
another matter. Gradient flow on a quadratic with Hessian H, Q = I minus the layers' mean, g the
stacked gradient: the untied flow from tau to T maps g to exp(-H (T - tau)) g, so

    d R(T) / d tau = g_tau^T exp(-2 H (T - tau)) Q g_tau.

**Where the rule is right.** Layers exchangeable and one rate for both arms: H Q = Q H, the slope is
|exp(-H (T - tau)) Q g|^2 >= 0, and tying longer never helps. With a rate tuned per arm it may help
there too, where tying takes the stiffest differences out of the stability limit.

**Where it is wrong.** One parameter a layer, R = (1/2) sum_l h_l x_l^2, all layers from x = 1 to
the same optimum 0. Tied, x' = -m x with m the mean of the h_l, so with s = T - tau

    R(T) = (1/2) exp(-2 m tau) sum_l h_l exp(-2 h_l s),
    d R(T) / d tau = exp(-2 m tau) sum_l h_l (h_l - m) exp(-2 h_l s).

At tau = 0 and T -> 0 that is the one-step verdict, sum_l h_l (h_l - m) > 0 unless all h_l are equal
(A = (sum h)^2 / (L sum h^2) < 1): tying hurts. But the sign is that of the mean of h under the
weights h_l exp(-2 h_l s), less m. The mean under such weights falls strictly with s (its derivative
is -2 times the variance) to min h < m, so it crosses m once, at s = T_c: TYING FIRST ENDS LOWER IFF
T > T_c, and the best tau is max(0, T - T_c). The tied layers let the stiff one pull the slow ones
along at the mean rate m; untied the slow ones are on their own. h = (64, 1 x 7): T_c = 2.11 / 64.

Setting: Yang et al., arXiv 2110.03848, section 3; derivations are ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_finite, as_time


def final_loss(curvatures: ArrayLike, time: ArrayLike, tau: ArrayLike) -> Array:
    """R(T) of flow tied until tau, then untied, on the module's quadratic; the shapes' broadcast.

    `curvatures`: h (L,), each > 0; `time`: T, and 0 <= tau <= T, in units of 1 / curvature.
    ValueError naming the argument outside.
    """
    h, rest, tied = _arguments(curvatures, time, tau)
    return np.asarray(0.5 * np.exp(-2.0 * h.mean() * tied) * (np.exp(-2.0 * rest * h) @ h))


def slope(curvatures: ArrayLike, time: ArrayLike, tau: ArrayLike = 0.0) -> Array:
    """d R(T) / d tau: above zero, tying for longer hurts. Arguments and errors as above."""
    h, rest, tied = _arguments(curvatures, time, tau)
    weights = h * (h - h.mean())
    return np.asarray(np.exp(-2.0 * h.mean() * tied) * (np.exp(-2.0 * rest * h) @ weights))


def _arguments(
    curvatures: ArrayLike, time: ArrayLike, tau: ArrayLike
) -> tuple[Array, Array, Array]:
    """h (L,), T - tau (..., 1) and tau (...)."""
    h = as_finite("curvatures", curvatures)
    if h.ndim != 1 or h.size < 1 or not np.all(h > 0.0):
        raise ValueError("curvatures must have shape (L,), L >= 1, each > 0")
    end, tied = np.broadcast_arrays(as_time(time), as_finite("tau", tau))
    if not np.all((tied >= 0.0) & (tied <= end)):
        raise ValueError("tau must lie in 0..T")
    return h, (end - tied)[..., None], tied
