r"""Share, then unshare on the staircase: the flow's times, and the best time to untie.

A tied point is an equal start. So the time to a loss after untying at weight v is T(v^2) + U(v), T
of the tied flow and U of the untied flow from v (`theory.models.staircase`), and as T only shifts
with w_0, THE BEST v FOR A LOSS DOES NOT DEPEND ON w_0 < v.

ALWAYS-SHARED IS NEVER BEST: at one point the untied loss falls by sum_l g_l^2 and the tied by
(sum_l g_l)^2 / L, which is less, strictly (Cauchy and Schwarz; g_1 > g_K as S_1 > S_K at w < 1); so
to untie just before the budget T ends beats it.

WHEN SWE BEATS THE EQUAL START, w_0 -> 0. After the share x of the tied way, in log w, and
untied from there, hop k comes at (K/4) (x K + k (1 - x)) A = (K/4) (k + x (K - k)) A: later than
untied at every k < K, and at the same time for k = K. So SWE can win only on budgets that see the
last hop, K^2 A / 4 to first order, and by what is left at the next order: there the tied flow
is ahead (c_K > K C, computed). In the model the best tau therefore jumps, at one critical budget
near the tied transition, from 0 to nearly all of it (measured; K = 2 has a short range between).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import OdeSolution
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit

from theory.models import staircase
from theory.numerics.domain import Array, as_finite

ROOM = 1e-6
"""A gain below this share of the loss is the integrator's."""

LEAST_SHARE = 1e-9
"""Paths are followed for as long as this share of the loss may take."""


@dataclass(frozen=True)
class Untied:
    """The untied flow from any positive start: its loss and hops, in units of time."""

    path: OdeSolution
    skills: int

    def loss(self, time: ArrayLike) -> Array:
        """F at times (n,) or one time."""
        u = self.path(np.asarray(time, dtype=np.float64) * 4.0 / self.skills)
        return np.asarray(0.5 * np.mean(np.expm1(np.cumsum(u, axis=0)) ** 2, axis=0))

    @property
    def end(self) -> float:
        """The path ends here."""
        return float(self.path.t_max) * self.skills / 4.0

    def time_to(self, level: float) -> float:
        """When F falls to `level` (0 if it starts below); ValueError if not on the path."""
        if float(self.loss(0.0)) <= level:
            return 0.0
        if float(self.loss(self.end)) > level:
            raise ValueError(f"loss {level:g} is not reached in time {self.end:g}; ask for more")
        return float(brentq(lambda t: float(self.loss(t)) - level, 0.0, self.end, rtol=1e-12))

    def hop(self, number: int) -> float:
        """First time of P_k = 1/2, k = `number`; 0 where it starts above."""

        def above(time: float) -> float:
            u = self.path(time * 4.0 / self.skills)
            return float(np.sum(u[:number])) + np.log(2.0)

        if above(0.0) >= 0.0:
            return 0.0
        return float(brentq(above, 0.0, self.end, rtol=1e-12))


def horizon(starts: Array) -> float:
    """Time enough for the hops' first order and for what `LEAST_SHARE` may take after them."""
    hops = -2.0 * float(np.sum(np.minimum(np.log(np.abs(starts)), 0.0))) + 3.0 * starts.size
    end = np.log(1.0 / LEAST_SHARE) / 2.0 / staircase.relaxation(starts.size) + 10.0
    return (hops + float(end)) * starts.size / 4.0


def untied(starts: Sequence[float] | Array) -> Untied:
    """The untied flow from weights (K,), 0 < |w| (their signs do not matter).

    Followed up to `horizon`. ValueError for a zero (that skill is never learnt), RuntimeError if
    the integrator gives up.
    """
    w = as_finite("starts", starts)
    if w.ndim != 1 or np.any(w == 0.0):
        raise ValueError("starts must have shape (K,) and no zero")
    end = horizon(w) * 4.0 / w.size
    return Untied(staircase.log_squares(2.0 * np.log(np.abs(w)), end, count=w.size), w.size)


@lru_cache(maxsize=512)
def _equal(skills: int, weight: float) -> Untied:
    """`untied` from an equal start, kept: budgets are compared on the same paths."""
    return untied(np.full(skills, weight))


