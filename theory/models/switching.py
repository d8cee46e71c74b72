r"""The switching function: what tying one update more does to the final loss.

L layers of k parameters, weights w (L, k), loss F(w_T) after T updates

    w_{t+1} = w_t - eta_t (I - s_t Q) g_t,     g_t = gradient at w_t,     Q v = v - mean of layers,

s_t in [0, 1] the weight of tying: 0 is SGD, 1 moves every layer by the mean gradient. By the chain
rule, with lambda_T = grad F(w_T) and H_t the Hessian of batch t at w_t (symmetric, as is Q),

    dF / ds_t = eta_t <lambda_{t+1}, Q g_t>,
    lambda_t = lambda_{t+1} - eta_t H_t (I - s_t Q) lambda_{t+1}.

This is exact, for any weights s and any loss with a second derivative: one run and one run of its
adjoint give all T derivatives (`tie_derivatives`). sigma_t (`switching`) is the entry t with
s = 1 before t and 0 from t: update t tied instead of not, its past tied, its future untied. Each t
has its own future, so all sigma cost T backward runs; F(tied until t + 1) - F(tied until t) =
sigma_t + O(eta_t^2), on a quadratic exactly sigma_t + eta_t^2 / 2 <Q g_t, M Q g_t>, M the Hessian
contracted by the later steps (`quadratic_remainder`).

Flow on F = 1/2 (w - w*)^T H (w - w*), tied from equal layers until tau, total time T: F(tau) =
1/2 e^T exp(-H s) H exp(-H s) e with s = T - tau, e = w_tau - w*, and e' = -(I - Q) g while tied, so

    dF / dtau = g^T exp(-2 H (T - tau)) g - g^T exp(-2 H (T - tau)) (I - Q) g
              = g_tau^T exp(-2 H (T - tau)) Q g_tau                        (`flow_switching`).

COMMUTATOR STATEMENT. (i) If [H, Q] = 0 (exchangeable layers) this is |exp(-H (T - tau)) Q g|^2 >=
0: in flow, without noise, tying never helps, at no tau. In steps too, while eta_t lmax(H) <= 2: e
splits into Q e and (I - Q) e, the second moves alike in both, and |exp| becomes products of
|1 - eta_t h| <= 1. (ii) If H > 0 and [H, Q] != 0, then for EVERY T > 0 there is an optimum for
which tying first helps (dF/dtau < 0 at 0). Proof: A = exp(-2 H T). g = H (w_0 - w*) takes every
value as w* does, and g^T A Q g = 1/2 g^T (A Q + Q A) g. Where Q = diag(I, 0), A = [[A1, B],
[B^T, A2]] gives A Q + Q A = [[2 A1, B], [B^T, 0]], which is >= 0 iff B = 0 (a zero on the diagonal
of a matrix >= 0 has a zero row), i.e. iff A and Q commute, i.e. iff H = -log(A) / 2T and Q do.
`helping_optimum` is the eigenvector of the least eigenvalue, carried back through H. So there is no
budget below which no optimum gains; for a COMMON optimum there is (`theory.models.horizon`).
ONE RATE FOR ALL ARMS is assumed throughout; tuned rates: `theory.models.noise_and_deviations`.

All statements are ours; setting: Yang et al., arXiv 2110.03848, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_finite, as_time

Gradient = Callable[[int, Array], Array]
"""(t, w (L, k)) to the gradient of batch t, (L, k); t = T is the final loss's own."""
HessianVector = Callable[[int, Array, Array], Array]
"""(t, w, v) to the Hessian of batch t at w times v, all (L, k)."""


@dataclass(frozen=True)
class Model:
    """A training run as the adjoint needs it; nothing else is asked of the loss."""

    gradient: Gradient
    hessian_vector: HessianVector


def apart(stacked: Array) -> Array:
    """Q v: (..., L, k) less its mean over the layers."""
    return np.asarray(stacked - stacked.mean(axis=-2, keepdims=True))


def trajectory(model: Model, start: ArrayLike, steps: ArrayLike, ties: ArrayLike) -> Array:
    """Weights w_0..w_T, (T + 1, L, k), of the run with tie weights `ties` (T,).

    `start` (L, k), `steps` eta (T,). ValueError unless eta > 0 and 0 <= s <= 1, of one length.
    """
    w = as_finite("start", start)
    if w.ndim != 2:
        raise ValueError("start must have shape (L, k)")
    eta, weights = _schedule(steps, ties)
    states = [w]
    for t, (size, tie) in enumerate(zip(eta, weights, strict=True)):
        g = model.gradient(t, states[-1])
        states.append(states[-1] - size * (g - tie * apart(g)))
    return np.array(states)


