r"""The common component, and when unsharing certainly finishes what sharing began.

**The split.** w_l = w_0 / sqrt(L) + u_l with sum_l u_l = 0 is an orthonormal change of
coordinates, w_0 = sum_l w_l / sqrt(L), so sum_l ||w_l||^2 = ||w_0||^2 + sum_l ||u_l||^2. By the
chain rule dR/dw_0 = sum_l g_l / sqrt(L): one step of plain descent on w_0 alone moves every layer
by -(eta / L) sum_i g_i, exactly the paper's mean rule (for one tied tensor, dR/dw = sum_i g_i, it
is eta / L in place of eta). Sharing learns w_0, unsharing frees u.

**Theorem (stage two).** Let all layers equal W at the time of unsharing, c > 0 the least and K the
largest singular value of W, R_0 the loss there, any target Phi. If for some 0 < r < c

    (i)  sqrt(2 R_0) < r sqrt(L) (c - r)^(L-1),   or
    (ii) sqrt(2 R_0) < r L (c - r)^(2(L-1)) / (K + r)^(L-1),

then the unshared flow W_l' = -g_l stays within ||W_l - W||_F < r for ever, and

    R(t) <= R_0 exp(-2 L (c - r)^(2(L-1)) t) -> 0.

Proof. ||A E B||_F >= s_min(A) ||E||_F s_min(B), so ||g_l||^2 >= prod_{i != l} s_min(W_i)^2 2 R and
R' = -sum_l ||g_l||^2 <= -2 mu R, mu = L (c - r)^(2(L-1)), while every layer is within r of W
(singular values move by no more than the layer does). As long as that lasts, with
G^2 = sum_l ||g_l||^2 >= 2 mu R: (sqrt R)' = -G^2 / (2 sqrt R) <= -G sqrt(mu / 2), so the whole path
has length int G dt <= sqrt(2 R_0 / mu), and no layer moves further: less than r under (i). Or
||g_l|| <= (K + r)^(L-1) sqrt(2 R), whose integral is at most (K + r)^(L-1) sqrt(2 R_0) / mu: less
than r under (ii). So r is never reached, by continuity. []

With r = c / L, (1 - 1/L)^(L-1) >= 1/e: it is enough that
    ||W^L - Phi||_F < c^L / (e sqrt(L)),  and then R(t) <= R_0 exp(-2 e^-2 L c^(2(L-1)) t);
(ii) replaces 1 / sqrt(L) by about e^-3 (c / K)^(L-1). The rate keeps the factor L of sharing.
Taking r -> 0 at t = 0: R'(0) <= -2 L c^(2(L-1)) R_0, an equality in one dimension.

**SWE time.** If sharing meets the condition at tau, SWE reaches eps R(0) by
    T = tau + log(R(tau) / (eps R(0))) / (2 L (c - r)^(2(L-1))),
on targets that no tied network represents, where sharing alone never ends. tau is read off the
run: the condition is a certificate that can be tested at any step. It is a local theorem: it
needs ||W^L - Phi||_F < s_min(W)^L, so det Phi has the sign of det W^L, and a negative eigenvalue
met from the identity (`theory.odd_targets`) never qualifies.

Reference: Yang et al., arXiv 2110.03848, Algorithm 1; its first version names targets that deviate
from sharing as open.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import block_diag

from theory import controls, deep_linear, descent, layer_flow, zas_flow
from theory.domain import Array, as_depth, as_finite
from theory.study import check_scale, time_to_ratio


def split(weights: ArrayLike) -> tuple[Array, Array]:
    """(w_0, u) of weights (..., L, d, d): w_0 = sum_l w_l / sqrt(L), u_l = w_l - w_0 / sqrt(L).

    Shapes (..., d, d) and (..., L, d, d). ValueError for a bad shape or entry.
    """
    layers = as_finite("weights", weights)
    if layers.ndim < 3 or layers.shape[-3] < 1:
        raise ValueError("weights must have shape (..., L, d, d) with L >= 1")
    root = layers.shape[-3] ** 0.5
    common = np.sum(layers, axis=-3) / root
    return common, layers - common[..., None, :, :] / root


def join(common: ArrayLike, apart: ArrayLike) -> Array:
    """Weights (..., L, d, d) from the two parts of `split`."""
    own = as_finite("apart", apart)
    return np.asarray(as_finite("common", common)[..., None, :, :] / own.shape[-3] ** 0.5 + own)


def energies(weights: ArrayLike) -> tuple[Array, Array]:
    """(||w_0||^2, sum_l ||u_l||^2); shapes (...). They add up to sum_l ||w_l||^2."""
    common, apart = split(weights)
    return np.sum(common**2, axis=(-2, -1)), np.sum(apart**2, axis=(-3, -2, -1))


def common_step(weights: ArrayLike, target: ArrayLike, eta: float) -> Array:
    """One step of plain descent on w_0 alone, u fixed: w_0 <- w_0 - eta dR/dw_0; (L, d, d)."""
    common, apart = split(weights)
    slope = np.sum(deep_linear.layer_gradients(weights, target), axis=-3)
    return join(common - eta * slope / apart.shape[-3] ** 0.5, apart)


class Certificate(NamedTuple):
    """What stage two guarantees: layers stay within `radius`, R falls at `rate` or faster.

    Both NaN where the theorem's condition fails.
    """

    radius: float
    rate: float

    @property
    def holds(self) -> bool:
        """Whether the condition is met."""
        return bool(np.isfinite(self.rate))


def certificate(least: float, largest: float, loss: float, depth: int) -> Certificate:
    """The theorem of stage two at a tied point: the least radius r, hence the best rate.

    `least` = c, `largest` = K: singular values of the layer, 0 <= c <= K; `loss` = R_0 >= 0;
    `depth` = L. rate = 2 L (c - r)^(2(L-1)) per unit of flow time. ValueError naming the argument
    outside this domain.
    """
    L = int(as_depth(depth))
    if not 0.0 <= least <= largest < np.inf:
        raise ValueError("least must lie in [0, largest], largest finite")
    if not 0.0 <= loss < np.inf:
        raise ValueError("loss must be >= 0 and finite")
    size = (2.0 * loss) ** 0.5

    def room(radius: float) -> float:
        """The larger right-hand side of (i) and (ii)."""
        inner = (least - radius) ** (L - 1)
        first = radius * L**0.5 * inner
        return max(first, radius * L * inner**2 / (largest + radius) ** (L - 1))

    if loss == 0.0 and least > 0.0:
        return Certificate(0.0, 2.0 * L * least ** (2.0 * (L - 1)))
    # (i) rises up to r = c / L, (ii) up to less than that: the first radius that suffices lies
    # below c / L, or none does.
    grid = np.linspace(0.0, least / L, 400)
    enough = np.array([room(float(r)) > size for r in grid])
    if not np.any(enough):
        return Certificate(np.nan, np.nan)
    high = float(grid[int(np.argmax(enough))])
    low = float(grid[int(np.argmax(enough)) - 1])
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if room(middle) > size else (middle, high)
    return Certificate(high, 2.0 * L * (least - high) ** (2.0 * (L - 1)))


def certify(weights: ArrayLike, target: ArrayLike) -> Certificate:
    """`certificate` of tied weights (L, d, d), all equal, and a target (d, d)."""
    layers = as_finite("weights", weights)
    values = np.linalg.svd(layers[0], compute_uv=False)
    lost = float(deep_linear.loss(layers, target))
    return certificate(float(values[-1]), float(values[0]), lost, layers.shape[0])


def basin(least: float, depth: int) -> float:
    """c^L / (e sqrt(L)): a smaller ||W^L - Phi||_F is always certified.

    ValueError for least < 0 or a bad depth.
    """
    L = int(as_depth(depth))
    if not 0.0 <= least < np.inf:
        raise ValueError("least must be >= 0 and finite")
    return least**L / (np.e * L**0.5)


def split_target(gap: float, d: int) -> Array:
    """A target beyond tied networks of even depth: diag(-1 - gap, -1 + gap, 1.5, ..), (d, d).

    A negative eigenvalue of a real W^L, L even, belongs to a pair w, conj(w) that is not real, so
    negative eigenvalues come in equal pairs, here they do not. For d = 2 every tied network of even
    depth has R >= min(gap, 1 - gap)^2 / 2: W^L has equal or complex eigenvalues, that is the form
    m I + [[h, p - k], [p + k, -h]] with k^2 >= h^2 + p^2, at squared distance
    >= 2 (gap - h)^2 + 2 h^2 >= gap^2, or an eigenvalue >= 0 with unit eigenvector v, and
    ||W^L - Phi|| >= v^T (W^L - Phi) v >= 1 - gap. ValueError outside 0 < gap < 1 or d < 2.
    """
    if not 0.0 < gap < 1.0:
        raise ValueError("gap must lie in (0, 1)")
    if d < 2:
        raise ValueError("d must be >= 2")
    return np.diag(np.concatenate([[-1.0 - gap, -1.0 + gap], np.full(d - 2, 1.5)]))


def rotation(angle: float) -> Array:
    """The turn of the plane by `angle`; (2, 2)."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def rotated_start(depth: int, d: int) -> Array:
    """Tied layers (L, d, d) whose product turns the first plane by a right angle, else identity.

    From the identity the plane of `split_target` shrinks to zero and stays there (both flows, the
    target being symmetric); from here its tied path goes round zero.
    """
    layer = block_diag(rotation(np.pi / 2.0 / depth), np.eye(d - 2))
    return np.tile(layer, (depth, 1, 1))


