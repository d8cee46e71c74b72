r"""Steps to R = eps R(0), counted: at each theorem's step size, at the proved one, at the best one.

The paper turns its bounds into O(L^3 log 1/eps) steps from the ZAS start (THM3) and O(L log 1/eps)
with sharing (THM4), hence "L^2 times" (ACC). What the algorithms do, in the exact scalar reduction
of `theory.linear.descent`, and what the flow says about it (times of `theory.theorems.speedup`):

* At the theorems' steps descent follows the flow, steps = T / eta: L^-1 / L^-2 = L with sharing, as
  the paper says, and L^(-1/2) / L^-3 = L^(5/2) from ZAS, less than its L^3; quotient L^(3/2).
* With the steps of `theory.theorems.admissible`, both of order 1/L: a number that does not grow
  with L with sharing, about sqrt(L) from ZAS; quotient sqrt(L).
* At eta = 1, ZAS descent is at ANY target after ONE step: W_L = 0 makes every other gradient zero
  and the first step W_L = eta Phi. No L enters, and no tying can be faster. It is luck of a
  noiseless problem: 1 % off, and for large L the end is unstable. `best_steps` therefore asks by
  default for a step size that need not be known better than to 1 %.
* From the identity without sharing (symmetric target) all layer gradients are equal, so the mean
  rule is the plain one: "identity" counts the very steps of "shared", which a test confirms on
  full matrices. The start, not the tying, earns whatever is gained here.

One step is eta units of the flow's time. Reference: Yang et al., arXiv 2110.03848.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import descent
from theory.numerics.domain import Array, as_depth
from theory.theorems import admissible
from theory.theorems.admissible import as_spectrum
from theory.theorems.speedup import spectrum_time

METHODS = ("shared", "zas", "identity")

GRID = 1.01
"""Neighbouring step sizes tried: one per cent apart, so that neighbours are the 1 % of `robust`."""


class Count(NamedTuple):
    """Steps to eps, the step size, and whether they were counted ("descent") or are T / eta."""

    steps: float
    eta: float
    route: str


def steps_to(
    method: str, spectrum: ArrayLike, depth: int, eta: ArrayLike, eps: float, most: int
) -> Array:
    """The first step from which R <= eps R(0) up to step `most`; infinity where there is none.

    R(k) of the scalar recursions of Lemma 1 ("shared", and "identity", which is the same run) and
    of the ZAS start ("zas"); `spectrum` (n,), `eta` (m,), result (m,). ValueError naming the
    argument.
    """
    phi, L, etas = as_spectrum(spectrum), int(as_depth(depth)), np.atleast_1d(eta)
    tied = _is_tied(method)
    if not np.all((etas > 0.0) & np.isfinite(etas)):
        raise ValueError("eta must be > 0 and finite")
    if not 0.0 < eps < 1.0:
        raise ValueError("eps must lie in (0, 1)")
    rate = etas[:, None]
    a = np.ones((etas.size, phi.size))
    b = a if tied else np.zeros_like(a)
    last = np.full(etas.size, -1)
    goal = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # a divergent run ends as "above"
        for step in range(most + 1):
            # L = 1 has b alone; a stays 1 because its pull is switched off below.
            inner = a ** (L - 2) if L > 1 else np.ones_like(a)
            power = a ** (L - 1)
            residual = power * (a if tied else b) - phi
            loss = np.sum(residual**2, axis=1)
            if step == 0:
                goal = eps * float(loss[0])
            last[~(loss <= goal)] = step
            if tied:
                a = a - rate * power * residual
            else:
                pull = rate * inner * b * residual if L > 1 else 0.0
                a, b = a - pull, b - rate * power * residual
    return np.where(last < most, last + 1.0, np.inf)


def count_steps(
    method: str, spectrum: ArrayLike, depth: int, eps: float, eta: float, cap: int = 20_000
) -> Count:
    """Steps to eps at one given step size: counted up to about `cap` steps, else T / eta.

    T is the exact flow time; the two differ by O(eta x rate), of the order of one over the number
    of steps when eta is far below the limit of stability, which is the only case with that many.
    """
    flow = "shared" if _is_tied(method) else "zas"
    expected = spectrum_time(flow, spectrum, depth, eps) / eta
    if expected > cap:
        return Count(expected, eta, "flow")
    most = int(1.5 * expected) + 200
    return Count(float(steps_to(method, spectrum, depth, eta, eps, most)[0]), eta, "descent")


def theorem_steps(
    method: str, spectrum: ArrayLike, depth: int, eps: float, cap: int = 20_000
) -> Count:
    """Steps to eps at the theorem's own largest eta: THM4 with sharing, THM3 from ZAS.

    The paper has no theorem on "identity", for which this is a ValueError. `spectrum` (n,), > 0.
    """
    if method == "identity":
        raise ValueError("method must be shared or zas: no theorem covers identity")
    theorem = "theorem4" if _is_tied(method) else "theorem3"
    eta = admissible.theorem_step(theorem, spectrum, depth)
    return count_steps(method, spectrum, depth, eps, eta, cap)


def proved_steps(
    method: str, spectrum: ArrayLike, depth: int, eps: float, cap: int = 20_000
) -> Count:
    """Steps to eps at the steps proved in `theory.theorems.admissible`; "identity" as "shared"."""
    theorem = "theorem4" if _is_tied(method) else "theorem3"
    eta = admissible.proved_step(theorem, spectrum, depth)
    return count_steps(method, spectrum, depth, eps, eta, cap)


def best_steps(
    method: str, spectrum: ArrayLike, depth: int, eps: float, robust: bool = True
) -> Count:
    """Fewest steps to eps (and staying there) at a constant eta, searched on a 1 % grid.

    From 1/2 to 20 times the proved step, beyond which no run converged in any case measured.
    `robust`: an eta counts by the worst of itself and its two neighbours on the grid. Without it
    the luckiest eta wins, and eta = 1 is tried too, which for ZAS gives one step for any target.
    Runs go on to three times the steps at the proved eta. ValueError as for `steps_to`.
    """
    start = proved_steps(method, spectrum, depth, eps, cap=200_000)
    etas = start.eta * GRID ** np.arange(-70, 302)
    most = int(3 * start.steps) + 10
    counts = steps_to(method, spectrum, depth, etas, eps, most)
    if robust:
        counts = np.maximum(np.maximum(counts[:-2], counts[1:-1]), counts[2:])
        etas = etas[1:-1]
    else:
        etas = np.append(etas, 1.0)
        counts = np.append(counts, steps_to(method, spectrum, depth, 1.0, eps, most))
    best = int(np.argmin(counts))
    return Count(float(counts[best]), float(etas[best]), "descent")


def matrix_steps(
    method: str, target: ArrayLike, depth: int, eps: float, eta: float, most: int
) -> float:
    """`steps_to` on full matrices with every layer's own gradient: the slow, independent route.

    `target` (d, d), symmetric for "shared" and "identity". Infinity when R stays above.
    """
    matrix = np.asarray(target, dtype=np.float64)
    _is_tied(method)  # refuses an unknown one
    if method == "zas":
        losses = descent.zas(matrix, depth, eta, most).losses
    else:
        rule = descent.shared if method == "shared" else descent.unshared
        start = descent.identity_start(depth, matrix.shape[0])
        losses = rule(matrix, start, eta, most).losses
    above = np.flatnonzero(~(losses <= eps * losses[0]))
    last = int(above[-1]) if above.size else -1
    return float(last + 1) if last < most else float("inf")


def _is_tied(method: str) -> bool:
    """Whether the run is that of the tied layers, "identity" included."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}")
    return method != "zas"
