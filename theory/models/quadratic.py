r"""The exchangeable quadratic: L equal modules whose optima differ, solved exactly.

Loss of modules w_1..w_L in R^k with optima w_l* = m + delta_l, sum_l delta_l = 0, and Hessian
H = I (x) A + (1/L) 1 1^T (x) B, where A (positive definite) and B (positive semidefinite) commute.
In a common eigen-direction of A and B with eigenvalues a and b, and with x_l = w_l - m,

    R = 1/2 sum_l a (x_l - delta_l)^2 + 1/2 L b xbar^2,    xbar = (1/L) sum_l x_l,
    dR/dx_l = a (x_l - delta_l) + b xbar.

Averaging over l, and subtracting the average, gives two systems that do not see each other:

    xbar <- xbar - eta ((a + b) xbar + mean of the noises)               curvature a + b,
    e_l  <- (1 - eta a) e_l - eta (noise_l - mean), e_l = x_l - xbar - delta_l    curvature a,

and R = 1/2 L (a + b) xbar^2 + 1/2 a sum_l e_l^2. Sharing replaces every gradient by the mean: the
first line is unchanged, noise included. So sharing acts on the differences alone: while it lasts
x_l - xbar = 0, hence sum_l e_l^2 = sum_l delta_l^2, the bias; unshared they start from a dispersion
and sit on a noise floor. Everything below is second moments of these two lines.

Symbols: L `depth`; per direction, shape (n,): a `own`, b `common`, `bias` = sum_l delta_l^2,
`noise` = variance of one module's gradient noise (independent across modules and steps, mean 0),
`dispersion` = variance of one module's start about the common mean when starts are independent of
each other and of delta, `start` = E xbar^2 at the start. The tied start is the MEAN of the
independent starts; tying to one draw instead would add (1 - 1/L) `dispersion` to `start`.
Time is counted in steps t = 0..T, `steps` (T,) holds eta_t; tau in 0..T is the first unshared step
(0: equal start, never shared; T: never unshared). Setting: Yang et al., arXiv 2110.03848,
section 3 (share, then unshare) on a loss that the paper does not treat; derivations are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_depth, as_finite, as_time


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """The problem in n eigen-directions; scalars are broadcast to (n,). Symbols as above.

    ValueError naming the field unless own > 0 and the others are >= 0, and depth is an integer >= 1
    with bias = 0 and dispersion irrelevant for depth 1.
    """

    depth: int
    own: Array
    common: Array
    bias: Array
    noise: Array
    dispersion: Array
    start: Array

    def __init__(
        self,
        *,
        depth: int,
        own: ArrayLike,
        common: ArrayLike = 0.0,
        bias: ArrayLike = 0.0,
        noise: ArrayLike = 0.0,
        dispersion: ArrayLike = 0.0,
        start: ArrayLike = 0.0,
    ) -> None:
        object.__setattr__(self, "depth", int(as_depth(depth)))
        fields = {
            "own": own,
            "common": common,
            "bias": bias,
            "noise": noise,
            "dispersion": dispersion,
            "start": start,
        }
        arrays = np.broadcast_arrays(*(np.atleast_1d(as_finite(n, v)) for n, v in fields.items()))
        for name, value in zip(fields, arrays, strict=True):
            if value.ndim != 1:
                raise ValueError(f"{name} must be a number or have shape (n,)")
            if np.any(value < 0.0) or (name == "own" and np.any(value == 0.0)):
                raise ValueError(f"{name} must be {'> 0' if name == 'own' else '>= 0'}")
            object.__setattr__(self, name, value.copy())
        if self.depth == 1 and np.any(self.bias > 0.0):
            raise ValueError("bias must be 0 for depth 1: one module has no differences")

    @property
    def start_error(self) -> Array:
        """E sum_l e_l^2 of an independent start: (L - 1) dispersion + bias, shape (n,)."""
        return np.asarray((self.depth - 1) * self.dispersion + self.bias)

    @property
    def noise_rate(self) -> Array:
        """Variance that one step of size 1 adds to the differences: (L - 1) noise, shape (n,)."""
        return np.asarray((self.depth - 1) * self.noise)


def constant_steps(eta: float, steps: int) -> Array:
    """eta_t = eta, shape (T,). ValueError unless eta > 0 and steps >= 1."""
    _check_schedule(eta, steps)
    return np.full(steps, float(eta))


def linear_steps(eta: float, steps: int) -> Array:
    """eta_t = eta (1 - t / T), from the peak to eta / T, shape (T,). ValueError as above."""
    _check_schedule(eta, steps)
    return np.asarray(eta * (steps - np.arange(steps)) / steps)


def contraction(curvature: ArrayLike, steps: ArrayLike) -> Array:
    """First moment: P(tau, T) = prod_{t = tau}^{T-1} (1 - eta_t h) for tau = 0..T, (T + 1, n).

    E x_T = P(tau, T) E x_tau for either mode, h its curvature (n,). A product of factors, so the
    relative error is T rounding errors; for linear decay it is c^k Gamma(1/c) / Gamma(1/c - k) with
    c = h eta / T, k = T - tau, which loses 1/c rounding errors and so is the tests' route only.
    ValueError unless every eta_t >= 0 and eta_t h < 2 (stability).
    """
    h, eta = _stable(curvature, steps)
    factors = 1.0 - eta[:, None] * h
    ones = np.ones((1, h.size))
    return np.concatenate([np.cumprod(factors[::-1], axis=0)[::-1], ones])


def accumulated_noise(curvature: ArrayLike, steps: ArrayLike) -> Array:
    """Second moment: N(tau, T) = sum_{t=tau}^{T-1} eta_t^2 P(t + 1, T)^2, tau = 0..T, (T + 1, n).

    Noise of unit variance a step, injected from tau on, has this variance at T: with it
    E x_T^2 = P(tau, T)^2 E x_tau^2 + variance N(tau, T). All terms are positive, nothing cancels.
    Errors as for `contraction`.
    """
    h, eta = _stable(curvature, steps)
    terms = (eta[:, None] * contraction(h, eta)[1:]) ** 2
    return np.concatenate([np.cumsum(terms[::-1], axis=0)[::-1], np.zeros((1, h.size))])


def constant_differences(problem: Quadratic, eta: float, steps: int, tau: ArrayLike) -> Array:
    """E sum_l e_l^2 at T of SWE(tau) with constant steps, in closed form; (tau.size, n).

    q^(2k) bias + F (1 - q^(2k)), with q = 1 - eta a, k = T - tau and F = `noise_floor`. Hence the
    loss is monotone in tau: with constant steps the best tau is T if F > bias and 0 if F < bias,
    never inside. ValueError unless 0 < eta a < 2 and 0 <= tau <= T.
    """
    _stable(problem.own, constant_steps(eta, steps))
    unshared_at = np.atleast_1d(np.asarray(tau))
    if np.any((unshared_at < 0) | (unshared_at > steps)):
        raise ValueError("tau must lie in 0..T")
    k = (steps - unshared_at).astype(np.float64)[:, None]
    with np.errstate(divide="ignore"):  # q = 0: log is -inf, and exp(-inf k) = 0 for k > 0
        log_q = np.log(np.abs(1.0 - eta * problem.own))
    exponent = np.where(k > 0.0, 2.0 * np.where(k > 0.0, k, 1.0) * log_q, 0.0)
    floor = noise_floor(problem, eta)
    return np.asarray(np.exp(exponent) * problem.bias - np.expm1(exponent) * floor)


def noise_floor(problem: Quadratic, eta: float) -> Array:
    """F = (L - 1) noise eta / (a (2 - eta a)): E sum_l e_l^2 as T grows, unshared; shape (n,)."""
    _stable(problem.own, np.array([eta]))
    return np.asarray(problem.noise_rate * eta / (problem.own * (2.0 - eta * problem.own)))


def shared_differences(problem: Quadratic, steps: ArrayLike) -> Array:
    """E sum_l e_l^2 at T of SWE(tau) for tau = 0..T; (T + 1, n).

    P(tau, T)^2 bias + (L - 1) noise N(tau, T): at tau the modules are equal, so the error is the
    bias, and from there plain SGD. Any schedule; errors as for `contraction`.
    """
    power = contraction(problem.own, steps) ** 2
    added = accumulated_noise(problem.own, steps)
    return np.asarray(power * problem.bias + added * problem.noise_rate)


def unshared_differences(problem: Quadratic, steps: ArrayLike) -> Array:
    """E sum_l e_l^2 of a run that never shares, from independent starts, at t = 0..T; (T + 1, n).

    E_0 = `start_error`, E_(t+1) = (1 - eta_t a)^2 E_t + eta_t^2 (L - 1) noise.
    """
    a, eta = _stable(problem.own, steps)
    history = np.empty((eta.size + 1, a.size))
    history[0] = problem.start_error
    for t, size in enumerate(eta):
        history[t + 1] = (1.0 - size * a) ** 2 * history[t] + size**2 * problem.noise_rate
    return history


def mean_square(problem: Quadratic, steps: ArrayLike) -> Array:
    """E xbar_T^2, the same with and without sharing, shape (n,).

    P^2 start + (noise / L) N with the curvature a + b: the noises' mean has variance noise / L.
    """
    h = problem.own + problem.common
    power = contraction(h, steps)[0] ** 2
    return np.asarray(
        power * problem.start + accumulated_noise(h, steps)[0] * problem.noise / problem.depth
    )


def mean_loss(problem: Quadratic, steps: ArrayLike) -> float:
    """The common mode's share of E R at T: 1/2 L sum_i (a_i + b_i) E xbar_i^2."""
    h = problem.own + problem.common
    return 0.5 * problem.depth * float(np.sum(h * mean_square(problem, steps)))


