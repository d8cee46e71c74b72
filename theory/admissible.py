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

G = L sigma^2 (1 + 1/W(L sigma^2)) (1 + o(1)): both steps are of order 1/L, so the ratio of L
between the two step sizes in the paper comes from its proofs and not from the algorithms.

`largest_step` measures how far each inequality really reaches. One step is eta units of the flow's
time. Reference: Yang et al., arXiv 2110.03848, Theorems 3 and 4.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory import descent, zas_flow
from theory.domain import Array, as_depth

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

    Proof in the module docstring. `spectrum`: singular values of any real target, here > 0, (n,).
    ValueError naming the argument.
    """
    return 2.0 / float(zas_flow.rate(float(np.max(as_spectrum(spectrum))), depth))


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
    """The paper's own largest eta for "theorem3" or "theorem4", diagonal target."""
    target = np.diag(as_spectrum(spectrum))
    if _check(theorem) == "theorem4":
        return descent.shared_admissible_step(target, depth)
    return descent.zas_admissible_step(target, depth)


def proved_step(theorem: str, spectrum: ArrayLike, depth: int) -> float:
    """`shared_step` for "theorem4", `zas_step` for "theorem3"."""
    return (shared_step if _check(theorem) == "theorem4" else zas_step)(spectrum, depth)


def largest_step(theorem: str, spectrum: ArrayLike, depth: int, steps: int = 800) -> float:
    """The largest eta such that the theorem's inequality holds at every step for all smaller eta.

    Measured: from the proved step upwards in a grid of 2 %, then 0.02 % inside the first cell that
    fails; every run `steps` long or down to rounding, all eta at once (exact scalar reduction).
    Above, the rest is known: there the inequality is proved. A run that is near its end is decided
    by linearisation: with sharing |1 - eta L phi^p| must stay below the bound's rate. `spectrum`:
    eigenvalues > 0, (n,); L >= 2 (THM4 is empty for L = 1). ValueError otherwise.
    """
    phi, L = as_spectrum(spectrum), int(as_depth(depth))
    if L < 2:
        raise ValueError("depth must be >= 2")
    low = proved_step(theorem, phi, L)
    high = np.inf
    # 1.02^400 is 2750: beyond lmin^-2, where every step is unstable, unless lmin < 0.02.
    for ratio, count in ((1.02, 400), (1.0002, 102)):
        etas = low * ratio ** np.arange(1, count + 1)
        etas = etas[etas < high]
        kept = _keeps(theorem, phi, L, etas, steps)
        if np.all(kept):
            low = float(etas[-1]) if etas.size else low
            continue
        first = int(np.argmin(kept))
        low, high = float(etas[first - 1]) if first else low, float(etas[first])
    return low


def as_spectrum(spectrum: ArrayLike) -> Array:
    """Eigenvalues as float64 (n,); ValueError unless one or more, > 0 and finite."""
    value = np.atleast_1d(np.asarray(spectrum, dtype=np.float64))
    if value.ndim != 1 or not value.size or not np.all((value > 0.0) & np.isfinite(value)):
        raise ValueError("spectrum must hold one or more eigenvalues > 0 and finite")
    return value


def _keeps(theorem: str, phi: Array, depth: int, etas: Array, steps: int) -> np.ndarray:
    """Whether the theorem's inequality holds along the whole run, for each eta; bool (etas,)."""
    L, eta = float(depth), etas[:, None]
    a, b = np.ones((etas.size, phi.size)), np.zeros((etas.size, phi.size))
    if theorem == "theorem4":
        least = min(1.0, float(np.min(phi)))
        per_step = -(2.0 * L - 2.0) * least**2 * etas
        late = np.abs(1.0 - eta * L * phi ** (2.0 - 2.0 / L))
        late = np.where(phi == 1.0, 0.0, late)  # starts at its target and stays
        kept = np.asarray(2.0 * np.log(np.max(late, axis=1)) <= per_step)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            per_step = np.log1p(-np.minimum(etas, 2.0) / 2.0)
        kept = etas < 2.0
    start = 0.0
    # Divergent runs overflow on their way to "not kept", as they should.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step in range(steps + 1):
            power = a ** (depth - 2)
            s = a * power * (a if theorem == "theorem4" else b)
            loss = np.sum((s - phi) ** 2, axis=1)
            if step == 0:
                start = float(loss[0])
            ratio = loss / start
            kept &= (ratio < FLOOR) | (np.log(ratio) <= per_step * step + ROOM)
            if not np.any(kept):
                break
            pull = eta * (s - phi) * power
            if theorem == "theorem4":
                a = a - pull * a
            else:
                a, b = a - pull * b, b - pull * a
    return kept


def _check(theorem: str) -> str:
    if theorem not in THEOREMS:
        raise ValueError(f"theorem must be one of {', '.join(THEOREMS)}")
    return theorem
