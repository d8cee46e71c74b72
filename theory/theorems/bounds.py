"""The paper's four theorems, each as the bound on R(t) / R(0) that it states.

Flow theorems take time t; descent theorems take a number of steps and the step size eta, one step
being eta units of time. Reference: Yang et al., arXiv 2110.03848, Theorems 1 to 4.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_depth, as_finite, as_positive_definite, as_time


def theorem1(time: ArrayLike) -> Array:
    """THM1: R(t)/R(0) <= exp(-2 t), flow without sharing from the ZAS start, any target.

    `time` >= 0 in units of the flow; same shape out. ValueError for a bad time.
    """
    return _decay(2.0, as_time(time))


def theorem2(time: ArrayLike, least: ArrayLike, depth: ArrayLike) -> Array:
    """THM2: R(t)/R(0) <= exp(-2 L min(1, lmin^2) t), shared flow from the identity, PD target.

    `least` = lmin, the least eigenvalue of the target, > 0; arguments broadcast. The theorem's
    exponent is implemented; the paper's prose says lmin for lmin^2, see `theorem2_prose`.
    ValueError naming the argument outside the domain.
    """
    return _decay(2.0 * as_depth(depth) * _floor(least, 2.0), as_time(time))


def theorem2_prose(time: ArrayLike, least: ArrayLike, depth: ArrayLike) -> Array:
    """THM2 as the prose has it: R(t)/R(0) <= exp(-2 L min(1, lmin) t).

    Stronger than the theorem when lmin < 1. Since the exact exponent is that of
    `theorem2_exact`, it holds for L <= 2 and is false for L > 2 and lmin < 1. Arguments and errors
    as for `theorem2`.
    """
    return _decay(2.0 * as_depth(depth) * _floor(least, 1.0), as_time(time))


def theorem2_exact(time: ArrayLike, least: ArrayLike, depth: ArrayLike) -> Array:
    """The best exponent for THM2's setting: R(t)/R(0) <= exp(-2 L min(1, lmin^(2 - 2/L)) t).

    Ours, not the paper's. Per eigenvalue (s - phi)' = -L s^(2-2/L) (s - phi), and s stays between 1
    and phi, so |s - phi| decays at a rate of at least L min(1, phi)^(2 - 2/L); the least phi gives
    the bound. It is attained: for lmin < 1 as t -> infinity, for lmin >= 1 at t = 0. Arguments and
    errors as for `theorem2`.
    """
    L = as_depth(depth)
    return _decay(2.0 * L * _floor(least, 2.0 - 2.0 / L), as_time(time))


def theorem3(steps: ArrayLike, eta: float) -> Array:
    """THM3: R(t)/R(0) <= (1 - eta/2)^t, gradient descent from the ZAS start, any target.

    Assumes eta at most `theory.linear.descent.zas_admissible_step`. `steps` >= 0, 0 < eta < 2.
    ValueError naming the argument outside.
    """
    if not 0.0 < eta < 2.0:
        raise ValueError("eta must lie in (0, 2)")
    return _decay(-np.log1p(-eta / 2.0), _as_steps(steps))


def theorem4(steps: ArrayLike, eta: float, least: ArrayLike, depth: ArrayLike) -> Array:
    """THM4: R(t)/R(0) <= exp(-(2L - 2) min(lmin^2, 1) eta t), shared descent, identity, PD target.

    Assumes eta at most `theory.linear.descent.shared_admissible_step`. `steps` >= 0, eta > 0;
    vacuous for L = 1. ValueError naming the argument outside.
    """
    if not 0.0 < eta < np.inf:
        raise ValueError("eta must be > 0 and finite")
    L = as_depth(depth)
    bound = _decay((2.0 * L - 2.0) * _floor(least, 2.0) * eta, _as_steps(steps))
    return np.where(L == 1.0, 1.0, bound)


def least_eigenvalue(target: ArrayLike) -> float:
    """lmin of a symmetric positive definite target (d, d); ValueError if it is not."""
    return float(as_positive_definite("target", target)[0][0])


def _decay(rate: ArrayLike, time: Array) -> Array:
    """exp(-rate time) of a rate > 0 that may have underflowed: 0 at infinite time all the same."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(np.isinf(time), 0.0, np.exp(-np.asarray(rate) * time))


def _floor(least: ArrayLike, power: ArrayLike) -> Array:
    value = as_finite("least", least)
    if not np.all(value > 0.0):
        raise ValueError("least must be > 0")
    return np.asarray(np.minimum(value, 1.0) ** np.asarray(power))


def _as_steps(steps: ArrayLike) -> Array:
    value = np.asarray(steps, dtype=np.float64)
    if not np.all(value >= 0.0):
        raise ValueError("steps must be >= 0")
    return value
