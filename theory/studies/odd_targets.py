"""Rotations, negative eigenvalues and one-dimensional nets: the data of the figure odd_targets."""

from typing import Any

import numpy as np

from theory.linear import zas_flow
from theory.numerics.scales import check_scale
from theory.theorems.odd_targets import (
    LOG_MODULUS,
    MEDIAN_MODULUS,
    line_time,
    log_scalar_times,
    log_tied_times,
    slope_with_interval,
)


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """Times over the angle of a rotation, losses for phi < 0, exponents of one-dimensional nets."""
    size = check_scale(scale)
    turns = np.pi * np.array([0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99])[1:]
    depths = [[4, 16], [4, 16, 64], [4, 16, 64, 256]][size]
    part = 1.0 - 1e-3  # R = 1e-6 R(0) on the line
    rotations = [
        {
            "depth": depth,
            "angle_over_pi": (turns / np.pi).tolist(),
            "identity": [float(line_time(part, complex(np.exp(1j * a)), depth)) for a in turns],
            "zas": float(zas_flow.time_to(part, 1.0, depth)),
        }
        for depth in depths
    ]
    draws = [100, 200, 2000][size]
    nets = [[4, 8, 12, 16], [4, 8, 16, 32, 48, 64], [4, 8, 16, 32, 64, 96, 128]][size]
    rng = np.random.default_rng([seed, 60])
    rows = []
    for depth in nets:
        start = rng.normal(size=(draws, depth))
        logs = {
            "unshared": log_scalar_times(start, 1.0, 1e-2),
            "one draw": log_tied_times(start[:, 0], 1.0, 1e-2, depth),
            "mean of draws": log_tied_times(start.mean(axis=1), 1.0, 1e-2, depth),
        }
        rows += [
            {
                "start": name,
                "depth": depth,
                "quartiles": np.quantile(value, [0.25, 0.5, 0.75], method="lower").tolist(),
                "never": float(np.mean(np.isposinf(value))),
                "mean": float(np.mean(value)) if np.all(np.isfinite(value)) else None,
            }
            for name, value in logs.items()
        ]
    # Even depths throughout, so that a negative draw never sticks and every quartile is finite.
    fits = {
        name: slope_with_interval(
            nets, [row["quartiles"][1] for row in rows if row["start"] == name]
        )
        for name in ("unshared", "one draw", "mean of draws")
    }
    return {
        "figure": "odd_targets",
        "seed": seed,
        "scale": scale,
        "rotations": rotations,
        "nets": rows,
        "caption_numbers": {
            "draws": draws,
            "depths": len(nets),
            "slopes": fits,
            "predicted_unshared": float(-LOG_MODULUS),
            "predicted_one_draw": float(-np.log(MEDIAN_MODULUS)),
            "deepest": depths[-1],
            "largest_angle": float(turns[-1] / np.pi),
            "identity_over_zas": rotations[-1]["identity"][-1] / rotations[-1]["zas"],
        },
    }
