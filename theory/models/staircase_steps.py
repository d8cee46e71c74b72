r"""The staircase under sign-like steps with noise, SGD noise and AdamW (`theory.models.staircase`).

Each layer's gradient carries noise of standard deviation sigma, independent; the mean of L has
sigma / sqrt(L). Steps of sign type move a layer by eta u(g / sigma) in expectation, u an odd,
increasing, concave function, u(r) = erf(r / sqrt 2) or r / sqrt(1 + r^2) (`models.sign_descent`);
the mean rule moves all by eta u(sqrt(L) g / sigma). Time is counted in eta * steps.

FULL NOISE. Where sqrt(L) |g| / sigma is at most z both equations are the flow's, the tied one
sqrt(L) times as fast, up to a factor in [1 - z^2 / 2, 1] (erf: z^2 / 6). So as sigma -> infinity
each ratio of times, untied over tied, tends to sqrt(L) times the flow's.

NO NOISE. All S_l > 0 makes all layers take the same step: nothing to gain until the first sinks.

BETWEEN, one layer at a time is above the noise, and tying lifts all with the first (a heuristic
limit, tested and not proved: the front). Let w_0 -> 0 and sigma -> 0 with

    wait = log(1 / w_0) K sigma / (2 u'(0))  held fixed.

A layer below the noise grows by (log w_n)' = u'(0) (2 / (K sigma)) P_(n-1), so it leaves w_0 when
int P_(n-1) = wait, then climbs at speed 1 (its signal is far above the noise): w_n = x - t_n. Tied,
the first layer's signal is L times smaller, the noise sqrt(L): it leaves at sqrt(L) wait, and all
climb at once. Layers stop at 1 where S_l changes sign; in truth a layer goes a little beyond 1
while the next one climbs, which this front neglects (measured: it is some 10 % late).

    t_1 = wait,  int_(t_n)^(t_(n+1)) P_n = wait,  gain = (t_K + 1) / (1 + sqrt(K) wait),  L = K.

For wait >= 1/3 one climbs at a time, t_(n+1) - t_n = wait + 2/3: (K wait + (2K + 1)/3) / (1 +
sqrt(K) wait), falling from (K + 1/3) / (1 + sqrt(K) / 3) towards sqrt(K). For wait -> 0 the spacing
d follows int_0^d prod_j min(1, x + j d)^2 dx = wait, log wait = -(2/d) (1 + o(1)): the best wait is
about 1 / (sqrt(K) log sqrt(K)) and the best gain grows like 4 K / log K, L up to a logarithm.

LETTING GO. At a tied point one more step lowers F by sum_l g_l u(g_l / sigma) untied and by
L gbar u(sqrt(L) gbar / sigma) tied; in full noise that is sum_l g_l^2 against sqrt(L) A times it, A
the alignment: tied is faster iff A > 1 / sqrt(L). Next to the optimum g_l ~ K (K + 1) - l (l - 1),
A -> 5/6 for many layers: there one stays tied, whereas in flow one lets go just before the end.

SGD NOISE moves no such thing. Next to a stair w <- (1 + eta a) w + eta sigma xi, so (exactly)
E w^2 = (w_0^2 + c) (1 + eta a)^(2t) - c, c = eta sigma^2 / (2a + eta a^2). Untied a = 2/K and
sigma^2; tied a = 2/(K L) and sigma^2 / L: c = eta sigma^2 K / 4 to first order in eta FOR BOTH. The
noise raises the start of both alike. Layers that wait go on diffusing, by eta sigma^2 a unit of
time: E w^2 rises, E log w^2, which sets the time, need not (a walk crosses 0). Signs diffuse
likewise, by eta a unit of time whatever the noise: what is said above is the limit eta -> 0, and
runs at eta near w_0^2 / 3 are some 20 % off it. ADAMW's moments have no closed form here: it
is run.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import expit, logit

from theory.models import staircase, staircase_swe
from theory.models.sign_descent import Rule, drift
from theory.numerics.domain import Array, as_finite
from theory.numerics.events import Ending
from theory.numerics.quadrature import panel_integral

Update = Literal["sgd", "sign", "adamw"]

SLOPE = {"sign": float(np.sqrt(2.0 / np.pi)), "adam": 1.0}
"""u'(0) of each rule."""

TRIALS = (-300.0, 2.0)
"""log w is held in here: the integrator tries far states, where exp overflows, and rejects them."""


def noise_of_wait(wait: float, start: float, skills: int, rule: Rule = "sign") -> float:
    """The noise sigma at which a layer waits `wait` = log(1/w_0) K sigma / (2 u'(0))."""
    return 2.0 * SLOPE[rule] * wait / (skills * float(np.log(1.0 / start)))


