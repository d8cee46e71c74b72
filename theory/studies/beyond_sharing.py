"""Share-then-unshare on targets that no tied network reaches, and where the movement goes.

Runs of the flows beside the certificate of `theory.theorems.common_component` and the bound of
`theory.theorems.swe_time`. Reference: Yang et al., arXiv 2110.03848, Algorithm 1.
"""

from typing import Any

import numpy as np
from scipy.linalg import block_diag

from theory.linear import deep_linear, descent, layer_flow, zas_flow
from theory.numerics.bisection import time_to_ratio
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.theorems import controls, swe_time
from theory.theorems.common_component import certify, energies


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
        "zas": time_to_ratio(zas_flow.loss, zas_goal, target, depth),
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


def guarantees(depths: list[int], gap: float, eps: float) -> dict[str, Any]:
    """The bound of `theory.theorems.swe_time` and the exact time of ZAS, on one family of targets.

    diag(-1 - gap, -1 + gap) and 1.5; goal eps R(0) of the tied start, in units of the flow. Also
    the slopes of either's logarithm over log L.
    """
    offset = np.diag([-gap, gap])
    bounds, taus, exact = [], [], []
    for depth in depths:
        found = swe_time.bound([1.5], float(np.linalg.norm(offset)), 1.0, 1.0, depth, eps)
        target, start = swe_time.problem([1.5], offset, depth)
        goal = eps * float(deep_linear.loss(start, target))
        ratio = goal / float(zas_flow.loss(0.0, target, depth))
        exact.append(time_to_ratio(zas_flow.loss, ratio, target, depth))
        bounds.append(found.time)
        taus.append(found.tau)
    logs = np.log(depths)
    return {
        "depths": depths,
        "gap": gap,
        "tau": taus,
        "swe": bounds,
        "zas": exact,
        "swe_slope": float(np.polyfit(logs, np.log(bounds), 1)[0]),
        "zas_slope": float(np.polyfit(logs, np.log(exact), 1)[0]),
    }


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """SWE on a target beyond sharing, with its certificate; and where the movement goes.

    "beyond": one `beyond_sharing` per depth; "energy": `energy_curves`.
    """
    size = check_scale(scale)
    depths = [[4, 8], [4, 8, 16, 32, 64], [4, 8, 16, 32, 64, 128]][size]
    gap, eps, d = 0.04, 1e-6, 3
    beyond = [beyond_sharing(depth, gap, d, eps) for depth in depths]
    energy = energy_curves(seed, 8, [3, 8, 32][size])
    guarantee = guarantees([4, 16, 64] if size == 0 else [4, 8, 16, 32, 64, 128, 256], 0.01, eps)
    keys = ("tau", "certified_time", "swe", "equal start", "zas", "shared", "identity")
    return {
        "figure": "common_component",
        "seed": seed,
        "scale": scale,
        "depths": depths,
        "beyond": beyond,
        "energy": energy,
        "guarantee": guarantee,
        "caption_numbers": {
            "gap": gap,
            "goal": eps,
            "deepest": depths[-1],
            "times": {key: [row.get(key) for row in beyond] for key in keys},
            "guaranteed": {k: guarantee[k] for k in ("gap", "swe_slope", "zas_slope")}
            | {
                "deepest": guarantee["depths"][-1],
                "swe": guarantee["swe"][-1],
                "zas": guarantee["zas"][-1],
            },
            "sharing_arrived": sum(row["shared"] is not None for row in beyond),
            "true_over_certified_rate": [
                row["least_true_rate"] / row["rate"] for row in beyond if row["tau"] is not None
            ],
            "apart_at_end": {f"{r['flow']}, {r['family']}": r["apart"][-1] for r in energy},
        },
    }
