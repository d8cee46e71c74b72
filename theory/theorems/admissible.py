r"""How long a step may really be: Theorems 3 and 4 hold with steps of order 1/L.

The paper allows eta ~ 1/L^2 with sharing (THM4) and eta ~ 1/L^3 from the ZAS start (THM3), and
reads numbers of steps from that. Both can be sharpened; what follows are proofs, not conjectures.
Write p = 2 - 2/L, m = min(1, lmin), M = max(1, lmax).

**Sharing (`shared_step`).** For eta <= 1 / (L M^p),

    R_k <= (1 - eta L m^p)^(2k) R_0 <= exp(-2 L m^p eta k) R_0,

which implies THM4's inequality, as L m^p >= (L - 1) min(lmin^2, 1). Proof, per eigenvalue phi with
v = phi^(1/L): Lemma 1 reads w+ - v = (w - v) (1 - eta w^(L-1) Q(w)), Q(w) = sum_j w^j v^(L-1-j) =
(w^L - v^L) / (w - v). While w lies between 1 and v, w^(L-1) Q(w) is at most L max(1, v)^(2L-2) =
L max(1, phi)^p, so w never passes v and moves monotonically towards it. (i) phi < 1: w^(L-1) Q(w)
is at least L v^(2L-2) = L phi^p, and Q falls with w, so s - phi = (w - v) Q(w) shrinks by at least
1 - eta L phi^p. (ii) phi > 1: by Bernoulli s+ = s (1 + eta s^(1-2/L) (phi - s))^L >= s +
eta L s^p (phi - s), and s >= 1, so phi - s shrinks by at least 1 - eta L. No dimension enters,
nor any power of lmin; the step is L M^(4-p) sqrt(d) / m^2 times 4 as long as THM4's.

**ZAS (`zas_step`).** Let G(sigma) = a^(2L-4) (a^2 + (L-1) b^2) at a^(L-1) b = sigma, a^2 - b^2 = 1:
the squared gradient of s(a, b) = a^(L-1) b at the end of the flow. For eta <= 1 / G(smax),

    R_k <= (1 - eta)^(2k) R_0 <= (1 - eta/2)^k R_0, which is THM3.

Proof, per singular value sigma > 0, residual rho = sigma - s, L >= 2: one step moves (a, b) by
eta rho grad s. As long as rho >= 0, a >= 1 and b >= 0 do not decrease, and D = a^2 - b^2 turns into
D (1 - (eta rho a^(L-2))^2). On the set {a >= 1, b >= 0, 0 <= D <= 1, s <= sigma}, |grad s|^2 =
a^(2L-2) + (L-1) s^2 / a^2 increases with a at fixed s (as a >= b) and with s along D = 1, so it is
at most G, its value at the corner D = 1, s = sigma; and G >= 2 sqrt(L-1) sigma a^(L-2) >=
sigma a^(L-2) keeps D within [0, 1]. Along the step grad s has non-decreasing coordinates, hence
ds/dtau <= rho |grad s|^2 <= rho G: s does not pass sigma before tau = 1/G. And s, a polynomial
with positive coefficients, grows by at least eta rho |grad s|^2 >= eta rho. Any real target by
its singular values; sigma = 0 stays 0. For L = 1 the step is linear regression and G = 1.

THM3's own step is always shorter, so the theorem follows in all its cases. With B = b^2,
G = (1 + B)^(L-2) (1 + L B) and B (1 + B)^(L-1) = smax^2. If B < 1/L: (1 + B)^(L-1) < e and
(1 + L B) / (1 + B) < 2, so G < 2 e. Else (1 + B)^(L-1) = smax^2 / B <= L smax^2 and
(1 + L B) / (1 + B) <= L, so G <= L^2 smax^2. The paper's xi = max(2 ||Phi||_F, 3 / sqrt(L), 1) is
at least 1 and at least 2 smax: G <= max(2 e, L^2 xi^2 / 4) < 144 L^2 xi^4 <= 1 / eta. And
(1 - eta)^2 <= 1 - eta / 2 for eta <= 3/2.

Measured (`largest_step`), each proof is within a factor of about 2 of what is true, 2 being the
limit of stability at the end of the run, unless lmax < 1.

G = L sigma^2 (1 + 1/W(L sigma^2)) (1 + o(1)): both steps are of order 1/L, so the ratio of L
between the two step sizes in the paper comes from its proofs and not from the algorithms.

`largest_step` measures how far each inequality really reaches. One step is eta units of the flow's
time. Reference: Yang et al., arXiv 2110.03848, Theorems 3 and 4.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import descent, zas_flow
from theory.numerics.domain import Array, as_depth

THEOREMS = ("theorem3", "theorem4")

FLOOR = 1e-22
"""Loss ratios below this count as kept: rounding of s, some 1e-13 of the target, squared."""

ROOM = 1e-9
"""Room when logarithms of losses are compared: a thousand steps round to some 1e-13 each."""


def shared_step(spectrum: ArrayLike, depth: int) -> float:
    """1 / (L max(1, lmax)^(2 - 2/L)): THM4 holds up to this step (proof in the module docstring).

    `spectrum`: eigenvalues > 0 of the target, (n,). ValueError naming the argument.
    """
    phi, L = as_spectrum(spectrum), float(as_depth(depth))
    return float(1.0 / (L * max(1.0, float(np.max(phi))) ** (2.0 - 2.0 / L)))


def zas_step(spectrum: ArrayLike, depth: int) -> float:
    """1 / G(smax), G half the final rate -R'/R of the ZAS flow: THM3 holds up to this step.

    Proof in the module docstring. `spectrum`: singular values of any real target, zeros among
    them or not, (n,). ValueError naming the argument.
    """
    return 2.0 / float(zas_flow.rate(float(np.max(as_spectrum(spectrum, zero=True))), depth))


def shared_bound(steps: ArrayLike, eta: float, spectrum: ArrayLike, depth: int) -> Array:
    """(1 - eta L min(1, lmin)^(2 - 2/L))^(2k), the sharper THM4; eta at most `shared_step`."""
    phi, L = as_spectrum(spectrum), float(as_depth(depth))
    if not 0.0 < eta <= shared_step(phi, depth) * (1.0 + 1e-12):  # rounding of its own formula
        raise ValueError("eta must lie in (0, shared_step]")
    shrink = 1.0 - eta * L * min(1.0, float(np.min(phi))) ** (2.0 - 2.0 / L)
    return np.asarray(max(shrink, 0.0) ** (2.0 * np.asarray(steps, dtype=np.float64)))


def zas_bound(steps: ArrayLike, eta: float) -> Array:
    """(1 - eta)^(2k), the sharper THM3; assumes eta at most `zas_step`. ValueError for eta > 1."""
    if not 0.0 < eta <= 1.0:
        raise ValueError("eta must lie in (0, 1]")
    return np.asarray((1.0 - eta) ** (2.0 * np.asarray(steps, dtype=np.float64)))


def theorem_step(theorem: str, spectrum: ArrayLike, depth: int) -> float:
    """The paper's own largest eta for "theorem3" or "theorem4", diagonal target.

    ValueError naming the argument, also where that step is below the smallest float.
    """
    target = np.diag(as_spectrum(spectrum, zero=theorem == "theorem3"))
    if _check(theorem) == "theorem4":
        return descent.shared_admissible_step(target, depth)
    return descent.zas_admissible_step(target, depth)


def proved_step(theorem: str, spectrum: ArrayLike, depth: int) -> float:
    """`shared_step` for "theorem4", `zas_step` for "theorem3"."""
    return (shared_step if _check(theorem) == "theorem4" else zas_step)(spectrum, depth)


def largest_step(theorem: str, spectrum: ArrayLike, depth: int) -> float:
    """The largest eta such that the theorem's inequality holds at every step for all smaller eta.

    Measured: from the proved step upwards in a grid of 2 %, then 0.25 % inside the first cell that
    fails; up to the proved step the inequality is proved. Every run goes on until R is rounding
    or the inequality fails (exact scalar reduction, all eta at once): ZAS runs beyond the limit of
    stability wander along the valley of minima for about 1/eta steps before either happens, and a
    run cut off early would look better than it is. With sharing the end of a run is decided by
    linearisation, |1 - eta L phi^p| against the bound's rate. `spectrum`: eigenvalues > 0, (n,);
    L >= 2 (THM4 is empty for L = 1). ValueError otherwise.
    """
    phi, L = as_spectrum(spectrum), int(as_depth(depth))
    if L < 2:
        raise ValueError("depth must be >= 2")
    low = proved_step(theorem, phi, L)
    # 1.02^400 is 2750: beyond lmin^-2, where every step is unstable, unless lmin < 0.02.
    for ratio, count in ((1.02, 400), (1.0025, 8)):
        etas: Array = low * np.power(ratio, np.arange(1.0, count + 1.0))
        first = _first_failure(theorem, phi, L, etas)
        low = low if first == 0 else float(etas[first - 1])
    return low


def rounding_room(losses: ArrayLike, spectrum: ArrayLike, depth: int) -> Array:
    """Room for log R of a float64 run: ROOM, and more as R falls towards rounding.

    One rounding of a layer moves s = w^L by L x 2e-16 x phi, so log R by twice that over |s - phi|;
    four such roundings are allowed. `losses` = R (n,), result (n,).
    """
    phi = as_spectrum(spectrum)
    moved = 4.0 * (depth + 1.0) * 2.2e-16 * max(1.0, float(np.max(phi))) * phi.size**0.5
    return np.asarray(ROOM + 2.0 * moved / np.sqrt(2.0 * np.asarray(losses)))


def as_spectrum(spectrum: ArrayLike, zero: bool = False) -> Array:
    """Eigenvalues as float64 (n,); ValueError unless one or more, > 0 (or `zero`) and finite."""
    value = np.atleast_1d(np.asarray(spectrum, dtype=np.float64))
    least = value >= 0.0 if zero else value > 0.0
    if value.ndim != 1 or not value.size or not np.all(least & np.isfinite(value)):
        sign = ">=" if zero else ">"
        raise ValueError(f"spectrum must hold one or more eigenvalues {sign} 0 and finite")
    return value


def _first_failure(theorem: str, phi: Array, depth: int, etas: Array) -> int:
    """Index of the least of the increasing `etas` at which the inequality fails, or their number.

    A shrinking set of runs: those above a failure do not matter, those at rounding have kept it.
    """
    tied, L = _check(theorem) == "theorem4", float(depth)
    if tied:
        least = min(1.0, float(np.min(phi)))
        per_step = -(2.0 * L - 2.0) * least**2 * etas
        late = np.abs(1.0 - etas[:, None] * L * phi ** (2.0 - 2.0 / L))
        late = np.where(phi == 1.0, 0.0, late)  # starts at its target and stays
        with np.errstate(divide="ignore"):
            fails = 2.0 * np.log(np.max(late, axis=1)) > per_step
        most = 2000  # the transient; what follows is linear
    else:
        fails = etas >= 2.0
        per_step = np.log1p(-np.minimum(etas, 1.999) / 2.0)
        most = int(200.0 / etas[0])  # the bound is at rounding after 100 / eta
    first = int(np.argmax(fails)) if np.any(fails) else etas.size
    live = np.arange(first)
    a = np.ones((first, phi.size))
    b = a.copy() if tied else np.zeros_like(a)
    start = float(np.sum((b[:1] - phi) ** 2)) if first else 0.0
    # Divergent runs overflow on their way to "fails", as they should.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step in range(most + 1):
            if not live.size:
                break
            power = a ** (depth - 2)
            residual = power * a * b - phi
            ratio = np.sum(residual**2, axis=1) / start
            kept = (ratio < FLOOR) | (np.log(ratio) <= per_step[live] * step + ROOM)
            if not np.all(kept):
                first = int(live[int(np.argmin(kept))])
            stay = (live < first) & (ratio >= FLOOR)
            pull = etas[live, None] * residual * power
            a, b = (a - pull * a, b - pull * a) if tied else (a - pull * b, b - pull * a)
            if not np.all(stay):
                live, a, b = live[stay], a[stay], b[stay]
    return first


def _check(theorem: str) -> str:
    if theorem not in THEOREMS:
        raise ValueError(f"theorem must be one of {', '.join(THEOREMS)}")
    return theorem