def loss_by_tau(problem: Quadratic, steps: ArrayLike) -> Array:
    """E R at T of SWE(tau), tau = 0..T; shape (T + 1,).

    `mean_loss` + 1/2 sum_i a_i `shared_differences`; entry 0 is the equal start without sharing.
    """
    own = 0.5 * np.sum(problem.own * shared_differences(problem, steps), axis=1)
    return np.asarray(mean_loss(problem, steps) + own)


def loss_unshared(problem: Quadratic, steps: ArrayLike) -> float:
    """E R at T of plain SGD from independent starts."""
    own = 0.5 * float(np.sum(problem.own * unshared_differences(problem, steps)[-1]))
    return mean_loss(problem, steps) + own


def gain_by_tau(problem: Quadratic, steps: ArrayLike) -> Array:
    """E R(no sharing) - E R(SWE(tau)) at T, tau = 0..T, without the common mode; shape (T + 1,).

    1/2 sum_i a_i P_i(tau, T)^2 (E_i,tau - bias_i), E the unshared run's error at tau: from tau on
    both runs obey one linear recursion with the same noise variance, so the gain is the gap at tau,
    contracted. In one direction its sign at tau does not depend on T: SHARING UNTIL tau WINS IFF AT
    tau THE UNSHARED DIFFERENCES ARE FARTHER FROM THEIR OPTIMA THAN NO DIFFERENCES AT ALL.
    """
    power = contraction(problem.own, steps) ** 2
    gap = unshared_differences(problem, steps) - problem.bias
    return np.asarray(0.5 * np.sum(problem.own * power * gap, axis=1))


