"""Alignment along the flows of `theory.theorems.controls`, and SWE-A's rule judged by it.

The statements are in `theory.theorems.alignment`. Reference: Yang et al., arXiv 2110.03848, SWE-A.
"""

from typing import Any

import numpy as np

from theory.linear import deep_linear, descent, layer_flow
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.theorems import controls
from theory.theorems.alignment import (
    adjacent_cosines,
    alignment,
    alignment_bounds,
    early_misalignment,
    kept_in_vain,
    rule_unties,
    untie_bound,
    untied_in_vain,
)

LEVELS = np.geomspace(0.9, 1e-4, 25)
"""R / R(0) at which the flows are looked at: a clock that all of them share."""


def along_flows(seed: int, depth: int, count: int) -> list[dict[str, Any]]:
    """Mean over targets of A and of the moving layers M = S / (2 R), per family and flow.

    M = 1: the gradients weigh as much as one layer's would at the identity. "rate" = M A for the
    shared flow, M otherwise: -R' / (2 R). Flows: shared and unshared ("identity") from I, unshared
    from I + 0.1 G ("perturbed") and from ZAS. Member by member, where R first meets a level.
    """
    rng = np.random.default_rng([seed, 70])
    rows = []
    for family in controls.FAMILIES:
        targets = np.stack([controls.draw_target(rng, family, 4) for _ in range(count)])
        exact = np.stack([descent.identity_start(depth, 4)] * count)
        kicked = np.stack([controls.perturbed_start(rng, depth, 4, 0.1) for _ in range(count)])
        zas = np.stack([descent.zas_start(depth, 4)] * count)
        for flow, start, tied in (
            ("shared", exact, True),
            ("identity", exact, False),
            ("perturbed", kicked, False),
            ("zas", zas, False),
        ):
            times = (60.0 / depth if flow != "zas" else 12.0) * np.geomspace(1e-4, 1.0, 250)
            path = layer_flow.weights_along(times, targets, start, tied)
            losses = deep_linear.loss(path, targets)
            gradients = deep_linear.layer_gradients(path, targets)
            falls = losses / deep_linear.loss(start, targets)
            at = np.argmax(falls[:, None, :] <= LEVELS[None, :, None], axis=0)
            aligned = np.take_along_axis(alignment(gradients), at, axis=0)
            total = np.sum(gradients**2, axis=(-3, -2, -1))
            late = np.maximum(losses, 1e-300)  # a loss of zero comes after the last level
            moving = np.take_along_axis(total / (2.0 * late), at, axis=0)
            rate = moving * aligned if tied else moving
            rows.append(
                {
                    "family": family,
                    "flow": flow,
                    "alignment": np.mean(aligned, axis=1).tolist(),
                    "moving": np.mean(moving, axis=1).tolist(),
                    "rate": np.mean(rate, axis=1).tolist(),
                    "least_alignment": float(np.min(aligned)),
                }
            )
    return rows


def strongly_triangular(rng: np.random.Generator, strength: float, d: int) -> Array:
    """Unit diagonal up to [0.7, 1.4], entries above it N(0, strength^2); (d, d)."""
    upper = np.triu(rng.normal(size=(d, d)), 1)
    return np.asarray(strength * upper + np.diag(rng.uniform(0.7, 1.4, d)))


def drift(seed: int, depths: list[int], strength: float, count: int) -> list[dict[str, Any]]:
    """What SWE-A sees and what averaging costs on the shared flow, ever deeper.

    Per depth, over the way to R = 1e-2 R(0): least A, least adjacent cosine, whether the rule ever
    unties, over `count` strongly non-normal targets (the same at all depths).
    """
    rng = np.random.default_rng([seed, 71])
    targets = np.stack([strongly_triangular(rng, strength, 4) for _ in range(count)])
    rows = []
    for depth in depths:
        start = np.stack([descent.identity_start(depth, 4)] * count)
        times = 60.0 / depth * np.geomspace(1e-4, 1.0, 200)
        path = layer_flow.weights_along(times, targets, start, tied=True)
        losses = deep_linear.loss(path, targets)
        on_way = losses > 1e-2 * losses[0]
        gradients = deep_linear.layer_gradients(path, targets)
        cosines = adjacent_cosines(gradients)
        unties = on_way & rule_unties(cosines)
        rows.append(
            {
                "depth": depth,
                "least_alignment": float(np.min(np.where(on_way, alignment(gradients), 1.0))),
                "least_cosine": float(np.min(np.where(on_way[..., None], cosines, 1.0))),
                "targets_untied": int(np.sum(np.any(unties, axis=0))),
                "targets": count,
            }
        )
    return rows


