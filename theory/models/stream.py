r"""The stream of a Pre-LN stack at its start: copies add up, drawn layers do not.

h_0 = e of unit mean square, h_{l+1} = h_l + f_l(h_l / R_l), R_l^2 the mean square of h_l, and the
head reads h_L / R_L. At the start every f_l is random, of mean square v on inputs of unit mean
square: Devlin et al.'s branches, before anything is learnt. Drawn layers are independent, so

    R_l^2 = 1 + l v.                                                               (`drawn`)

COPIES are one map. For a random linear one, W, of a wide stack the vectors e, W e, W^2 e, .. are
orthogonal, of mean squares v^k, so that with h_l = sum_k c_l(k) v^{-k/2} W^k e

    c_{l+1}(k) = c_l(k) + sqrt(v) c_l(k - 1) / R_l,    R_l^2 = sum_k c_l(k)^2,     (`copied`)

between 1 + l v and (1 + l sqrt v)^2: an equal start, or all layers tied, begins with a far larger
stream, and the deeper the more so.

WHAT IT COSTS. Of a skill that every layer can learn layer l reads 1 / R_l from its input, and the
head 1 / R_L of what the layer adds: s = sum_l p_l / (R_l R_L). Where noise decides how long steps
are (Adam's: signal and noise pass the same 1 / R) the overlaps p_l grow as fast in both stacks, and
as in `draws` log s(0) alone counts. With the REACH, the mean of 1 / R_l over the layers' inputs
over R_L, copies leave

    later by log(reach of the drawn / reach of the copies) e-folds                 (`later`)

besides what one draw loses (`draws.delay`): between once and twice log(R_L / R_L'). In gradient
descent an e-fold lasts longer as well. Scaled branches have a^2 v for v; at a = 1 / L copies begin
with (1 + sqrt v)^2 at most, at any depth. Ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_depth, as_finite


def drawn(layers: int, variance: float) -> Array:
    """R_l^2 (L + 1,) of `layers` independent branches of mean square `variance`.

    ValueError unless variance >= 0."""
    L, v = _checked(layers, variance)
    return np.asarray(1.0 + v * np.arange(L + 1))


def copied(layers: int, variance: float) -> Array:
    """The same of copies of one random linear branch, in the limit of width. ValueErrors too."""
    L, v = _checked(layers, variance)
    parts, squares = np.zeros(L + 1), np.ones(L + 1)
    parts[0] = 1.0
    for layer in range(L):
        parts[1:] = parts[1:] + np.sqrt(v / squares[layer]) * parts[:-1]
        squares[layer + 1] = float(parts @ parts)
    return squares


def reach(squares: ArrayLike) -> Array:
    """Mean of 1 / R over the inputs, over R at the end, from R^2 (.., inputs + 1).

    ValueError for fewer than two and unless all are positive."""
    s = as_finite("squares", squares)
    if s.ndim < 1 or s.shape[-1] < 2 or not np.all(s > 0.0):
        raise ValueError("squares must be two or more in the last axis, all positive")
    r = np.sqrt(s)
    return np.asarray((1.0 / r[..., :-1]).mean(-1) / r[..., -1])


def later(squares: ArrayLike, of_drawn: ArrayLike) -> Array:
    """E-folds by which a stack with R^2 `squares` leaves after one with `of_drawn`, by its stream
    alone. ValueError as for `reach`."""
    return np.asarray(np.log(reach(of_drawn) / reach(squares)))


def _checked(layers: int, variance: float) -> tuple[int, float]:
    L, v = int(as_depth(layers)), float(as_finite("variance", variance))
    if v < 0.0:
        raise ValueError("variance must be >= 0")
    return L, v