@dataclass(frozen=True)
class Staircase:
    """K skills, the equal start w_0 and L layers: times of the tied flow and of SWE.

    `untie` below is the weight v at which the tied layers are let go; `start` is never tied, 1 is
    never untied. ValueError unless K >= 1, 0 < start < 1 and depth is 0 (K layers) or >= K.
    """

    skills: int
    start: float
    depth: int = 0

    def __post_init__(self) -> None:
        if self.skills < 1 or (self.depth and self.depth < self.skills):
            raise ValueError("skills must be >= 1 and depth 0 or >= skills")
        if not 0.0 < self.start < 1.0:
            raise ValueError("start must lie in (0, 1)")

    @property
    def first_loss(self) -> float:
        """F at the equal start."""
        return float(staircase.tied_loss(self.start**2, self.skills))

    def tied_time(self, square: ArrayLike) -> Array:
        """When the tied w^2 reaches `square` (0 < square < 1), elementwise."""
        scale = (self.depth or self.skills) * self.skills / 4.0
        return scale * staircase.tied_span(self.start**2, square, self.skills)

    def tied_square(self, time: float) -> float:
        """The tied w^2 at a time, the inverse of `tied_time`: to 1e-12 in logit."""
        low = high = float(logit(self.start**2))
        while float(self.tied_time(expit(high))) < time:
            high += 4.0
            if high > 36.0:
                return 1.0 - 2.0**-53
        found = brentq(lambda y: float(self.tied_time(expit(y))) - time, low, high + 1e-9)
        return float(expit(found))

    def tied_level(self, level: float) -> float:
        """When the tied loss falls to `level`."""
        low = float(logit(self.start**2))
        if self.first_loss <= level:
            return 0.0
        y = brentq(lambda x: float(staircase.tied_loss(expit(x), self.skills)) - level, low, 36.0)
        return float(self.tied_time(expit(y)))

    def hops(self, untie: float) -> list[float]:
        """Times of P_k = 1/2, k = 1..K."""
        count = range(1, self.skills + 1)
        own = [max(0.0, float(self.tied_time(0.5 ** (1.0 / k)))) for k in count]
        if untie >= 1.0:
            return own
        begin = float(self.tied_time(untie**2))
        path = _equal(self.skills, untie)
        return [
            early if untie**2 >= 0.5 ** (1.0 / k) else begin + path.hop(k)
            for k, early in zip(count, own, strict=True)
        ]

    def time_to(self, share: float, untie: float) -> float:
        """Time to `share` of the first loss. ValueError below `LEAST_SHARE`."""
        if not LEAST_SHARE <= share < 1.0:
            raise ValueError(f"share must lie in [{LEAST_SHARE:g}, 1)")
        level = share * self.first_loss
        tied = self.tied_level(level)
        if untie >= 1.0:
            return tied
        begin = float(self.tied_time(untie**2))
        if tied <= begin:
            return tied
        return begin + _equal(self.skills, untie).time_to(level)

    def final_loss(self, budget: float, untie: float) -> float:
        """F at time `budget`."""
        begin = np.inf if untie >= 1.0 else float(self.tied_time(untie**2))
        if begin >= budget:
            return float(staircase.tied_loss(self.tied_square(budget), self.skills))
        return float(_equal(self.skills, untie).loss(budget - begin))

    def _losses(self, budget: float) -> tuple[Array, list[float]]:
        """Logits of w^2 from the start in steps of 1/4, before `budget`, and log F untied there."""
        low = float(logit(self.start**2))
        square = self.tied_square(budget)
        if staircase.tied_loss(square, self.skills) < 1e-16 * self.first_loss:
            raise ValueError(f"budget {budget:g}: tied, the loss is 0 to rounding; take a shorter")
        grid = np.arange(low, float(logit(square)), 0.25)
        return grid, [self._log_loss(budget, float(y)) for y in grid]

    def _log_loss(self, budget: float, y: float) -> float:
        """Log F at `budget`, untied at the weight with logit w^2 = `y`."""
        return float(np.log(self.final_loss(budget, float(np.sqrt(expit(y))))))

    def best_untie(self, budget: float) -> tuple[float, float, float]:
        """The best tau / budget, the weight there and the loss at `budget`.

        By a grid of steps 1/4 in logit w^2 and bounded refinement about its best point, exact in
        the model up to the integrator; tau is 0 where nothing beats the equal start by `ROOM` of
        its loss. ValueError for a budget in which the tied loss falls to rounding: tau is nearly
        all of it then.
        """
        grid, values = self._losses(budget)
        place = int(np.argmin(values))
        end = float(logit(self.tied_square(budget)))
        around = float(grid[max(place - 1, 0)]), float([*grid, end][place + 1])
        fine = minimize_scalar(
            lambda y: self._log_loss(budget, float(y)),
            bounds=around,
            method="bounded",
            options={"xatol": 1e-4},
        )
        y, value = min(
            (float(fine.x), float(fine.fun)),
            (float(grid[place]), values[place]),
            key=lambda pair: pair[1],
        )
        if value > values[0] - ROOM:
            return 0.0, self.start, float(np.exp(values[0]))
        return (
            float(self.tied_time(expit(y))) / budget,
            float(expit(y)) ** 0.5,
            float(np.exp(value)),
        )

    def critical_budget(self) -> float:
        """The budget beyond which some tau beats the equal start, by bisection to 1e-4 relative.

        Between hop 1 untied, where none does, and the tied last hop. That there is one such budget
        is measured, not proved.
        """
        low, high = _equal(self.skills, self.start).hop(1), self.hops(1.0)[-1]
        while high - low > 1e-4 * high:
            middle = (low + high) / 2.0
            values = self._losses(middle)[1]
            if min(values) < values[0] - ROOM:
                high = middle
            else:
                low = middle
        return high
