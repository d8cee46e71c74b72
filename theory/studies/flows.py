"""The data behind the theory figures, as JSON-able dicts; figures only draw what is in here.

Every dict has "caption_numbers": what a caption would cite. Scales: "smoke" (seconds), "small" (a
few seconds each), "full". Times are in units of the flow, eta per step; losses are R(t) / R(0).
"""

from typing import Any

import numpy as np

from theory.linear import descent, shared_flow, zas_flow
from theory.linear.targets import TARGETS, random_target
from theory.numerics.bisection import time_to_ratio
from theory.numerics.scales import check_scale
from theory.theorems import bounds


def flow_curves(seed: int, scale: str = "small") -> dict[str, Any]:
    """R(t)/R(0) of both flows: closed forms as lines, descent on full matrices as points.

    A random positive definite target; THM1's and THM2's bounds beside the lines. Returns target
    eigenvalues and, per depth and method, "time", "loss", "bound" and the points.
    """
    size = check_scale(scale)
    target = random_target(np.random.default_rng(seed), 4, 0.4, 2.5)
    depths = [[2, 8], [2, 8, 32], [2, 8, 32, 128]][size]
    steps = [200, 1000, 4000][size]
    least = bounds.least_eigenvalue(target)
    curves = []
    for depth in depths:
        for method, flow in (("shared", shared_flow), ("zas", zas_flow)):
            start = float(flow.loss(0.0, target, depth))
            last = time_to_ratio(flow.loss, 1e-6, target, depth)
            time = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 160) * last])
            if method == "shared":
                bound = bounds.theorem2(time, least, depth)
                weights = descent.identity_start(depth, 4)
                run = descent.shared(target, weights, last / steps, steps)
            else:
                bound = bounds.theorem1(time)
                run = descent.zas(target, depth, last / steps, steps)
            picked = np.linspace(0, steps, 13).astype(int)
            points = picked * (last / steps)
            exact = flow.loss(points, target, depth)
            curves.append(
                {
                    "depth": depth,
                    "method": method,
                    "time": time.tolist(),
                    "loss": (flow.loss(time, target, depth) / start).tolist(),
                    "bound": bound.tolist(),
                    "descent_time": points.tolist(),
                    "descent_loss": (run.losses[picked] / start).tolist(),
                    "eta": last / steps,
                    "largest_descent_difference": float(
                        np.max(np.abs(run.losses[picked] - exact)) / start
                    ),
                }
            )
    return {
        "figure": "flow_curves",
        "seed": seed,
        "scale": scale,
        "target_eigenvalues": np.linalg.eigvalsh(target).tolist(),
        "curves": curves,
        "caption_numbers": {
            "least_eigenvalue": least,
            "steps": steps,
            "largest_descent_difference": max(c["largest_descent_difference"] for c in curves),
            "time_to_1e-6": {f"{c['method']} L={c['depth']}": c["time"][-1] for c in curves},
        },
    }


def flow_rates(values: list[float], depth: int) -> dict[str, dict[str, float]]:
    """-R'/R at t = 0 and as t -> infinity, and the theorem's rate, for both flows.

    Initially the mean of the eigenvalues' rates weighted by their part of R; in the end the
    slowest. `values`: positive, none equal to one.
    """
    phi = np.array(values)
    return {
        "shared": {
            "initial": 2.0 * depth,  # rate(1) for every eigenvalue
            "asymptotic": float(np.min(shared_flow.rate(phi, phi, depth))),
            "bound": 2.0 * depth * min(1.0, float(np.min(phi)) ** 2),
        },
        "zas": {
            "initial": 2.0,  # rate(0) for every singular value
            "asymptotic": float(np.min(zas_flow.rate(phi, depth))),
            "bound": 2.0,
        },
    }


def theorem_bounds(seed: int, scale: str = "small") -> dict[str, Any]:
    """How loose THM1 and THM2 are, across depth: log(bound / true) and rates, several targets.

    Per target, method and depth: natural log of bound over true R(t)/R(0) at the times where the
    true ratio is 1e-1, 1e-3 and 1e-6; initial and asymptotic true rate and the bound's; and the
    times themselves, hence their quotient zas / shared, which ACC claims to be L. Deterministic;
    `seed` is recorded only.
    """
    size = check_scale(scale)
    depths = [2 ** int(k) for k in np.linspace(1, [6, 12, 12][size], [3, 6, 12][size]).round()]
    ratios = [1e-1, 1e-3, 1e-6]
    rows = []
    for name, values in TARGETS.items():
        target = np.diag(values)
        for depth in depths:
            rates = flow_rates(values, depth)
            for method, flow in (("shared", shared_flow), ("zas", zas_flow)):
                times = [time_to_ratio(flow.loss, ratio, target, depth) for ratio in ratios]
                rate = rates[method]["bound"]
                rows.append(
                    {
                        "target": name,
                        "eigenvalues": values,
                        "method": method,
                        "depth": depth,
                        "ratios": ratios,
                        "times": times,
                        "log_bound_over_true": [
                            -rate * t - float(np.log(r)) for t, r in zip(times, ratios, strict=True)
                        ],
                        **{f"{key}_rate": value for key, value in rates[method].items()},
                    }
                )
    speedups = []
    for shared, zas in zip(rows[::2], rows[1::2], strict=True):
        quotient = (np.array(zas["times"]) / np.array(shared["times"])).tolist()
        speedups.append(
            {"target": shared["target"], "depth": shared["depth"], "zas_over_shared": quotient}
        )
    deepest = depths[-1]
    last = [row for row in rows if row["depth"] == deepest]
    return {
        "figure": "theorem_bounds",
        "seed": seed,
        "scale": scale,
        "depths": depths,
        "rows": rows,
        "speedups": speedups,
        "caption_numbers": {
            "deepest": deepest,
            "asymptotic_over_bound_rate": {
                f"{row['method']}, {row['target']}": row["asymptotic_rate"] / row["bound_rate"]
                for row in last
            },
            "time_zas_over_shared_1e-6": {
                s["target"]: s["zas_over_shared"][-1] for s in speedups if s["depth"] == deepest
            },
        },
    }