def critical_step(problem: Quadratic) -> Array:
    """The step size at which sharing one step more neither helps nor hurts; shape (n,).

    eta* = 2 a bias / (a^2 bias + (L - 1) noise).

    `shared_differences` at tau minus at tau + 1 is P(tau + 1, T)^2 times
    c_tau = (1 - eta_tau a)^2 bias + eta_tau^2 (L - 1) noise - bias,
    which is positive iff eta_tau > eta*; equivalently iff `noise_floor`(eta_tau) > bias. So in one
    direction and for steps that never grow, THE BEST tau IS THE FIRST t WITH eta_t <= eta*; for
    linear decay tau / T = 1 - eta* / eta, whatever T. In several directions the best tau lies
    between the directions' own. No noise: eta* = 2 / a, the edge of stability, and sharing never
    helps. No bias, but noise: eta* = 0, share to the end. Neither bias nor noise, one layer among
    it: there is nothing that tying could change after an equal start, every tau ends alike, and
    eta* is infinite: no step size is above it.

    One step decides for the whole run only because the layers are EXCHANGEABLE (one curvature a
    for all differences) and both arms use ONE RATE. Layers of unlike curvature may gain by tying
    without any noise: `theory.theorems.one_step`.
    """
    down = problem.own**2 * problem.bias + problem.noise_rate
    safe = np.where(down > 0.0, down, 1.0)
    return np.asarray(np.where(down > 0.0, 2.0 * problem.own * problem.bias / safe, np.inf))


