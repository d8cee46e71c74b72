r"""The staircase: skills that must be learnt one after the other, in gradient flow.

K skills, P_k = w_1^2 ... w_k^2, and the loss F = (1/2K) sum_k (1 - P_k)^2: skill k cannot be learnt
before those below it. L >= K layers; the L - K last ones serve no skill, have no gradient and
matter only in the mean. All start at w_0, A = log(1 / w_0^2). Untied w_l' = -dF/dw_l; tied layers
move with the mean of the L gradients. One unit of time is one unit of step size times steps. For
q_l = w_l^2 and S_l = sum_(k >= l) P_k (1 - P_k),

    untied  q_l' = (4/K) S_l,       tied  q' = (4/(L K)) G(q),  G(x) = sum_k k x^k (1 - x^k).

TIED is one quadrature, T(q) = (L K/4) int_(q_0)^q dx / G(x), and as w_0 -> 0

    T = (L K/4) (A + C(q) +- O(w_0^2)),  C(q) = log q + int_0^q (1/G(x) - 1/x) dx.

The mean dilutes the first skill by L, but all hops then come together, within O(L K).

UNTIED: hop k (P_k = 1/2) comes at (K/4) (k A + c_k + o(1)), c_k free of w_0. From any small start
k A is the sum of log(1 / q_l(0)) over l <= k (q_l(0) / q_m(0) bounded both ways).
Proof, in s = 4t/K. (i) Bounded: F falls, so P_k <= 1 + sqrt(K F(0) 2); q_(l+1) - q_l grows only
while P_l > 1, where q_(l+1) = P_(l+1) / P_l is below that bound B, so q_l <= max q(0) + l B. (ii)
The n lowest layers alone (the rest 0) tend to (1, .., 1) from any q > 0: F is analytic, so a
bounded flow ends in one critical point (Lojasiewicz); S_l = 0 for all l gives P_k in {0, 1}; near
a point whose first zero is q_l all P_k, k >= l, are small, so S_l > 0 drives away from it. At
(1, .., 1) the linear part is -M, M_lm = n + 1 - max(l, m), with least eigenvalue
lambda_n = 1 / (4 cos^2(pi / (2n + 1))) > 1/4 (the inverse of M is tridiagonal). On a compact
set the time to a neighbourhood is bounded. (iii) Induction: at hop n let q_1..q_n lie in a compact
set free of n and w_0 and q_m / q_0 be bounded both ways above n. As (log q_m)' = P_(m-1) (1 - P_m +
q_(m+1) (1 - P_(m+1)) + ..), while P_(n+1) is small the lowest n relax, |q_l - 1| = O(e^(-s/4) +
P_(n+1)), so log q_(n+1) gains s - s_n + O(1), and is O(1) after A + O(1); a bounded time brings
hop n + 1. Layers above gain int P_(n+1) = O(1). (iv) Between hops the orbit shadows the one that
leaves (1, .., 1, 0) along its unstable direction; with P_n ~ a_n e^(s - s_n) before and
int P_n ds - (s - s_n) -> b_n after, c_n = c_(n-1) + log a_n - b_(n-1), c_1 = 0 (a logistic). What
relaxed for a time A differs from (1, .., 1) by w_0^(2 lambda_n): the error, up to logarithms, is
O(w_0^(2 lambda_(K-1))), never worse than sqrt(w_0).

NO FACTOR L. So the time to a share e of the first loss, untied over tied, tends to (K/L) n / K =
n / L as w_0 -> 0, with n = ceil(K (1 - e)) the hops that it takes (K (1 - e) not an integer): 1
for small e and L = K, below 1 above; layers without a skill make sharing slower by L/K.
What is left, L = K, is the time (K/4) (c_K - K C(2^(-1/K))), which does not grow with A. Nor does
the ratio with K: G(x) -> x (1 + x + x^2) / (1 - x^2)^2, so C(2^(-1/K)) -> -1/2 - (3/2) log 3 +
pi / (2 sqrt 3) = -1.241, while c_K / K -> -0.306 (computed): in deep stacks the last hop's ratio is
(A - 0.306) / (A - 1.241).

AT THE END, w_0 fixed, e -> 0: tied the loss falls like exp(-2 r s), r = (K + 1)(2K + 1) K / (6 L),
untied at lambda_K: the ratio tends to r / lambda_K, since the optimum is a tied point.

Setting and derivations are ours; the mean rule is that of Yang et al., arXiv 2110.03848.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import OdeSolution, solve_ivp
from scipy.optimize import brentq
from scipy.special import expit, logit

from theory.numerics.domain import Array, as_finite
from theory.numerics.quadrature import panel_integral

RTOL, ATOL = 1e-9, 1e-11
"""Of the untied integrator, in log q: times agree with DOP853 at 1e-12 to about 1e-7."""


TRIALS = (-600.0, 6.0)
"""log q is held in here: the integrator tries far states, where exp overflows, and rejects them."""


def products(weights: ArrayLike) -> Array:
    """P_k = w_1^2 .. w_k^2 along the last axis. ValueError unless finite."""
    return np.asarray(np.cumprod(as_finite("weights", weights) ** 2, axis=-1))


def loss(weights: ArrayLike) -> Array:
    """(1/2K) sum_k (1 - P_k)^2 of weights (..., K); (...)."""
    return np.asarray(0.5 * np.mean((1.0 - products(weights)) ** 2, axis=-1))


def gradient(weights: ArrayLike) -> Array:
    """dF/dw_l = -(2 / (K w_l)) S_l, written without the quotient; (..., K) to the same shape."""
    w = as_finite("weights", weights)
    p = products(w)
    below = np.concatenate([np.ones_like(p[..., :1]), p[..., :-1]], axis=-1)
    pull = np.empty_like(p)  # S_l / P_l, from the last layer down
    ahead = np.zeros_like(p[..., 0])
    for layer in range(w.shape[-1] - 1, -1, -1):
        ahead = (1.0 - p[..., layer]) + ahead
        pull[..., layer] = ahead
        ahead = w[..., layer] ** 2 * ahead
    return -2.0 * w * below * pull / w.shape[-1]


def tied_loss(square: ArrayLike, skills: int) -> Array:
    """F where all w_l^2 = `square`, elementwise."""
    q = as_finite("square", square)
    powers = np.log(q)[..., None] * np.arange(1, skills + 1)
    return np.asarray(0.5 * np.mean(np.expm1(powers) ** 2, axis=-1))


def drive(square: ArrayLike, skills: int) -> Array:
    """G(x) = sum_k k x^k (1 - x^k), elementwise, exact next to x = 1 as far as x is."""
    k = np.arange(1, skills + 1)
    powers = np.log(as_finite("square", square))[..., None] * k
    return np.asarray(-np.sum(k * np.exp(powers) * np.expm1(powers), axis=-1))


def tied_span(low: ArrayLike, high: ArrayLike, skills: int) -> Array:
    """int_low^high dx / G(x) by panels in y = logit x, where x (1 - x) / G is smooth and bounded.

    0 < low, high < 1, shapes broadcast to one axis at most. Against multiprecision 1e-12 relative,
    K = 1 to 64. ValueError outside (0, 1).
    """
    a, b = np.broadcast_arrays(as_finite("low", low), as_finite("high", high))
    if np.any((a <= 0.0) | (a >= 1.0) | (b <= 0.0) | (b >= 1.0)):
        raise ValueError("squares must lie in (0, 1)")
    k = np.arange(1, skills + 1)

    def integrand(y: Array) -> Array:
        powers = -np.logaddexp(0.0, -y)[..., None] * k  # log x^k
        terms = np.exp(powers - powers[..., :1]) * -np.expm1(powers) * k
        return np.asarray(expit(-y) / np.sum(terms, axis=-1))

    y0, y1 = logit(a).reshape(-1), logit(b).reshape(-1)
    return panel_integral(integrand, y0, y1 - y0, 0.5).reshape(a.shape)


def tied_constant(square: float, skills: int) -> float:
    """C(q): T(q) = (L K/4) (A + C(q)) as w_0 -> 0, with an error of w_0^2 relative to 1.

    Taken at a start so small that the error is 1e-15.
    """
    tiny = 1e-15
    return float(tied_span(tiny, square, skills)) + float(np.log(tiny))


def relaxation(skills: int) -> float:
    """lambda_n: the least rate, per unit of 4t/K, at which n learnt skills settle untied."""
    return float(0.25 / np.cos(np.pi / (2 * skills + 1)) ** 2)


def limiting_ratio(skills: int, share: float, depth: int = 0) -> float:
    """Limit of the time to `share` of the first loss, untied over tied, as w_0 -> 0: n / L.

    n = ceil(K (1 - share)). `depth` 0 means K. Where K (1 - share) is an integer the limit is
    another one (the loss waits on that very stair): ValueError.
    """
    hops = skills * (1.0 - share)
    if abs(hops - round(hops)) < 1e-12:
        raise ValueError(f"share {share}: the loss rests there; take another one than n / K")
    return float(np.ceil(hops)) / (depth or skills)


@cache
def hop_constants(skills: int) -> tuple[float, ...]:
    """c_1..c_K of the untied hops, each from the orbit that leaves (1, .., 1, 0).

    Started at a distance of 1e-7 along the unstable direction v, (I + M) v = (1, .., 1):
    relative error 1e-7 there, 1e-8 by the integrator.
    """
    near, found, before = 1e-7, [0.0], 0.0
    for n in range(2, skills + 1):
        index = np.arange(1, n)
        settle = n - np.maximum.outer(index, index)  # M of the n - 1 lowest
        lean = np.linalg.solve(np.eye(n - 1) + settle, np.ones(n - 1))
        start = np.append(np.log1p(near * lean), np.log(near))
        path = log_squares(np.append(start, 0.0), 40.0 + 45.0 / relaxation(n), 1e-11, count=n)
        half = float(brentq(lambda s, p=path: float(np.sum(p(s)[:-1])) - np.log(0.5), 0.0, 40.0))
        found.append(found[-1] + np.log(near) + half - before)
        end = float(path.t_max)
        before = near + float(path(end)[-1]) - (end - half)
    return tuple(found)


def untied_hop(starts: ArrayLike, hop: int) -> float:
    """First order of hop `hop`'s time, untied: (K/4) (sum_(l <= k) log(1 / w_l(0)^2) + c_k).

    `starts`: (K,), small and of one order of magnitude; not zero. ValueError for a bad one.
    """
    w = as_finite("starts", starts)
    if np.any(w == 0.0) or not 1 <= hop <= w.size:
        raise ValueError("starts must not be 0, hop must lie in 1..K")
    return float(
        w.size / 4 * (-2 * np.sum(np.log(np.abs(w[:hop]))) + hop_constants(w.size)[hop - 1])
    )


def _log_rates(state: Array, count: int) -> Array:
    """d log q_l / ds = S_l / q_l of (count,) layers."""
    p = np.exp(np.cumsum(state[:count]))
    return np.asarray(np.cumsum((p * (1.0 - p))[::-1])[::-1] * np.exp(-state[:count]))


def log_squares(start: Array, end: float, rtol: float = RTOL, *, count: int) -> OdeSolution:
    """log q over s in [0, end], LSODA with its Jacobian; an entry beyond `count` sums int P_count.

    RuntimeError if the integrator gives up.
    """
    places = np.arange(count)
    larger = np.maximum.outer(places, places)
    whole = start.size > count

    def field(_: float, u: Array) -> Array:
        u = np.clip(u, *TRIALS)
        rates = _log_rates(u, count)
        return np.append(rates, np.exp(np.sum(u[:count]))) if whole else rates

    def jacobian(_: float, u: Array) -> Array:
        u = np.clip(u, *TRIALS)
        p = np.exp(np.cumsum(u[:count]))
        tail = np.cumsum((p * (1.0 - 2.0 * p))[::-1])[::-1]
        out = np.zeros((u.size, u.size))
        out[:count, :count] = tail[larger] * np.exp(-u[:count])[:, None]
        out[places, places] -= _log_rates(u, count)
        out[count:, :count] = p[-1]
        return out

    result = solve_ivp(
        field,
        (0.0, end),
        start,
        method="LSODA",
        jac=jacobian,
        rtol=rtol,
        atol=min(ATOL, rtol),
        max_step=5.0,  # of e-folds: a rise after long rest is not jumped over
        dense_output=True,
    )
    if not result.success or result.sol is None or not np.all(np.isfinite(result.y)):
        raise RuntimeError(f"integrator stopped: {result.message}")
    return result.sol
