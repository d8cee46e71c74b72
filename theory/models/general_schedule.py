r"""Any quadratic under SGD with any steps: the best tau exactly, and the best untying in stages.

F = 1/2 (w - w*)^T H (w - w*), w (L, k), H >= 0 of any form, gradient noise of covariance S,
independent over updates. Tied until tau: the common value x moves by

    x <- x - eta (C x - c) - eta nbar,   C = (1/L) sum_lm H_lm,  c = (1/L) sum_lm H_lm w*_m,

nbar of covariance (1/L^2) sum_lm S_lm; its mean and covariance obey two recursions. From tau on
each eigen-direction of H contracts by itself, so with P(tau, T) and N(tau, T) of
`theory.models.quadratic` in the eigenbasis V of H

    E F(tau) = 1/2 sum_i h_i (P_i(tau, T)^2 E (v_i (w_tau - w*))^2 + N_i(tau, T) v_i^T S v_i):

exact for every tau (`loss_by_tau`), and so is the best one (`best_tau`). It extends
`theory.models.fit_quadratic.general_losses` by the noise; nothing is cut here.

STAGES. SWE-M splits groups of neighbours and never joins them: a chain of nested partitions of the
layers in a row. A partition is the set of open ones among the L - 1 boundaries, so a chain is no
more than a TIME FOR EVERY BOUNDARY, (tau_1..tau_{L-1}); equal times are SWE-F. All chains on a grid
of times are run at once (`stage_losses`), (points)^(L-1) of them; the least is the best untying in
stages (`best_stages`). No noise here. `cosine_stages` runs the paper's rules on the same problem:
SWE-M opens a boundary when the cosine of its two gradients is below rho, SWE-A opens all after
three checks in a row in which more than half are. Ours but for the rules (arXiv 2110.03848).
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from theory.models.quadratic import accumulated_noise, contraction
from theory.numerics.domain import Array, as_finite


@dataclass(frozen=True)
class Problem:
    """H (L, k, L, k) symmetric >= 0, w* (L, k), the equal start (k,), S (L, k, L, k) or 0.

    ValueError for other shapes.
    """

    hessian: Array
    optimum: Array
    start: Array
    noise: Array | None = None

    def __post_init__(self) -> None:
        shape = as_finite("optimum", self.optimum).shape
        square = shape + shape
        if len(shape) != 2 or as_finite("hessian", self.hessian).shape != square:
            raise ValueError("optimum must have shape (L, k) and hessian (L, k, L, k)")
        if as_finite("start", self.start).shape != shape[1:]:
            raise ValueError("start must have shape (k,)")
        if self.noise is not None and as_finite("noise", self.noise).shape != square:
            raise ValueError("noise must have shape (L, k, L, k)")

    def gradient(self, w: Array) -> Array:
        """H (w - w*), of w (..., L, k)."""
        L, k = self.optimum.shape
        flat = (w - self.optimum).reshape(*w.shape[:-2], L * k)
        return np.asarray((flat @ self.hessian.reshape(L * k, L * k)).reshape(w.shape))

    def loss(self, w: Array) -> Array:
        """F, of w (..., L, k)."""
        return np.asarray(0.5 * np.sum(self.gradient(w) * (w - self.optimum), axis=(-2, -1)))


def loss_by_tau(problem: Problem, steps: ArrayLike) -> Array:
    """E F at T of "tied for tau updates", tau = 0..T, (T + 1,).

    ValueError unless every step times lmax(H) is below 2.
    """
    eta = np.atleast_1d(as_finite("steps", steps))
    L, k = problem.optimum.shape
    H = problem.hessian
    values, vectors = np.linalg.eigh(H.reshape(L * k, L * k))
    values = np.maximum(values, 0.0)  # H >= 0: what is below is rounding
    power = contraction(values, eta) ** 2
    added = np.zeros_like(power)
    spread = np.zeros((k, k))
    if problem.noise is not None:
        S = problem.noise
        own = np.sum(vectors * (S.reshape(L * k, L * k) @ vectors), axis=0)
        added = accumulated_noise(values, eta) * own
        spread = S.sum(axis=(0, 2)) / L**2
    C = H.sum(axis=(0, 2)) / L
    pull = problem.gradient(np.zeros((L, k))).mean(axis=0)  # -c
    lifted = vectors.reshape(L, k, L * k).sum(axis=0)  # (k, n): x to eigen-directions
    x, covariance = problem.start, np.zeros((k, k))
    found = np.empty(eta.size + 1)
    for tau in range(eta.size + 1):
        e = (np.tile(x, L) - problem.optimum.reshape(-1)) @ vectors
        square = e**2 + np.sum(lifted * (covariance @ lifted), axis=0)
        found[tau] = 0.5 * np.sum(values * (power[tau] * square + added[tau]))
        if tau < eta.size:
            kept = np.eye(k) - eta[tau] * C
            x = x - eta[tau] * (C @ x + pull)
            covariance = kept @ covariance @ kept + eta[tau] ** 2 * spread
    return found


def best_tau(problem: Problem, steps: ArrayLike) -> int:
    """The tau in 0..T with the least E F; the earliest of equals."""
    return int(np.argmin(loss_by_tau(problem, steps)))


def stage_losses(problem: Problem, steps: ArrayLike, times: ArrayLike) -> Array:
    """F at T of chains, (B,): `times` (B, L - 1), boundary j open from update times[:, j] on.

    ValueError for another shape or times outside 0..T.
    """
    eta = np.atleast_1d(as_finite("steps", steps))
    chains = np.asarray(times)
    L, k = problem.optimum.shape
    if chains.ndim != 2 or chains.shape[1] != L - 1:
        raise ValueError("times must have shape (chains, L - 1)")
    if np.any((chains < 0) | (chains > eta.size)):
        raise ValueError("times must lie in 0..T")
    means = np.array([_group_means(bits) for bits in product((False, True), repeat=L - 1)])
    place = 2 ** np.arange(L - 1)[::-1]
    w = np.broadcast_to(problem.start, (len(chains), L, k))
    for t, size in enumerate(eta):
        w = w - size * (means[(chains <= t) @ place] @ problem.gradient(w))
    return problem.loss(w)


def best_stages(problem: Problem, steps: ArrayLike, points: int) -> tuple[Array, float, float]:
    """Best times (L - 1,), their F, and the F of the best single tau on the same grid of times.

    `points` >= 2 times from 0 to T, evenly; all points^(L-1) chains. ValueError for above 1e5.
    """
    T = np.atleast_1d(as_finite("steps", steps)).size
    boundaries = problem.optimum.shape[0] - 1
    if points < 2 or points**boundaries > 100_000:
        raise ValueError("points must be >= 2, and points^(L - 1) at most 1e5")
    grid = np.round(np.linspace(0, T, points)).astype(int)
    chains = np.array(list(product(grid, repeat=boundaries)))
    found = stage_losses(problem, steps, chains)
    single = np.all(chains == chains[:, :1], axis=1)
    best = int(np.argmin(found))
    return chains[best], float(found[best]), float(np.min(found[single]))


def cosine_stages(
    problem: Problem,
    steps: ArrayLike,
    rule: Literal["swe-a", "swe-m"],
    interval: int,
    rho: float = 0.5,
) -> Array:
    """When the paper's rule opens each boundary, (L - 1,) in 0..T; T: never.

    Checks every `interval` updates, never at the first. ValueError for interval < 1.
    """
    if interval < 1:
        raise ValueError("interval must be >= 1")
    eta = np.atleast_1d(as_finite("steps", steps))
    L = problem.optimum.shape[0]
    times = np.full(L - 1, eta.size)
    w, low = np.tile(problem.start, (L, 1)), 0
    for t, size in enumerate(eta):
        g = problem.gradient(w)
        if t > 0 and t % interval == 0:
            below = adjacent_cosines(g) < rho
            low = low + 1 if 2 * np.sum(below) > L - 1 else 0
            opened = below if rule == "swe-m" else np.full(L - 1, low >= 3)
            times = np.where(opened & (times == eta.size), t, times)
        w = w - size * (_group_means(tuple(times <= t)) @ g)
    return times


def adjacent_cosines(gradients: Array) -> Array:
    """Cosine of each layer's gradient with the next one's, (L - 1,); nan where one is 0."""
    norms = np.linalg.norm(gradients, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sum(gradients[1:] * gradients[:-1], axis=1) / (norms[1:] * norms[:-1]))


def _group_means(opened: tuple[bool, ...]) -> Array:
    """The matrix (L, L) that averages within groups; a boundary that is open parts two."""
    group = np.concatenate([[0], np.cumsum(opened)])
    same = group[:, None] == group
    return np.asarray(same / same.sum(axis=1, keepdims=True))