def tie_derivatives(model: Model, start: ArrayLike, steps: ArrayLike, ties: ArrayLike) -> Array:
    """dF / ds_t for every t, (T,), at the tie weights `ties`: exact. Arguments as above."""
    eta, weights = _schedule(steps, ties)
    states = trajectory(model, start, eta, weights)
    costate = model.gradient(eta.size, states[-1])
    found = np.empty(eta.size)
    for t in reversed(range(eta.size)):
        found[t] = eta[t] * np.sum(costate * apart(model.gradient(t, states[t])))
        moved = costate - weights[t] * apart(costate)
        costate = costate - eta[t] * model.hessian_vector(t, states[t], moved)
    return found


def switching(model: Model, start: ArrayLike, steps: ArrayLike) -> Array:
    """sigma_t, (T,): tying update t after a tied past, before an untied future. > 0: it hurts."""
    eta = np.atleast_1d(as_finite("steps", steps))
    return np.array(
        [tie_derivatives(model, start, eta, np.arange(eta.size) < t)[t] for t in range(eta.size)]
    )


def quadratic_remainder(hessian: ArrayLike, gradient: ArrayLike, steps: ArrayLike) -> float:
    """What sigma leaves of F(t + 1) - F(t) on a quadratic: eta_t^2 / 2 <Q g, M Q g>, >= 0.

    `hessian` (L, k, L, k), `gradient` g_t (L, k); `steps` eta_t and all later ones. M = P^T H P, P
    the product of I - eta H over the later steps.
    """
    H, n = _flat(hessian)
    eta = np.atleast_1d(as_finite("steps", steps))
    moved = apart(as_finite("gradient", gradient)).reshape(n)
    for size in eta[1:]:
        moved = moved - size * (H @ moved)
    return 0.5 * float(eta[0] ** 2 * moved @ H @ moved)


def flow_switching(hessian: ArrayLike, gradient: ArrayLike, remaining: float) -> float:
    """dF / dtau = g^T exp(-2 H s) Q g, s = T - tau `remaining`; any sign.

    `hessian` (L, k, L, k), `gradient` g_tau (L, k). ValueError for another shape or s < 0.
    """
    H, _ = _flat(hessian)
    g = as_finite("gradient", gradient)
    values, vectors = np.linalg.eigh(H)
    decay = np.exp(-2.0 * values * float(as_time(remaining)))
    return float((vectors.T @ g.reshape(-1)) @ (decay * (vectors.T @ apart(g).reshape(-1))))


def commutator(hessian: ArrayLike) -> float:
    """|[H, Q]| / |H| in the Frobenius norm, 0 for exchangeable layers; at most 1."""
    H, n = _flat(hessian)
    L = np.shape(hessian)[0]
    size = float(np.linalg.norm(H))
    HQ = apart(H.reshape(n, L, n // L)).reshape(n, n)  # H Q: Q acts on the second index
    return float(np.linalg.norm(HQ - HQ.T)) / size if size > 0.0 else 0.0


def helping_optimum(hessian: ArrayLike, time: float) -> Array:
    """An optimum (L, k) of length 1 for which tying FIRST helps, from the start 0, at budget T.

    The part (ii) of the statement: it minimises dF/dtau(0) / |g|^2. ValueError unless H > 0 and
    T > 0, and for layers that are exchangeable (commutator below 1e-12): there none exists.
    """
    H, n = _flat(hessian)
    L = np.shape(hessian)[0]
    values, vectors = np.linalg.eigh(H)
    if not (values[0] > 0.0 and 0.0 < time < np.inf):
        raise ValueError("hessian must be positive definite and time in (0, inf)")
    if commutator(hessian) < 1e-12:
        raise ValueError("hessian must not commute with Q: no optimum gains for such layers")
    # The common factor exp(-2 lmin T) changes no sign and would underflow.
    A = (vectors * np.exp(-2.0 * (values - values[0]) * time)) @ vectors.T
    AQ = apart(A.reshape(n, L, n // L)).reshape(n, n)
    g = np.linalg.eigh(AQ + AQ.T)[1][:, 0]
    optimum = -np.linalg.solve(H, g)
    return np.asarray((optimum / np.linalg.norm(optimum)).reshape(L, n // L))


def _flat(hessian: ArrayLike) -> tuple[Array, int]:
    H = as_finite("hessian", hessian)
    if H.ndim != 4 or H.shape[:2] != H.shape[2:]:
        raise ValueError("hessian must have shape (L, k, L, k)")
    n = H.shape[0] * H.shape[1]
    flat = H.reshape(n, n)
    if not np.allclose(flat, flat.T, rtol=0.0, atol=1e-12 * float(np.max(np.abs(flat)))):
        raise ValueError("hessian must be symmetric")
    return (flat + flat.T) / 2.0, n


def _schedule(steps: ArrayLike, ties: ArrayLike) -> tuple[Array, Array]:
    eta = np.atleast_1d(as_finite("steps", steps))
    weights = np.atleast_1d(as_finite("ties", ties))
    if eta.ndim != 1 or eta.shape != weights.shape or np.any(eta <= 0.0):
        raise ValueError("steps must be > 0, and ties as many")
    if np.any((weights < 0.0) | (weights > 1.0)):
        raise ValueError("ties must lie in [0, 1]")
    return eta, weights
