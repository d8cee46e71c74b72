"""Sample results of the exact comparison: times, steps, admissible step sizes."""

from __future__ import annotations

from typing import Any

from tests.figures.samples.files import exponent


def speedup() -> dict[str, Any]:
    scalars = [
        {
            "target": target,
            "eps": eps,
            "ratio": [target, 3 * target],
            "exponent": exponent(0.4),
            "limit_slope": 0.49,
            "limit_error": 1e-6,
            "slower_at": [2] if target < 1 else [],
        }
        for target in (0.5, 2.0)
        for eps in (1e-2, 1e-4)
    ]
    return {
        "figure": "speedup", "depths": [2, 16], "targets": [0.5, 2.0], "eps": [1e-2, 1e-4],
        "scalars": scalars, "spectra": [], "final": [[0.4, 0.5], [0.8, 0.9]],
        "even_log10": [[1.5, 6.0], [33.0, 100.0]],
        "caption_numbers": {
            "deepest": 16, "window": [2, 16], "least_exponent": 0.39, "largest_exponent": 0.41,
            "least_slope": 0.345, "largest_slope": 0.456, "limit_depth": 2**40,
            "limit_slope_low": 0.49, "limit_slope_high": 0.4999, "limit_error": 1e-6,
            "least_ratio": 0.5, "largest_ratio": 6.0, "ratio_over_depth_deepest": 0.375,
            "slower": 2, "cases": 8, "slower_from": 0.5, "final_low": 0.4, "final_high": 0.9,
        },
    }  # fmt: skip


def steps() -> dict[str, Any]:
    rows, quotients = [], []
    for target, values in (("all above one", [1.5, 2.0]), ("across one", [0.5, 2.0])):
        for k, rule in enumerate(("theorem", "proved", "best")):
            for method, start in (("shared", 10.0), ("zas", 20.0)):
                rows.append(
                    {
                        "target": target, "eigenvalues": values, "method": method, "rule": rule,
                        "steps": [start * 10 ** (2 - k), 3 * start * 10 ** (2 - k)],
                        "eta": [0.1, 0.01], "routes": ["descent", "flow"],
                        "exponent": exponent(0.5),
                    }
                )  # fmt: skip
            quotients.append(
                {
                    "target": target,
                    "rule": rule,
                    "zas_over_shared": [2.0, 2.0],
                    "exponent": exponent(0.0),
                }
            )
    hull = {"slope_low": 0.12, "slope_high": 0.34, "low": 0.1, "high": 0.4}
    return {
        "figure": "steps", "depths": [2, 16], "eps": 1e-6, "rows": rows, "quotients": quotients,
        "caption_numbers": {
            "deepest": 16, "window": [2, 16], "one_step": [1.0, 1.0],
            "exponents": {f"{kind} {rule}": dict(hull) for kind in ("shared", "zas", "quotient")
                          for rule in ("theorem", "proved", "best")},
            "best_deepest": {f"{method}, {target}": 30.0 for method in ("shared", "zas")
                             for target in ("all above one", "across one")},
            "quotient_deepest": {},
        },
    }  # fmt: skip


def admissible() -> dict[str, Any]:
    rows = [
        {
            "theorem": theorem,
            "target": target,
            "eigenvalues": [0.5, 2.0],
            "depths": depths,
            "paper": [1e-3 / n**2 for n in depths],
            "proved": [0.5 / n for n in depths],
            "true": [0.9 / n for n in depths],
            "true_exponent": exponent(-1.0),
            "loose_exponent": exponent(1.0),
        }
        for theorem, depths in (("theorem3", [2, 8]), ("theorem4", [2, 8, 16]))
        for target in ("all above one", "across one")
    ]
    hull = {"slope_low": -1.01, "slope_high": -0.99, "low": -1.02, "high": -0.98}
    numbers = {
        "deepest": 16,
        "window": [2, 16],
        "true_over_proved_low": 1.8,
        "true_over_proved_high": 1.9,
        "true_over_paper_shallow": 9.0,
        "true_over_paper_deep_low": 123.0,
        "true_over_paper_deep_high": 456.0,
        "true_exponent": hull,
        "loose_exponent": hull,
    }
    return {
        "figure": "admissible",
        "rows": rows,
        "caption_numbers": {"theorem3": dict(numbers), "theorem4": dict(numbers)},
    }


FILES = {
    "theory/speedup.json": speedup,
    "theory/steps.json": steps,
    "theory/admissible.json": admissible,
}