def eta_slope(method: str, value: float, depth: int) -> dict[str, Any]:
    """|R_descent - R_flow| at a fixed time for shrinking eta, and the slope of its logarithm.

    One eigenvalue, the exact scalar reduction; the time is where the flow has R = R(0) / 10.
    """
    flow, run = (
        (shared_flow, descent.shared_values)
        if method == "shared"
        else (zas_flow, descent.zas_values)
    )
    time = time_to_ratio(flow.loss, 0.1, [[value]], depth)
    exact = float(flow.loss(time, [[value]], depth))
    counts = [200, 400, 800, 1600]
    etas = [time / n for n in counts]
    errors = [
        abs(0.5 * float(run(value, depth, eta, n)[-1, 0] - value) ** 2 - exact)
        for eta, n in zip(etas, counts, strict=True)
    ]
    slope = float(np.polyfit(np.log(etas), np.log(errors), 1)[0])
    return {"method": method, "depth": depth, "eta": etas, "error": errors, "slope": slope}


def descent_bounds(seed: int, scale: str = "small") -> dict[str, Any]:
    """THM3 and THM4, each at its own eta: true and bounded log R, per step; and the limit eta -> 0.

    Per method and depth: the theorem's eta, log R(t)/R(0) and the bound's log at up to 40 recorded
    steps, and the two rates per step. THM3's eta is so small that a full descent is out of reach
    for deep networks: "steps" says how far each run went.
    """
    size = check_scale(scale)
    rng = np.random.default_rng(seed)
    values = np.exp(rng.uniform(np.log(0.5), np.log(1.5), 3))
    depths = [[2, 8], [2, 4, 8, 16, 32, 64], [2, 4, 8, 16, 32, 64, 128, 256]][size]
    most = [500, 10_000, 200_000][size]
    least = float(np.min(values))
    rows = []
    for method in ("shared", "zas"):
        for depth in depths:
            if method == "shared":
                eta = descent.shared_admissible_step(np.diag(values), depth)
                per_step = (2.0 * depth - 2.0) * min(least**2, 1.0) * eta
                path = descent.shared_values(values, depth, eta, most)
            else:
                eta = descent.zas_admissible_step(np.diag(values), depth)
                per_step = -float(np.log1p(-eta / 2.0))
                path = descent.zas_values(values, depth, eta, most)
            losses = descent.value_losses(path, values)
            counted = losses > descent.loss_floor(values, eta)
            last = int(np.flatnonzero(counted)[-1])  # what follows is rounding
            picked = np.unique(np.geomspace(1, last, 40).astype(int))
            log_true = np.log(losses[picked] / losses[0])
            rows.append(
                {
                    "method": method,
                    "depth": depth,
                    "eta": eta,
                    "steps": last,
                    "step": picked.tolist(),
                    "log_loss": log_true.tolist(),
                    "log_bound": (-per_step * picked).tolist(),
                    "bound_rate_per_step": per_step,
                    "true_rate_per_step": float(-log_true[-1] / picked[-1]),
                    "holds": bool(np.all(log_true <= -per_step * picked + 1e-9)),
                }
            )
    slopes = [eta_slope(m, v, n) for m in ("shared", "zas") for v in (0.5, 2.0) for n in depths[:3]]
    return {
        "figure": "descent_bounds",
        "seed": seed,
        "scale": scale,
        "target_eigenvalues": values.tolist(),
        "rows": rows,
        "slopes": slopes,
        "caption_numbers": {
            "all_hold": all(row["holds"] for row in rows),
            "true_over_bound_rate": {
                f"{row['method']} L={row['depth']}": row["true_rate_per_step"]
                / row["bound_rate_per_step"]
                for row in rows
            },
            "least_slope": min(s["slope"] for s in slopes),
            "largest_slope": max(s["slope"] for s in slopes),
        },
    }