def best_tau(problem: Quadratic, steps: ArrayLike) -> int:
    """The tau in 0..T with the least E R at T; the earliest of equals."""
    return int(np.argmin(loss_by_tau(problem, steps)))


def first_step_margin(problem: Quadratic, eta: float) -> Array:
    """What one shared step gains on the differences of an independent start; shape (n,).

    G_1 = (1 - eta a)^2 (L - 1) dispersion + eta^2 (a^2 bias + (L - 1) noise) - 2 eta a bias.

    For steps eta_t that never grow, eta = eta_0 and one direction: SOME tau >= 1 BEATS NO SHARING
    AT T IFF G_1 > 0, unless P(1, T) = 0: a later step of exactly 1 / a forgets what it got. Proof:
    G_t = E_t - bias obeys G_(t+1) = (1 - eta_t a)^2 G_t + c_t, G_0 = (L - 1) dispersion >= 0, and
    c_t > 0 iff eta_t > eta* (`critical_step`). If G_1 <= 0 then c_0 <= 0, so no later c_t is
    positive and G stays <= 0; if G_1 > 0, tau = 1 wins. With an equal start (dispersion 0) it reads
    eta_0 > eta*: sharing beats the equal start iff the noise floor at the peak exceeds the bias,
    strictly: with neither bias nor noise G_1 = 0 there, and all tau end alike. From independent
    starts sharing then wins with any dispersion, unless one step forgets it (eta a = 1).
    """
    _stable(problem.own, np.array([eta]))
    a, L = problem.own, problem.depth
    dispersed = (1.0 - eta * a) ** 2 * (L - 1) * problem.dispersion
    return np.asarray(
        dispersed
        + eta**2 * (a**2 * problem.bias + problem.noise_rate)
        - 2.0 * eta * a * problem.bias
    )


def flow_loss(problem: Quadratic, time: ArrayLike, tau: float | None) -> Array:
    """R of gradient flow (no noise) at times t, one unit of time being step size x steps = 1.

    Shared until `tau` (for t <= tau: so far always shared); None: never, from independent starts.
    xbar = xbar_0 e^(-(a+b) t); sum e^2 = bias until tau, then e^(-2a(t - tau)) bias; unshared
    e^(-2at) `start_error`. Expectations over starts. ValueError for negative times or tau.
    """
    t = as_time(time)[..., None]
    h = problem.own + problem.common
    common = problem.depth * h * np.exp(-2.0 * h * t) * problem.start
    if tau is None:
        own = np.exp(-2.0 * problem.own * t) * problem.start_error
    else:
        own = np.exp(-2.0 * problem.own * np.maximum(t - float(as_time(tau)), 0.0)) * problem.bias
    return np.asarray(0.5 * np.sum(common + problem.own * own, axis=-1))


def flow_break_even(problem: Quadratic) -> Array:
    """The tau below which flow gains by sharing: log(1 + (L-1) dispersion / bias) / (2a), (n,).

    e^(-2a tau) `start_error` > bias; infinite without bias. In flow the best tau is 0: sharing
    then keeps only what the equal start gave.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (problem.depth - 1) * problem.dispersion / problem.bias
    ratio = np.where(problem.bias > 0.0, ratio, np.inf)
    return np.asarray(np.log1p(ratio) / (2.0 * problem.own))


def _check_schedule(eta: float, steps: int) -> None:
    if not 0.0 < eta < np.inf:
        raise ValueError("eta must be > 0 and finite")
    if steps < 1:
        raise ValueError("steps must be >= 1")


def _stable(curvature: ArrayLike, steps: ArrayLike) -> tuple[Array, Array]:
    h = np.atleast_1d(as_finite("curvature", curvature))
    eta = np.atleast_1d(as_finite("steps", steps))
    if np.any(eta < 0.0):
        raise ValueError("steps must be >= 0")
    if np.max(eta, initial=0.0) * np.max(h, initial=0.0) >= 2.0:
        raise ValueError("steps times curvature must be < 2 (stability)")
    return h, eta