def beyond_sharing(depth: int, gap: float, d: int, eps: float) -> dict[str, Any]:
    """SWE, its certificate, sharing, no sharing and ZAS on `split_target`: times to eps R(0).

    tau is the first recorded time at which the tied weights are certified. R(0) is the rotated
    tied start's loss, and eps R(0) the goal of every arm; None where it is not reached. `depth`
    must be even.
    """
    target, start = split_target(gap, d), rotated_start(depth, d)
    times = (60.0 / depth) * np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 400)])

    def run(weights: Array, tied: bool) -> tuple[Array, Array]:
        path = layer_flow.weights_along(times, target[None], weights[None], tied)[:, 0]
        return path, deep_linear.loss(path, target)

    def arrival(losses: Array) -> float | None:
        found = float(layer_flow.first_time(times, losses[:, None], np.array([goal]))[0])
        return found if np.isfinite(found) else None

    shared_path, shared = run(start, True)
    goal = eps * float(shared[0])
    marks = [certify(weights, target) for weights in shared_path]
    at = next((k for k, mark in enumerate(marks) if mark.holds), None)
    out: dict[str, Any] = {"depth": depth, "gap": gap, "tau": None, "time": times.tolist()}
    if at is not None:
        path, losses = run(shared_path[at], False)
        tau, mark = float(times[at]), marks[at]
        second = arrival(losses)
        # Up to a loss of 1e-8 R_0: what follows is the integrator's error.
        late = np.minimum.accumulate(losses > 1e-8 * losses[0]) & (times > 0.0)
        out |= {
            "tau": tau,
            "radius": mark.radius,
            "rate": mark.rate,
            "moved": float(np.max(np.linalg.norm(path - path[0], axis=(-2, -1)))),
            "least_true_rate": float(np.min(-np.log(losses[late] / losses[0]) / times[late])),
            "certified_time": tau + max(0.0, float(np.log(losses[0] / goal))) / mark.rate,
            "swe": None if second is None else tau + second,
            "swe_time": (tau + times).tolist(),
            "swe_loss": (losses / shared[0]).tolist(),
        }
    own = run(start, False)[1]
    plain = run(descent.identity_start(depth, d), False)[1]
    zas_goal = goal / float(zas_flow.loss(0.0, target, depth))
    zas = zas_flow.loss(times, target, depth)
    return out | {
        "goal": eps,
        "shared": arrival(shared),
        "equal start": arrival(own),
        "identity": arrival(plain),
        "zas": time_to_ratio(lambda t: float(zas_flow.loss(t, target, depth)), zas_goal),
        "shared_floor": float(np.min(shared)),
        "floor_bound": 0.5 * min(gap, 1.0 - gap) ** 2,
        "losses": {
            "shared": (shared / shared[0]).tolist(),
            "equal start": (own / shared[0]).tolist(),
            "zas": (zas / shared[0]).tolist(),
        },
    }


