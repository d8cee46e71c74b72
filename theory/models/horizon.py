r"""The horizon theorem: from which budget tying pays for layers of different curvature.

H = diag(h_1..h_L), one parameter a layer, h_l >= 0; all layers start at one value and have the SAME
optimum, at distance 1 without loss of generality. Gradient flow for a time T, tied until tau.

THEOREM. While tied the layers stay equal and move with the mean curvature hbar; freed, each decays
by itself:
    F(tau) = 1/2 exp(-2 hbar tau) sum_l h_l exp(-2 h_l (T - tau)),
    d log F / d tau = 2 (M(T - tau) - hbar),
    M(s) = sum_l h_l^2 e^(-2 h_l s) / sum_l h_l e^(-2 h_l s).
M is the mean of h under weights h e^(-2 h s), so M' = -2 Var < 0 unless the positive h are equal;
M(0) = sum h^2 / sum h > hbar, and M falls to hmin, the least positive h. Hence, if hmin < hbar,
there is exactly one T_c with M(T_c) = hbar (`critical_horizon`), F falls while T - tau > T_c and
rises after: TYING FIRST HELPS IFF T > T_c, AND THE BEST tau IS max(0, T - T_c): untie when T_c is
left, whatever T. The gain grows with the budget: log F(0) - log F(best) tends to
2 (hbar - hmin) T + const. If hmin >= hbar (all equal, or the only positive ones equal) T_c is inf.

AFTER tau the layers are no longer equal; may it pay to tie again, or to untie for a while first?
(a) PROVED: "tied for max(0, T - T_c), untied after" satisfies Pontryagin's conditions among all
measurable s(t) in [0, 1], with strict signs off the switch; no small change of it helps to first
order. With e' = -(I - s Q) H e and the costate l' = H (I - s Q) l, l(T) = H e(T), the sign of
S(t) = sum_l l_l (g_l - mean g) decides (S > 0: untie). Untied part, S_0 = T - tau and r = t - tau:
S is proportional to sum h^2 e^(-2 h S_0) - (1/L) A(2 S_0 - r) A(r), A(u) = sum h e^(-h u). a = log
A is convex, so a(2 S_0 - r) + a(r) falls in r on [0, S_0] (its slope is a'(r) - a'(2 S_0 - r) <=
0): S rises from its value at tau, which is 0 if S_0 = T_c and >= 0 if tau = 0, T <= T_c. Tied
part: e is a multiple of ones, l' = h * mean(l), and d/dt (sum l h - mean(l) sum h) = mean(l)
(sum h^2 - (sum h)^2 / L) > 0, so S < 0 before the switch.
(b) CONJECTURE: it is the global best among all schedules, in flow and for steps eta_t h <= 1. The
problem is bilinear, not convex, so (a) does not imply it. Search: all 2^N tie patterns of N updates
for random h and rates (`all_schedules`): no pattern beats the best "tied, then untied".

DEVIATIONS. Optima m + delta_l, delta_l independent with mean 0 and variance `deviation` v, and
`noise` of temperature theta: gradient noise that gives each layer variance theta per unit of flow
time, independent over layers (SGD: theta = eta sigma^2; tying averages it: theta / L, in common).
By the same steps, in expectation, dF/dtau at tau = 0 has the sign of

    M(T) (m^2 + (1 - 1/L) v) - m^2 hbar - (1 - 1/L) theta / 2,                 (`first_tie_margin`)

the first term the deviations' price, the last the noise that tying averages away. So with M* =
(m^2 hbar + (1 - 1/L) theta / 2) / (m^2 + (1 - 1/L) v), TYING FIRST HELPS IFF M(T) < M*: one
threshold (`helping_horizon`), 0 if M* > M(0) (noise wins at every budget), inf if M* <= hmin
(deviations win).
Exchangeable layers: M = a, and it reads theta > 2 a v, the small-step limit of eta > eta* of
`theory.models.quadratic`. It judges the first moment of tying; the best tau is then inside.

All ours. Time is step size times steps.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_finite, as_time


def weighted_curvature(curvatures: ArrayLike, time: ArrayLike) -> Array:
    """M(s), shape of `time`. ValueError unless h (L,) are >= 0, not all 0, and s >= 0."""
    h = _curvatures(curvatures)
    s = as_time(time)[..., None]
    least = float(np.min(h[h > 0.0]))
    weight = h * np.exp(-2.0 * np.maximum(h - least, 0.0) * s)
    return np.asarray(np.sum(weight * h, axis=-1) / np.sum(weight, axis=-1))


def critical_horizon(curvatures: ArrayLike) -> float:
    """T_c, to 1e-14 relative: the budget from which tying first helps; inf where it never does."""
    h = _curvatures(curvatures)
    return _falls_to(h, float(np.mean(h)))


def best_untie_time(curvatures: ArrayLike, time: float) -> float:
    """The tau in [0, T] with the least F: max(0, T - T_c). ValueError for T < 0."""
    return max(0.0, float(as_time(time)) - critical_horizon(curvatures))


def log_loss(curvatures: ArrayLike, time: float, tau: ArrayLike) -> Array:
    """log F(tau) at T, shape of tau: no underflow. ValueError unless 0 <= tau <= T."""
    h = _curvatures(curvatures)
    until = as_time(tau)
    if np.any(until > time):
        raise ValueError("tau must be <= time")
    least = float(np.min(h[h > 0.0]))
    left = (float(as_time(time)) - until)[..., None]
    rest = np.sum(h * np.exp(-2.0 * np.maximum(h - least, 0.0) * left), axis=-1)
    decay = float(np.mean(h)) * until + least * left[..., 0]
    return np.asarray(np.log(0.5 * rest) - 2.0 * decay)


def gain(curvatures: ArrayLike, time: float) -> float:
    """log10 of F(0) / F(best tau) at T, >= 0: decades that tying saves; 0 up to T_c."""
    best = best_untie_time(curvatures, time)
    losses = log_loss(curvatures, time, [0.0, best])
    return float(losses[0] - losses[1]) / float(np.log(10.0))


def first_tie_margin(
    curvatures: ArrayLike, time: float, common: float, deviation: float, temperature: float
) -> float:
    """The sign of dF/dtau at 0: < 0 iff tying first helps. m^2 `common`, v, theta; all >= 0."""
    h = _curvatures(curvatures)
    _parameters(common, deviation, temperature)
    spread = 1.0 - 1.0 / h.size
    price = float(weighted_curvature(h, time)) * (common + spread * deviation)
    return price - common * float(np.mean(h)) - spread * temperature / 2.0


def helping_horizon(
    curvatures: ArrayLike, common: float, deviation: float, temperature: float
) -> float:
    """The budget above which tying first helps, with deviations and noise: 0 always, inf never.

    `critical_horizon` at deviation = temperature = 0.
    """
    h = _curvatures(curvatures)
    _parameters(common, deviation, temperature)
    spread = 1.0 - 1.0 / h.size
    down = common + spread * deviation
    level = common * float(np.mean(h)) + spread * temperature / 2.0
    return _falls_to(h, level / down) if down > 0.0 else 0.0


def deviation_allowed(curvatures: ArrayLike, time: float) -> float:
    """Largest v / m^2 at which tying first still helps without noise; 0 for T <= T_c.

    (hbar / M(T) - 1) L / (L - 1); grows with T to (hbar / hmin - 1) L / (L - 1), never beyond.
    """
    h = _curvatures(curvatures)
    ratio = float(np.mean(h)) / float(weighted_curvature(h, time)) - 1.0
    return max(0.0, ratio) * h.size / (h.size - 1.0)


def all_schedules(curvatures: ArrayLike, steps: ArrayLike) -> tuple[Array, Array]:
    """Final loss of every tie pattern of N updates: (2^N,), and of tied-then-untied, (N + 1,).

    Pattern p ties update t iff bit t of p is set. ValueError for N > 16.
    """
    h = _curvatures(curvatures)
    eta = np.atleast_1d(as_finite("steps", steps))
    if eta.size > 16:
        raise ValueError("steps must be at most 16: there are 2^N patterns")
    patterns = np.arange(2**eta.size)
    e = np.ones((patterns.size, h.size))
    for t, size in enumerate(eta):
        g = h * e
        tied = ((patterns >> t) & 1 == 1)[:, None]
        e = e - size * np.where(tied, g.mean(axis=1, keepdims=True), g)
    losses = 0.5 * np.sum(h * e**2, axis=1)
    return losses, losses[2 ** np.arange(eta.size + 1) - 1]


def _falls_to(h: Array, level: float) -> float:
    """The s >= 0 at which M falls to `level`, by bisection; 0 if it starts below, inf if never."""
    if float(weighted_curvature(h, 0.0)) < level:
        return 0.0
    if level <= float(np.min(h[h > 0.0])) * (1.0 + 1e-14):  # equal up to rounding: never below
        return np.inf
    low, high = 0.0, 1.0 / float(np.max(h))
    while float(weighted_curvature(h, high)) > level:
        low, high = high, 2.0 * high
    while high - low > 1e-14 * high:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if float(weighted_curvature(h, middle)) > level:
            low = middle
        else:
            high = middle
    return high


def _curvatures(values: ArrayLike) -> Array:
    h = np.atleast_1d(as_finite("curvatures", values))
    if h.ndim != 1 or np.any(h < 0.0) or not np.any(h > 0.0):
        raise ValueError("curvatures must have shape (L,), be >= 0 and not all 0")
    return h


def _parameters(*values: float) -> None:
    if not all(0.0 <= value < np.inf for value in values):
        raise ValueError("common, deviation and temperature must be >= 0 and finite")