def tied_steps(
    start: float, end: ArrayLike, skills: int, noise: float, rule: Rule = "sign", depth: int = 0
) -> Array:
    """eta * steps for the tied weight from `start` to `end` (each in (0, 1)), by its drift.

    int dw / u(sqrt(L) g / sigma), g = 2 G(w^2) / (L K w), by panels in logit w^2; `depth` 0 means
    K. Elementwise in `end`. ValueError unless noise > 0.
    """
    if not noise > 0.0:
        raise ValueError("noise must be > 0")
    layers = depth or skills

    def integrand(y: Array) -> Array:
        q = expit(y)
        w = np.sqrt(q)
        signal = 2.0 * staircase.drive(q, skills) / (layers * skills * w)
        return np.asarray(0.5 * w * expit(-y) / drift(np.sqrt(layers) * signal / noise, rule))

    goals = as_finite("end", end)
    high = logit(goals**2).reshape(-1)
    low = np.full_like(high, logit(start**2))
    return panel_integral(integrand, low, high - low, 0.125).reshape(goals.shape)


def untied_steps(starts: ArrayLike, levels: ArrayLike, noise: float, rule: Rule = "sign") -> Array:
    """eta * steps to each of the falling losses `levels` (n,), untied from weights (K,) > 0.

    LSODA on log w with the expected steps, to about 1e-6. ValueError for bad arguments and
    for a level that is not reached in three times the full-noise time.
    """
    w0, goals = as_finite("starts", starts), as_finite("levels", levels)
    if np.any(w0 <= 0.0) or not noise > 0.0 or np.any(np.diff(goals) >= 0.0):
        raise ValueError("starts and noise must be > 0, levels must fall")

    count = w0.size
    places = np.arange(count)
    larger = np.maximum.outer(places, places)

    def signals(u: Array) -> tuple[Array, Array]:
        p = np.exp(2.0 * np.cumsum(u))
        pull = np.cumsum((p * (1.0 - p))[::-1])[::-1]
        return p, 2.0 / (count * noise) * pull * np.exp(-u)

    def field(_: float, u: Array) -> Array:
        u = np.clip(u, *TRIALS)
        return drift(signals(u)[1], rule) * np.exp(-u)

    def jacobian(_: float, u: Array) -> Array:
        u = np.clip(u, *TRIALS)
        p, r = signals(u)
        tail = np.cumsum((p * (1.0 - 2.0 * p))[::-1])[::-1]
        bend = 4.0 / (count * noise) * tail[larger] * np.exp(-u)[:, None]
        bend[places, places] -= r
        out = _slope(r, rule)[:, None] * bend
        out[places, places] -= drift(r, rule)
        return np.asarray(out * np.exp(-u)[:, None])

    def above(_: float, u: Array) -> float:
        return float(staircase.loss(np.exp(u))) - float(goals[-1])

    end = 3.0 * (staircase_swe.horizon(w0) * noise / SLOPE[rule] + w0.size + 1.0)
    found = solve_ivp(
        field,
        (0.0, end),
        np.log(w0),
        method="LSODA",
        jac=jacobian,
        rtol=1e-7,
        atol=1e-9,
        events=Ending(above),
        dense_output=True,
    )
    if found.sol is None or not found.t_events or not len(found.t_events[0]):
        raise ValueError(f"loss {goals[-1]:g} is not reached in {end:g}; ask for a higher one")
    path, last = found.sol, float(found.t_events[0][0])

    def reached(level: float) -> float:
        def gap(time: float) -> float:
            return float(staircase.loss(np.exp(path(time)))) - level

        return 0.0 if gap(0.0) <= 0.0 else float(brentq(gap, 0.0, last, rtol=1e-12))

    return np.array([*(reached(float(level)) for level in goals[:-1]), last])


def _slope(signal: Array, rule: Rule) -> Array:
    """u'(r)."""
    if rule == "adam":
        return np.asarray((1.0 + signal**2) ** -1.5)
    return np.asarray(SLOPE["sign"] * np.exp(-0.5 * signal**2))


def swe_steps(
    start: float, untie: float, levels: ArrayLike, skills: int, noise: float, rule: Rule = "sign"
) -> Array:
    """eta * steps to each of the falling losses `levels` (n,), tied up to the weight `untie` < 1.

    A tied point is an equal start, here too. Levels lie below the loss at the untie. `untie` =
    `start` is never tied. ValueError as for both stages.
    """
    tied = float(tied_steps(start, untie, skills, noise, rule)) if untie > start else 0.0
    return tied + untied_steps(np.full(skills, untie), levels, noise, rule)


def end_alignment(skills: int) -> float:
    """A = (sum g_l)^2 / (K sum g_l^2) next to the optimum, all layers equal."""
    layer = np.arange(1, skills + 1)
    pull = skills * (skills + 1.0) - layer * (layer - 1.0)
    return float(pull.sum() ** 2 / (skills * np.sum(pull**2)))