def energy_curves(seed: int, depth: int, count: int) -> list[dict[str, Any]]:
    """Part of sum_l ||w_l - start||^2 that lies in u, along the flows; mean over `count` targets.

    Movement and not weights, for the identity is common to all. Per family and flow, the part
    when R has fallen to `level` R(0); a perturbed start is counted from the identity.
    """
    rng = np.random.default_rng([seed, 110])
    levels = np.array([0.5, 1e-1, 1e-2, 1e-4])
    rows = []
    for family in controls.FAMILIES:
        targets = np.stack([controls.draw_target(rng, family, 4) for _ in range(count)])
        exact = np.stack([descent.identity_start(depth, 4)] * count)
        kicked = np.stack([controls.perturbed_start(rng, depth, 4, 0.1) for _ in range(count)])
        zas = np.stack([descent.zas_start(depth, 4)] * count)
        for flow, start, origin, tied in (
            ("shared", exact, exact, True),
            ("identity", exact, exact, False),
            ("perturbed", kicked, exact, False),
            ("zas", zas, zas, False),
        ):
            times = (60.0 / depth if flow != "zas" else 12.0) * np.geomspace(1e-4, 1.0, 200)
            path = layer_flow.weights_along(times, targets, start, tied)
            losses = deep_linear.loss(path, targets) / deep_linear.loss(start, targets)
            common, apart = energies(path - origin)
            part = apart / (common + apart)
            at = np.argmax(losses[:, None, :] <= levels[None, :, None], axis=0)
            found = np.take_along_axis(part, at, axis=0)  # (levels, B)
            rows.append(
                {
                    "family": family,
                    "flow": flow,
                    "levels": levels.tolist(),
                    "apart": np.mean(found, axis=1).tolist(),
                    "reached": bool(np.all(losses[-1] <= levels[-1])),
                }
            )
    return rows


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """SWE on a target beyond sharing, with its certificate; and where the movement goes.

    "beyond": one `beyond_sharing` per depth; "energy": `energy_curves`.
    """
    size = check_scale(scale)
    depths = [[4, 8], [4, 8, 16, 32, 64], [4, 8, 16, 32, 64, 128]][size]
    gap, eps, d = 0.04, 1e-6, 3
    beyond = [beyond_sharing(depth, gap, d, eps) for depth in depths]
    energy = energy_curves(seed, 8, [3, 8, 32][size])
    keys = ("tau", "certified_time", "swe", "equal start", "zas", "shared", "identity")
    return {
        "figure": "common_component",
        "seed": seed,
        "scale": scale,
        "depths": depths,
        "beyond": beyond,
        "energy": energy,
        "caption_numbers": {
            "gap": gap,
            "goal": eps,
            "deepest": depths[-1],
            "times": {key: [row.get(key) for row in beyond] for key in keys},
            "sharing_arrived": sum(row["shared"] is not None for row in beyond),
            "true_over_certified_rate": [
                row["least_true_rate"] / row["rate"] for row in beyond if row["tau"] is not None
            ],
            "apart_at_end": {f"{r['flow']}, {r['family']}": r["apart"][-1] for r in energy},
        },
    }
