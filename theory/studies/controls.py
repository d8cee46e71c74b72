"""The gain over ZAS divided between start and tying: the data of `theory.theorems.controls`."""

from typing import Any

import numpy as np

from theory.linear import zas_flow
from theory.numerics.bisection import time_to_ratio
from theory.numerics.scales import check_scale
from theory.theorems.controls import (
    FAMILIES,
    commutator,
    credit,
    draw_target,
    largest_difference,
    perturbed_start,
    times_to_goal,
)


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """The gain over ZAS divided between start and tying, per family, perturbation and depth.

    "same": largest difference of the two descents from the identity per family, and for the two
    that are not normal the measured early deviation over the predicted one. "rows": `credit`.
    """
    size = check_scale(scale)
    depths = [[4], [4, 16], [4, 16, 64]][size]
    count = [4, 10, 32][size]
    kicks = [[0.0, 0.1], [0.0, 0.1, 0.3], [0.0, 0.03, 0.1, 0.3]][size]
    d, eps = 4, 1e-4
    rng = np.random.default_rng([seed, 50])
    rows: list[dict[str, Any]] = []
    same: list[dict[str, Any]] = []
    for family in FAMILIES:
        targets = np.stack([draw_target(rng, family, d) for _ in range(count)])
        norm = float(np.max(np.linalg.norm(targets, 2, axis=(1, 2))))
        for depth in depths:
            same.append(
                {
                    "family": family,
                    "depth": depth,
                    "normal": bool(max(np.max(np.abs(commutator(t))) for t in targets) < 1e-12),
                    "largest_difference": max(
                        largest_difference(t, depth, 0.2 / (depth * max(1.0, norm) ** 2), 200)
                        for t in targets[:4]
                    ),
                }
            )
            zas = np.array([time_to_ratio(zas_flow.loss, eps, m, depth) for m in targets])
            for kick in kicks:
                starts = np.stack([perturbed_start(rng, depth, d, kick) for _ in range(count)])
                found = times_to_goal(targets, starts, eps, 120.0 / depth)
                rows.append(
                    {
                        "family": family,
                        "depth": depth,
                        "kick": kick,
                        "least_alignment": float(np.min(found.pop("alignment"))),
                        **credit(zas, **found),
                    }
                )
    differences: dict[bool, list[float]] = {True: [], False: []}
    for entry in same:
        differences[bool(entry["normal"])].append(entry["largest_difference"])
    plain = [r for r in rows if r["kick"] == 0.0 and r["depth"] == depths[-1]]
    return {
        "figure": "controls",
        "seed": seed,
        "scale": scale,
        "d": d,
        "eps": eps,
        "depths": depths,
        "kicks": kicks,
        "same": same,
        "rows": rows,
        "caption_numbers": {
            "targets": count,
            "deepest": depths[-1],
            "largest_difference_normal": max(differences[True]),
            "least_difference_not_normal": min(differences[False]),
            "start": {r["family"]: r["start"]["mean"] for r in plain},
            "tying": {r["family"]: r["tying"]["mean"] for r in plain},
            "averaging": {
                r["family"]: r["averaging"]["mean"]
                for r in rows
                if r["kick"] == kicks[-1] and r["depth"] == depths[-1]
            },
            "largest_kick": kicks[-1],
            "tying_helps": sum(r["tying helps"] for r in rows),
            "tying_hurts": sum(r["tying hurts"] for r in rows),
            "arrived": sum(r["arrived"] for r in rows),
            "runs": sum(r["n"] for r in rows),
        },
    }