def rule_cases(depth: int) -> list[dict[str, Any]]:
    """SWE-A's rule wrong in both directions, with A, its bounds and the rule's verdict."""
    rows = []
    for name, gradients in (
        ("kept in vain", kept_in_vain(depth)),
        ("untied in vain", untied_in_vain(depth)),
    ):
        cosines = adjacent_cosines(gradients)
        low, high = alignment_bounds(cosines, np.linalg.norm(gradients, axis=(-2, -1)))
        rows.append(
            {
                "case": name,
                "depth": depth,
                "alignment": float(alignment(gradients)),
                "lower": low,
                "upper": high,
                "unties": bool(rule_unties(cosines)),
                "median_cosine": float(np.median(cosines)),
            }
        )
    return rows


def bounds_over_cosine(depth: int, points: int) -> dict[str, Any]:
    """Range of A when all adjacent cosines equal one value and all norms are equal."""
    cosines = np.linspace(-1.0, 1.0, points)
    both = [alignment_bounds(np.full(depth - 1, c), np.ones(depth)) for c in cosines]
    return {
        "depth": depth,
        "cosine": cosines.tolist(),
        "lower": [b[0] for b in both],
        "upper": [b[1] for b in both],
    }


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """A and moving layers along the flows, the rule's two failures, the drift with depth.

    "overtaken": the first level R / R(0) at which the mean rate of sharing, S A / (2 R), is below
    that of ZAS, S / (2 R), each on its own way; None if never.
    """
    size = check_scale(scale)
    depth = 8
    flows = along_flows(seed, depth, [3, 8, 32][size])
    overtaken: dict[str, float | None] = {}
    for family in controls.FAMILIES:
        shared, zas = (
            np.array(next(r["rate"] for r in flows if (r["family"], r["flow"]) == (family, f)))
            for f in ("shared", "zas")
        )
        behind = np.flatnonzero(shared < zas)
        overtaken[family] = float(LEVELS[behind[0]]) if behind.size else None
    depths = [[4, 8], [4, 8, 16, 32], [4, 8, 16, 32, 64]][size]
    strength = 1.5
    drifted = drift(seed, depths, strength, [3, 8, 32][size])
    target = strongly_triangular(np.random.default_rng([seed, 72]), strength, 4)
    time = 1e-3 / depths[-1]
    weights = layer_flow.weights_along(
        [time], target[None], descent.identity_start(depths[-1], 4)[None], tied=True
    )
    lost = 1.0 - float(alignment(deep_linear.layer_gradients(weights, target)).item())
    cases = rule_cases(24)
    return {
        "figure": "alignment",
        "seed": seed,
        "scale": scale,
        "depth": depth,
        "levels": LEVELS.tolist(),
        "flows": flows,
        "drift": drifted,
        "cases": cases,
        "range": bounds_over_cosine(24, 81),
        "caption_numbers": {
            "least_alignment": {f"{r['flow']}, {r['family']}": r["least_alignment"] for r in flows},
            "early_measured_over_predicted": lost
            / (time**2 * early_misalignment(target, depths[-1])),
            "overtaken": overtaken,
            "case_alignment": {c["case"]: c["alignment"] for c in cases},
            "deepest": depths[-1],
            "deepest_least_alignment": drifted[-1]["least_alignment"],
            "deepest_least_cosine": drifted[-1]["least_cosine"],
            "untied": sum(r["targets_untied"] for r in drifted),
            "strength": strength,
            "rule_depth": 24,
            "untie_bound": untie_bound(24),
        },
    }
