r"""The time of share-then-unshare, bounded before the run, on targets that sharing cannot reach.

**Theorem (SWE time).** Target Phi = (W_1^L + Delta) (+) P in blocks, P positive definite (m, m)
with eigenvalues phi, Delta any matrix of Frobenius norm delta, tied start W_1 (+) I with singular
values of W_1 in [c_1, K_1]. Share until tau, then unshare. With gap the s - phi of Theorem 2's
flow,

    R(tau) <= R_tau := delta^2 / 2 + sum_i gap(tau, phi_i)^2 / 2,
    c = min(c_1 - delta sqrt(tau / (2 L)), min(1, phi_min)^(1/L)),
    K = max(K_1 + delta sqrt(tau / (2 L)), max(1, phi_max)^(1/L)),

and if R_tau, c, K meet the condition of `theory.theorems.common_component.certificate` with rate
mu, then R(T) <= eps R(0) for T = tau + max(0, log(R_tau / (eps R(0)))) / mu.

Proof. Both flows keep the blocks apart. The second block is Theorem 2's flow, solved exactly, and
its layer's eigenvalues stay between 1 and phi^(1/L). In the first R_1 starts at delta^2 / 2 and
never rises; there W' = -(1/L) sum_l g_l and R_1' = <sum_l g_l, W'> = -L ||W'||_F^2, hence, by
Cauchy-Schwarz, ||W(tau) - W_1||_F <= int ||W'|| dt <= sqrt(tau int ||W'||^2 dt)
<= sqrt(tau delta^2 / (2 L)), and singular values move by no more. The rest is stage two's theorem,
whose bound is monotone in c, K and R_tau. []

With delta < 1 / (e sqrt L) or so and phi of order one this is tau ~ log(1 / delta) / L and
(1 / L) log(1 / eps) for the second stage: the factor L of sharing is kept to the end, on targets
such as W_1^L = -I, Delta = diag(-g, g), which no tied network of even depth represents. What it
does not say: that sharing was needed. Not sharing from the same tied start is as quick there
(`theory.studies.beyond_sharing`), and the start carries the half turn, which ZAS must learn.

Reference: Yang et al., arXiv 2110.03848, Algorithm 1 and Theorem 2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import shared_flow
from theory.numerics.domain import Array, as_depth, as_finite
from theory.theorems.common_component import Certificate, certificate


class SweTime(NamedTuple):
    """When to unshare, the guaranteed time to eps R(0), and stage two's certificate."""

    tau: float
    time: float
    stage_two: Certificate


def bound(
    phi: ArrayLike, delta: float, least: float, largest: float, depth: int, eps: float
) -> SweTime:
    """The theorem's T at the best tau of a grid; all NaN where no tau is certified.

    `phi` (m,): eigenvalues of P, > 0, m >= 1; `delta` = ||Delta||_F > 0; `least` <= `largest`:
    singular values of W_1; `depth` = L; 0 < eps < 1. R(0) = delta^2 / 2 + sum (1 - phi)^2 / 2. Time
    in units of the flow. ValueError naming the argument outside this domain.
    """
    values = np.atleast_1d(as_finite("phi", phi))
    L = int(as_depth(depth))
    if not np.all(values > 0.0):
        raise ValueError("phi must be > 0")
    if not 0.0 < delta < np.inf:
        raise ValueError("delta must be > 0 and finite")
    if not 0.0 < least <= largest < np.inf:
        raise ValueError("least must lie in (0, largest], largest finite")
    if not 0.0 < eps < 1.0:
        raise ValueError("eps must lie in (0, 1)")
    slowest = L * min(1.0, float(values.min())) ** (2.0 - 2.0 / L)
    taus = np.linspace(0.0, 20.0, 161) / slowest  # e^-20 of the gap is left at the end
    lost = 0.5 * delta**2 + 0.5 * np.sum(
        np.asarray(shared_flow.gap(taus[:, None], values, L)) ** 2, axis=1
    )
    goal = eps * float(lost[0])
    best = SweTime(np.nan, np.nan, Certificate(np.nan, np.nan))
    for tau, loss in zip(taus, lost, strict=True):
        moved = delta * float(tau / (2.0 * L)) ** 0.5
        low = min(least - moved, min(1.0, float(values.min())) ** (1.0 / L))
        high = max(largest + moved, max(1.0, float(values.max())) ** (1.0 / L))
        if low <= 0.0:
            break
        mark = certificate(low, high, float(loss), L)
        if mark.holds:
            time = float(tau) + max(0.0, float(np.log(loss / goal))) / mark.rate
            if not time >= best.time:
                best = SweTime(float(tau), time, mark)
    return best


def problem(phi: ArrayLike, delta: ArrayLike, depth: int) -> tuple[Array, Array]:
    """Target (d, d) and tied start (L, d, d) with W_1 the turn by pi / L, so W_1^L = -I.

    `delta`: the matrix Delta (2, 2). ValueError for bad shapes.
    """
    values, offset = np.atleast_1d(as_finite("phi", phi)), as_finite("delta", delta)
    if offset.shape != (2, 2):
        raise ValueError("delta must have shape (2, 2)")
    L = int(as_depth(depth))
    d = 2 + values.size
    target, layer = np.zeros((d, d)), np.eye(d)
    target[:2, :2] = -np.eye(2) + offset
    target[2:, 2:] = np.diag(values)
    cos, sin = np.cos(np.pi / L), np.sin(np.pi / L)
    layer[:2, :2] = [[cos, -sin], [sin, cos]]
    return target, np.tile(layer, (L, 1, 1))
