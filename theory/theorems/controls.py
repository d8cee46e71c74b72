r"""Who gets the credit, the tying or the start? The identity start without sharing, and beyond.

**Theorem (same descent).** Let Phi be normal (symmetric, skew, rotations, ..) and W_l = I. Then
plain descent W_l <- W_l - eta g_l and shared descent W_l <- W_l - (eta / L) sum_i g_i are the same
sequence, for every eta, and so are the two flows, with the same clock (eta per step: the sum's
factor L and the mean's 1 / L cancel). Proof by induction: while all layers equal one W that is a
real polynomial in Phi and Phi^T, W, W^T, Phi and Phi^T commute, so every layer gradient is
    g_l = (W^T)^(L-l) (W^L - Phi) (W^T)^(l-1) = (W^T)^(L-1) (W^L - Phi),
the same for all l: equal to its mean, and again such a polynomial. So under the assumptions of
Theorems 2 and 4 and of Lemma 1 tying contributes nothing: the whole difference from ZAS is the
start's. That the identity start alone learns positive definite targets is Bartlett et al. 2018.

**Converse, flow.** If Phi is not normal and L >= 2, the unshared flow leaves the tied set at once:
    W_l - mean = (t^2 / 2) (l - (L + 1) / 2) [Phi, Phi^T] + O(t^3), [X, Y] = X Y - Y X,
the integral of the difference of gradients in `theory.theorems.alignment.early_misalignment`. So
the two flows from the identity coincide iff Phi is normal or L = 1. From W_l = I + eps G_l they
differ at order eps.

**Converse, descent.** For one step size eta normality is sufficient, not necessary: Phi = I + N
with N^2 = 0 and eta = 1 / L is learnt in one step, W = I + N / L, and nothing moves after it. What
holds: the first step leaves all layers at W = (1 - eta) I + eta Phi, and the second one parts them
iff (W^T)^(L-l-1) [W^T, W^L - Phi] (W^T)^(l-1) != 0 for some l = 1 .. L-1
(`theory.theorems.odd_targets`); for invertible W, or L = 2, iff
    C(eta) = [Phi^T, ((1 - eta) I + eta Phi)^L - Phi] != 0          (`second_step_commutator`).
C is a polynomial in eta of degree <= L with C(0) = [Phi, Phi^T]. So if Phi is not normal and
L >= 2, the two descents part at their second step for every eta > 0 but at most L values at which
C = 0 and, if L >= 3, the at most d values 1 / (1 - lambda) that make W singular. In words: the
descents are the same for all eta in some interval iff Phi is normal or L = 1.

`theory.studies.controls` divides the gain over ZAS of sharing from the mean of the draws
W_l = I + eps G_l into
    log(T_ZAS / T_shared) = log(T_ZAS / T_own) + log(T_own / T_equal) + log(T_equal / T_shared),
"start", "averaging" and "tying": T the time of the flow to one and the same loss, eps times
||Phi||_F^2 / 2; "own" moves every layer on its own from its own draw, "equal" from the mean of
the draws, without tying. A negative part costs.

References: Yang et al., arXiv 2110.03848, Lemma 1, Theorems 1, 2, 4; Bartlett, Helmbold, Long,
"Gradient descent with identity initialization efficiently learns positive definite linear
transformations by deep residual networks", ICML 2018.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import deep_linear, descent, layer_flow
from theory.linear.targets import random_target
from theory.numerics.domain import Array, as_depth, as_square
from theory.theorems import alignment

FAMILIES = ("symmetric", "rotation", "near-symmetric", "triangular")
"""Targets of `draw_target`: the first two are normal, the last two are not."""


def draw_target(rng: np.random.Generator, family: str, d: int) -> Array:
    """A random target (d, d) without negative real eigenvalues: what sharing can represent.

    "symmetric": positive definite, eigenvalues log-uniform in [0.4, 2.5]. "rotation": normal,
    planes turned by up to 2 radians and scaled by [0.5, 2]. "near-symmetric": positive definite
    plus a skew part of Frobenius norm half the symmetric one's. "triangular": diagonal in
    [0.4, 2.5], entries above it N(0, 1/4). ValueError for another family or d < 2.
    """
    if d < 2:
        raise ValueError("d must be >= 2")
    if family == "symmetric":
        return random_target(rng, d, 0.4, 2.5)
    if family == "rotation":
        blocks = np.diag(np.exp(rng.uniform(np.log(0.5), np.log(2.0), d)))
        for k in range(0, d - 1, 2):
            size, angle = blocks[k, k], rng.uniform(0.2, 2.0)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            blocks[k : k + 2, k : k + 2] = size * turn
        basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
        return np.asarray(basis @ blocks @ basis.T)
    if family == "near-symmetric":
        symmetric = random_target(rng, d, 0.4, 2.5)
        skew = rng.normal(size=(d, d))
        skew -= skew.T
        skew *= 0.5 * np.linalg.norm(symmetric) / np.linalg.norm(skew)
        return np.asarray(symmetric + skew)
    if family == "triangular":
        upper = np.triu(rng.normal(size=(d, d)) / 2.0, 1)
        return np.asarray(upper + np.diag(np.exp(rng.uniform(np.log(0.4), np.log(2.5), d))))
    raise ValueError(f"family must be one of {', '.join(FAMILIES)}")


def perturbed_start(rng: np.random.Generator, depth: int, d: int, eps: float) -> Array:
    """W_l = I + eps G_l, entries of G_l N(0, 1/d); (L, d, d). ValueError for eps < 0."""
    if not 0.0 <= eps < np.inf:
        raise ValueError("eps must be >= 0 and finite")
    return descent.identity_start(depth, d) + eps * rng.normal(size=(depth, d, d)) / d**0.5


def tied(weights: ArrayLike) -> Array:
    """Every layer replaced by the mean of the layers; (..., L, d, d) in and out."""
    layers = np.asarray(weights, dtype=np.float64)
    return np.broadcast_to(np.mean(layers, axis=-3, keepdims=True), layers.shape).copy()


def commutator(target: ArrayLike) -> Array:
    """[Phi, Phi^T] = Phi Phi^T - Phi^T Phi, zero iff Phi is normal. ValueError as `as_square`."""
    phi = as_square("target", target)
    return np.asarray(phi @ phi.T - phi.T @ phi)


def second_step_commutator(target: ArrayLike, depth: int, eta: float) -> Array:
    """C(eta) = [Phi^T, ((1 - eta) I + eta Phi)^L - Phi]: where it is not 0, step two parts layers.

    See the module's converse for descent. (d, d); eta > 0; ValueError for a bad target or depth.
    """
    phi, L = as_square("target", target), int(as_depth(depth))
    eye = np.eye(phi.shape[0])
    error = np.linalg.matrix_power((1.0 - eta) * eye + eta * phi, L) - phi
    return np.asarray(phi.T @ error - error @ phi.T)


def early_deviation(target: ArrayLike, depth: int) -> Array:
    """lim (W_l - mean) / t^2 as t -> 0, unshared flow from the identity, any target; (L, d, d).

    (1/2) (l - (L + 1) / 2) [Phi, Phi^T], see the module's converse. ValueError for a bad target.
    """
    place = np.arange(1, depth + 1) - (depth + 1) / 2.0
    return np.asarray(0.5 * place[:, None, None] * commutator(target))


def largest_difference(target: ArrayLike, depth: int, eta: float, steps: int) -> float:
    """Largest |W_shared - W_unshared| over all layers and steps of the two descents from I.

    Step by step on full matrices, nothing of the theorem used. ValueError as `descent.shared`.
    """
    phi = as_square("target", target)
    one = other = descent.identity_start(depth, phi.shape[0])
    worst = 0.0
    for _ in range(steps):
        one, other = (
            descent.shared_step(one, phi, eta),
            descent.unshared_step(other, phi, eta),
        )
        worst = max(worst, float(np.max(np.abs(one - other))))
    return worst


ARMS = {"own": (False, False), "equal": (True, False), "shared": (True, True)}
"""Arm of the comparison: (start averaged over layers, gradients averaged over layers)."""


def times_to_goal(targets: Array, starts: Array, eps: float, last: float) -> dict[str, Array]:
    """Times (B,) of the arms "own", "equal" and "shared" to R = eps ||Phi||_F^2 / 2.

    Infinity where the goal is not reached before `last`. Also "alignment", the least A on the way
    of "own". `targets` (B, d, d), `starts` (B, L, d, d).
    """
    goal = 0.5 * eps * np.sum(targets**2, axis=(1, 2))
    found: dict[str, Array] = {}
    for arm, (averaged, is_tied) in ARMS.items():
        start = tied(starts) if averaged else starts
        for span in (last / 4.0, last):  # after arrival only stability limits the steps: costly
            times = span * np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 250)])
            path = layer_flow.weights_along(times, targets, start, tied=is_tied)
            losses = deep_linear.loss(path, targets)
            found[arm] = layer_flow.first_time(times, losses, goal)
            if np.all(np.isfinite(found[arm])):
                break
        if arm == "own":  # gradients after arrival are rounding
            aligned = alignment.alignment(deep_linear.layer_gradients(path, targets))
            found["alignment"] = np.min(np.where(losses > goal, aligned, 1.0), axis=0)
    return found


def credit(zas: Array, own: Array, equal: Array, shared: Array) -> dict[str, Any]:
    """Means and standard errors of log2 of the quotients, over the runs where all arrived.

    "total" = zas / shared, "start" = zas / own, "averaging" = own / equal, "tying" = equal /
    shared; total = start + averaging + tying. "tying helps", "tying hurts": runs in which the
    shared flow was first, or last, by over 0.1 % against "equal".
    """
    ok = np.isfinite(zas) & np.isfinite(own) & np.isfinite(equal) & np.isfinite(shared)
    zas, own, equal, shared = zas[ok], own[ok], equal[ok], shared[ok]
    out: dict[str, Any] = {
        "n": int(ok.size),
        "arrived": int(np.sum(ok)),
        "tying helps": int(np.sum(equal > 1.001 * shared)),
        "tying hurts": int(np.sum(equal < 0.999 * shared)),
    }
    parts = {
        "total": zas / shared,
        "start": zas / own,
        "averaging": own / equal,
        "tying": equal / shared,
    }
    for name, quotient in parts.items():
        logs = np.log2(quotient)
        out[name] = {
            "mean": float(np.mean(logs)) if logs.size else None,
            "error": float(np.std(logs, ddof=1) / logs.size**0.5) if logs.size > 1 else None,
        }
    return out