def gain(
    start: float, skills: int, noise: float, share: float, rule: Rule = "sign", depth: int = 0
) -> float:
    """Steps to `share` of the first loss by expected steps, untied over tied."""
    level = share * float(staircase.tied_loss(start**2, skills))
    end = brentq(
        lambda y: float(staircase.tied_loss(expit(y), skills)) - level, logit(start**2), 36.0
    )
    tied = tied_steps(start, np.sqrt(expit(end)), skills, noise, rule, depth)
    return float(untied_steps(np.full(skills, start), [level], noise, rule)[0] / tied)


def front(skills: int, wait: float, points: int = 2000) -> Array:
    """t_1..t_K: when each layer begins to climb, by the trapezoid rule on `points` a climb.

    Error about (1 / points)^2. ValueError unless wait > 0.
    """
    if not wait > 0.0:
        raise ValueError("wait must be > 0")
    times = [wait]
    while len(times) < skills:
        x = times[-1] + np.linspace(0.0, 1.0, points + 1)
        climbing = np.array([t for t in times if t > times[-1] - 1.0])
        p = np.prod(np.minimum(x[:, None] - climbing, 1.0) ** 2, axis=1)
        filled = np.concatenate([[0.0], np.cumsum(p[1:] + p[:-1]) / (2.0 * points)])
        if filled[-1] < wait:
            times.append(times[-1] + 1.0 + wait - float(filled[-1]))
        else:
            times.append(float(np.interp(wait, filled, x)))
    return np.array(times)


def front_gain(skills: int, wait: float) -> float:
    """(t_K + 1) / (1 + sqrt(K) wait), the gain of tying K layers as w_0 -> 0 at fixed `wait`."""
    return float((front(skills, wait)[-1] + 1.0) / (1.0 + np.sqrt(skills) * wait))


def best_front(skills: int) -> tuple[float, float]:
    """The wait of the greatest `front_gain` on a grid of 5 % steps, and that gain."""
    waits = np.geomspace(1e-3, 1.0, 142)
    gains = [front_gain(skills, float(wait)) for wait in waits]
    best = int(np.argmax(gains))
    return float(waits[best]), gains[best]


def spread(start: float, growth: float, rate: float, noise: float, steps: ArrayLike) -> Array:
    """E w^2 of w <- (1 + rate growth) w + rate noise xi after `steps`, from `start`; exact."""
    factor = (1.0 + rate * growth) ** (2.0 * as_finite("steps", steps))
    own = rate * noise**2 / (2.0 * growth + rate * growth**2)
    return np.asarray((start**2 + own) * factor - own)


def effective_start(start: float, skills: int, rate: float, noise: float) -> float:
    """The start that SGD noise makes of w_0 for hop 1, tied or not, to first order in the rate."""
    return float(np.sqrt(start**2 + rate * noise**2 * skills / 4.0))


def simulate(
    rng: np.random.Generator,
    starts: Array,
    *,
    update: Update,
    rate: float,
    noise: float,
    level: float,
    steps: int,
    untie: int = 0,
    betas: tuple[float, float] = (0.9, 0.999),
    decay: float = 0.0,
) -> Array:
    """First step of each run at which its loss is at most `level`: (replicas,), infinity if never.

    Runs from `starts` (replicas, K), tied for the first `untie` of at most `steps` steps. Each
    layer's gradient gets its own normal noise, and tied layers the mean of these; one stream of
    draws whatever `untie`, so arms are paired. AdamW is torch's (bias corrected, decoupled `decay`,
    eps 1e-8), its moments copied at the untie. ValueError for an unknown update.
    """
    if update not in ("sgd", "sign", "adamw"):
        raise ValueError('update must be "sgd", "sign" or "adamw"')
    w = np.array(starts, dtype=np.float64)
    found = np.where(staircase.loss(w) <= level, 0.0, np.inf)
    first, second = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, steps + 1):
        g = staircase.gradient(w)
        if noise:
            g = g + noise * rng.normal(size=w.shape)
        if step <= untie:
            g = np.broadcast_to(g.mean(axis=-1, keepdims=True), w.shape)
        if update == "sgd":
            w = w - rate * g
        elif update == "sign":
            w = w - rate * np.sign(g)
        else:
            first = betas[0] * first + (1.0 - betas[0]) * g
            second = betas[1] * second + (1.0 - betas[1]) * g**2
            mean = first / (1.0 - betas[0] ** step)
            square = second / (1.0 - betas[1] ** step)
            w = (1.0 - rate * decay) * w - rate * mean / (np.sqrt(square) + 1e-8)
        found = np.where((found > step) & (staircase.loss(w) <= level), step, found)
        if np.all(found <= step):
            break
    return found
