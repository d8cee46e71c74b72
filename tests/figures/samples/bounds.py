"""Sample results of the theorems' bounds, along the flows and along descent."""

from __future__ import annotations

import math
from typing import Any


def flow_curves() -> dict[str, Any]:
    curves = []
    for depth in (2, 8):
        for method, rate in (("shared", 2.0 * depth), ("zas", 2.0)):
            time = [0.0, 1 / depth, 2 / depth, 4 / depth]
            loss = [math.exp(-1.5 * rate * t) for t in time]
            curves.append(
                {
                    "depth": depth,
                    "method": method,
                    "time": time,
                    "loss": loss,
                    "bound": [math.exp(-rate * t) for t in time],
                    "descent_time": time,
                    "descent_loss": loss,
                    "eta": 0.01,
                    "largest_descent_difference": 0.00321,
                }
            )
    return {
        "figure": "flow_curves",
        "target_eigenvalues": [0.5, 1.25],
        "curves": curves,
        "caption_numbers": {
            "least_eigenvalue": 0.5,
            "steps": 200,
            "largest_descent_difference": 0.00321,
            "time_to_1e-6": {
                "shared L=2": 7.11,
                "zas L=2": 4.22,
                "shared L=8": 3.33,
                "zas L=8": 2.44,
            },
        },
    }


def theorem_bounds() -> dict[str, Any]:
    rows, speedups = [], []
    for target, values in (("all above one", [1.5, 2.0]), ("one small", [0.1, 2.0])):
        for depth in (2, 16):
            for method in ("shared", "zas"):
                rows.append(
                    {
                        "target": target, "eigenvalues": values, "method": method, "depth": depth,
                        "ratios": [0.1, 1e-3, 1e-6], "times": [0.1, 0.3, 0.6],
                        "log_bound_over_true": [0.1, 0.2, 0.3], "initial_rate": 2.0,
                        "asymptotic_rate": 3.0 + depth, "bound_rate": 2.0,
                    }
                )  # fmt: skip
            speedups.append(
                {"target": target, "depth": depth, "zas_over_shared": [1.0, 1.5, depth / 4]}
            )
    return {
        "figure": "theorem_bounds",
        "depths": [2, 16],
        "rows": rows,
        "speedups": speedups,
        "caption_numbers": {
            "deepest": 16,
            "asymptotic_over_bound_rate": {
                "shared, all above one": 2.25,
                "zas, all above one": 83.5,
                "shared, one small": 1.01,
                "zas, one small": 6.54,
            },
            "time_zas_over_shared_1e-6": {"all above one": 4.56, "one small": 1.23},
        },
    }


def descent_bounds() -> dict[str, Any]:
    rows = [
        {
            "method": method, "depth": depth, "eta": 1e-3 / depth, "steps": 500,
            "step": [1, 500], "log_loss": [-0.01, -5.0], "log_bound": [-0.005, -2.5],
            "bound_rate_per_step": 0.005 / depth, "true_rate_per_step": 0.01 / depth,
            "holds": True,
        }
        for method in ("shared", "zas")
        for depth in (2, 8)
    ]  # fmt: skip
    slopes = [
        {"method": method, "depth": 2, "eta": [4e-3, 2e-3], "error": [8e-4, 4e-4], "slope": 1.0}
        for method in ("shared", "zas")
    ]
    return {
        "figure": "descent_bounds",
        "target_eigenvalues": [0.7, 1.3],
        "rows": rows,
        "slopes": slopes,
        "caption_numbers": {
            "all_hold": True,
            "least_slope": 0.987,
            "largest_slope": 1.012,
            "true_over_bound_rate": {
                "shared L=2": 1.31,
                "shared L=8": 1.62,
                "zas L=2": 4.13,
                "zas L=8": 4.04,
            },
        },
    }


FILES = {
    "theory/flow_curves.json": flow_curves,
    "theory/theorem_bounds.json": theorem_bounds,
    "theory/descent_bounds.json": descent_bounds,
}
