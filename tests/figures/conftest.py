"""A small, hand-made results folder in the formats that the other packages write."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from figures.report import build

STEPS = 40
ARMS = {"baseline": [], "equal-start": [], "swe-f": [4], "swe-a": [12], "swe-m": [8, 16]}
T_2 = 4.302652729911275  # two-sided 95 % of Student's t with 2 degrees of freedom


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def dump_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def record(data: Any) -> dict[str, Any]:
    return {"key": "0", "config": {"seed": 0, "scale": "smoke"}, "seconds": 1.0, "data": data}


def flow_curves() -> dict[str, Any]:
    curves = []
    for depth in (2, 8):
        for method, rate in (("shared", 2.0 * depth), ("zas", 2.0)):
            time = [0.0, 1 / depth, 2 / depth, 4 / depth]
            loss = [math.exp(-1.5 * rate * t) for t in time]
            curves.append(
                {
                    "depth": depth, "method": method, "time": time, "loss": loss,
                    "bound": [math.exp(-rate * t) for t in time], "descent_time": time,
                    "descent_loss": loss, "eta": 0.01, "largest_descent_difference": 0.00321,
                }
            )  # fmt: skip
    return {
        "figure": "flow_curves", "target_eigenvalues": [0.5, 1.25], "curves": curves,
        "caption_numbers": {
            "least_eigenvalue": 0.5, "steps": 200, "largest_descent_difference": 0.00321,
            "time_to_1e-6": {"shared L=2": 7.11, "zas L=2": 4.22, "shared L=8": 3.33,
                             "zas L=8": 2.44},
        },
    }  # fmt: skip


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
        "figure": "theorem_bounds", "depths": [2, 16], "rows": rows, "speedups": speedups,
        "caption_numbers": {
            "deepest": 16,
            "asymptotic_over_bound_rate": {
                "shared, all above one": 2.25, "zas, all above one": 83.5,
                "shared, one small": 1.01, "zas, one small": 6.54,
            },
            "time_zas_over_shared_1e-6": {"all above one": 4.56, "one small": 1.23},
        },
    }  # fmt: skip


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
        "figure": "descent_bounds", "target_eigenvalues": [0.7, 1.3], "rows": rows,
        "slopes": slopes,
        "caption_numbers": {
            "all_hold": True, "least_slope": 0.987, "largest_slope": 1.012,
            "true_over_bound_rate": {"shared L=2": 1.31, "shared L=8": 1.62, "zas L=2": 4.13,
                                     "zas L=8": 4.04},
        },
    }  # fmt: skip


FAMILIES = ("symmetric", "rotation", "near-symmetric", "triangular")


def controls() -> dict[str, Any]:
    rows = [
        {
            "family": family, "depth": 16, "kick": kick, "least_alignment": 0.9, "n": 10,
            "arrived": 10, "tying helps": 1, "tying hurts": 2,
            "total": {"mean": 1.0, "error": 0.1}, "start": {"mean": 0.9 - k / 9, "error": 0.1},
            "averaging": {"mean": kick, "error": 0.05}, "tying": {"mean": -0.2, "error": 0.02},
        }
        for k, family in enumerate(FAMILIES)
        for kick in (0.0, 0.3)
    ]  # fmt: skip
    return {
        "figure": "controls", "eps": 1e-4, "depths": [16], "kicks": [0.0, 0.3], "rows": rows,
        "caption_numbers": {
            "targets": 10, "deepest": 16, "largest_difference_normal": 3.3e-16,
            "least_difference_not_normal": 0.0123, "largest_kick": 0.3, "runs": 80,
            "tying_helps": 8, "tying_hurts": 16, "arrived": 80,
            "start": dict(zip(FAMILIES, (0.9, 0.8, 0.7, 0.6), strict=True)),
            "tying": dict(zip(FAMILIES, (0.0, 1e-15, -0.0321, -0.2), strict=True)),
        },
    }  # fmt: skip


def alignment() -> dict[str, Any]:
    flows = ("shared", "identity", "perturbed", "zas")
    return {
        "figure": "alignment", "depth": 8, "levels": [0.9, 0.01, 1e-4],
        "flows": [
            {"family": family, "flow": flow, "alignment": [1.0, 0.9 - k / 5, 0.8 - k / 5],
             "moving": [8.0, 7.0, 6.0], "rate": [8.0, 6.0, 5.0], "least_alignment": 0.8 - k / 5}
            for family in FAMILIES
            for k, flow in enumerate(flows)
        ],
        "drift": [
            {"depth": depth, "least_alignment": 0.5, "least_cosine": 1 - 1 / depth,
             "targets_untied": 0, "targets": 8}
            for depth in (4, 8, 16)
        ],
        "cases": [
            {"case": "kept in vain", "alignment": 0.0, "median_cosine": 0.96, "unties": False},
            {"case": "untied in vain", "alignment": 0.8, "median_cosine": 0.49, "unties": True},
        ],
        "range": {"cosine": [-1.0, 1.0], "lower": [0.0, 1.0], "upper": [0.8, 1.0]},
        "caption_numbers": {
            "least_alignment": {"shared, triangular": 0.812, "zas, triangular": 0.212},
            "overtaken": {"symmetric": 0.05, "rotation": None},
            "case_alignment": {"kept in vain": 0.0, "untied in vain": 0.801}, "deepest": 16,
            "deepest_least_alignment": 0.503, "deepest_least_cosine": 0.937, "untied": 0,
            "rule_depth": 24, "untie_bound": 0.871,
        },
    }  # fmt: skip


def common_component() -> dict[str, Any]:
    times = {"swe": [1.11, 0.55], "certified_time": [4.44, 2.22], "equal start": [1.12, 0.56],
             "zas": [1.5, 1.25], "tau": [0.5, 0.25], "shared": [None, None],
             "identity": [None, None]}  # fmt: skip
    curve = [1.0, 1e-3, 1e-7]
    rows = [
        {
            "depth": depth,
            "tau": 0.5,
            "time": [0.0, 1.0, 2.0],
            "swe_time": [0.5, 1.5, 2.5],
            "swe_loss": curve,
            "zas": 1.5,
            "equal start": 1.12,
            "losses": {"shared": [1.0, 1e-3, 1e-3], "equal start": curve, "zas": curve},
        }
        for depth in (4, 8)
    ]
    energy = [
        {"family": family, "flow": flow, "apart": [0.1, part], "reached": True}
        for family in FAMILIES
        for flow, part in (("shared", 0.0), ("identity", 0.01), ("perturbed", 0.5), ("zas", 0.4))
    ]
    return {
        "figure": "common_component", "depths": [4, 8], "beyond": rows, "energy": energy,
        "caption_numbers": {"gap": 0.04, "goal": 1e-6, "times": times, "sharing_arrived": 0,
                            "guaranteed": {"gap": 0.01, "swe_slope": -1.01, "zas_slope": -0.71,
                                           "deepest": 256, "swe": 0.023, "zas": 0.101}},
    }  # fmt: skip


def odd_targets() -> dict[str, Any]:
    fit = {"slope": 0.561, "low": 0.52, "high": 0.6}
    starts = ("unshared", "one draw", "mean of draws")
    return {
        "figure": "odd_targets",
        "rotations": [
            {"depth": depth, "angle_over_pi": [0.25, 0.99], "identity": [0.5, 9.0], "zas": 0.6}
            for depth in (4, 16)
        ],
        "nets": [
            {"start": start, "depth": depth, "quartiles": [0.1 * depth, 0.2 * depth, 0.4 * depth],
             "never": 0.0, "mean": None}
            for start in starts
            for depth in (4, 8)
        ],
        "caption_numbers": {
            "draws": 200, "slopes": dict.fromkeys(starts, fit), "predicted_unshared": 0.635,
            "predicted_one_draw": 0.394, "deepest": 16, "largest_angle": 0.99,
            "identity_over_zas": 11.37,
        },
    }  # fmt: skip


def compared(runs: dict[str, list[float]], reference: str) -> dict[str, Any]:
    """The layout of training.comparison.compare, for three seeds or one."""

    def interval(values: list[float]) -> dict[str, Any]:
        n, mean = len(values), sum(values) / len(values)
        if n == 1:
            return {"n": 1, "mean": mean, "low": None, "high": None}
        half = T_2 * math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
        return {"n": n, "mean": mean, "low": mean - half, "high": mean + half}

    out: dict[str, Any] = {}
    for arm, values in runs.items():
        out[arm] = {"values": {str(s): v for s, v in enumerate(values)}, "loss": interval(values)}
        if arm != reference:
            gap = interval([a - b for a, b in zip(values, runs[reference], strict=True)])
            word = "no gain"
            if gap["low"] is None:
                word = "one seed: no interval"
            elif gap["high"] < 0 or gap["low"] > 0:
                word = "helps" if gap["high"] < 0 else "hurts"
            out[arm] |= {"difference": gap, "verdict": word}
    return out


def exponent(slope: float) -> dict[str, Any]:
    return {"slope": slope, "low": slope - 0.01, "high": slope + 0.01, "window": [2, 16]}


def speedup() -> dict[str, Any]:
    scalars = [
        {"target": target, "eps": eps, "ratio": [target, 3 * target], "exponent": exponent(0.4),
         "limit_slope": 0.49, "limit_error": 1e-6, "slower_at": [2] if target < 1 else []}
        for target in (0.5, 2.0) for eps in (1e-2, 1e-4)
    ]  # fmt: skip
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
            quotients.append({"target": target, "rule": rule, "zas_over_shared": [2.0, 2.0],
                              "exponent": exponent(0.0)})  # fmt: skip
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
        {"theorem": theorem, "target": target, "eigenvalues": [0.5, 2.0], "depths": depths,
         "paper": [1e-3 / n**2 for n in depths], "proved": [0.5 / n for n in depths],
         "true": [0.9 / n for n in depths], "true_exponent": exponent(-1.0),
         "loose_exponent": exponent(1.0)}
        for theorem, depths in (("theorem3", [2, 8]), ("theorem4", [2, 8, 16]))
        for target in ("all above one", "across one")
    ]  # fmt: skip
    hull = {"slope_low": -1.01, "slope_high": -0.99, "low": -1.02, "high": -0.98}
    numbers = {
        "deepest": 16, "window": [2, 16], "true_over_proved_low": 1.8, "true_over_proved_high": 1.9,
        "true_over_paper_shallow": 9.0, "true_over_paper_deep_low": 123.0,
        "true_over_paper_deep_high": 456.0, "true_exponent": hull, "loose_exponent": hull,
    }  # fmt: skip
    return {
        "figure": "admissible", "rows": rows,
        "caption_numbers": {"theorem3": dict(numbers), "theorem4": dict(numbers)},
    }  # fmt: skip


def toy() -> dict[str, Any]:
    curve = {"time": [0.0, 0.2, 0.4], "flow": [1.0, 0.1, 0.01], "core": [1.0, 0.11, 0.012]}
    arms = ("equal-start", "always-shared", "swe-f 5 %", "swe-f 20 %", "swe-f 50 %")
    settings = []
    for eps in (0.0, 0.3):
        final = {arm: [-4 + k / 5 + s / 50 + s * k / 90 for s in range(3)]
                 for k, arm in enumerate(arms)}  # fmt: skip
        settings.append(
            {
                "eps": eps, "step_size": 0.01,
                "curves": {arm: [0.0, -2.0, values[0]] for arm, values in final.items()},
                "arms": compared(final, "equal-start"),
            }
        )  # fmt: skip
    return {
        "core_against_flow": {
            "depth": 8, "size": 4, "step_sizes": [1e-2, 5e-3, 2.5e-3, 1.25e-3],
            "errors": [0.016, 0.008, 0.004, 0.00234], "slope": 1.017, "curve": curve,
        },
        "distinct_modules": {
            "depth": 6, "size": 4, "steps": 300, "seeds": 3, "curve_every": 150,
            "settings": settings,
        },
    }  # fmt: skip


def teacher_student() -> dict[str, Any]:
    arms = ("baseline", "equal-start", "swe-f 10 %", "always-shared")
    settings = []
    for optimiser in ("sgd", "adamw"):
        for eps in (0.0, 1.0):
            final = {arm: [-2 + k / 10 + s / 50 + s * k / 90 for s in range(3)]
                     for k, arm in enumerate(arms)}  # fmt: skip
            settings.append(
                {
                    "optimiser": optimiser, "eps": eps, "chosen": {},
                    "against_equal_start": compared(final, "equal-start"),
                    "against_baseline": compared(final, "baseline"),
                }
            )  # fmt: skip
    return {
        "depth": 6, "width": 8, "rows": 16, "steps": 400, "seeds": 3, "arms": list(arms),
        "settings": settings,
    }  # fmt: skip


def quadratic() -> dict[str, Any]:
    def curve(ratio: float) -> dict[str, Any]:
        tau = [0.0, 0.5, 1.0]
        values = [1.0, 0.8, ratio]
        return {
            "tau": tau, "relative": values, "simulated_tau": tau, "simulated": values,
            "standard_error": [0.01] * 3, "best_tau": 0.5, "best_relative": 0.8, "unshared": 1.1,
        }  # fmt: skip

    return {
        "curves": [
            {"schedule": schedule, "ratio": ratio, **curve(ratio)}
            for schedule in ("linear", "constant") for ratio in (0.5, 2.0, 8.0)
        ],
        "spectrum": {**curve(3.0), "own_best_tau": [0.0, 0.25, 0.75]},
        "rule": {"ratio": [1.0, 10.0, 100.0], "tau": [0.0, 0.9, 0.99], "formula": [0, 0.9, 0.99]},
        "caption_numbers": {
            "steps": 60, "replicas": 300, "depth": 8, "eta": 0.3, "mean_gap": 1.25e-16,
            "largest_z": 1.875, "points": 40, "spectrum_best_tau": 0.5, "spectrum_gain": 0.2,
            "spectrum_gain_over_unshared": 0.25, "rule_gap": 0.0042, "rule_steps": 240,
        },
    }  # fmt: skip


def sign_descent() -> dict[str, Any]:
    reach = {"tied_steps": 90.0, "tied_standard_error": 1.0, "unshared_steps": 180.0,
             "unshared_standard_error": 2.0, "gain": 2.02, "predicted": 2.06}  # fmt: skip
    arm = {"floor": 0.0016, "standard_error": 0.00001, "predicted": 0.0015}
    return {
        "snr": [0.01, 10.0], "lines": {"16": [4.0, 1.0]},
        "gains": [{"depth": 16, "snr": [0.1, 1.0], "gain": [3.9, 1.5],
                   "standard_error": [0.1, 0.01]}],
        "start_snr": [0.3, 3.0], "reach_lines": {"tied": [90, 50], "unshared": [180, 60]},
        "reach": [{"snr": 0.3, **reach}, {"snr": 3.0, **reach}],
        "floors": {"arms": {"tied": arm, "unshared": arm, "unshared, sqrt(L) eta": arm}},
        "caption_numbers": {
            "samples": 20000, "largest_z": 1.63, "points": 5, "reach_depth": 16, "reached": 0.1,
            "reach_gap": 0.0214, "floor_ratio": 4.03, "floor_ratio_larger_step": 0.98,
        },
    }  # fmt: skip


def adam_quadratic() -> dict[str, Any]:
    gains = {"snr": [0.1, 1.0], "gain": [3.5, 1.4], "standard_error": [0.05, 0.004]}
    speed = gains | {"depth": 16, "predicted": {"adam": [3.7, 1.37], "sign": [3.9, 1.5]}}
    reach = gains | {"depth": 16, "predicted": [3.9, 1.8]}
    row = {
        "snr": 0.1, "loss_tied": [0.5, 0.1, 0.2], "loss_unshared": [0.9, 0.4, 0.11],
        "best_peak_tied": 0.02, "best_peak_unshared": 0.04, "best_gain": 1.125,
        "standard_error": 0.0625,
    }  # fmt: skip
    line = {"16": [4.0, 1.3]}
    return {
        "speeds": [speed], "reach": [reach | {"beta2": 0.999}, reach | {"beta2": 0.99}],
        "lines": {"snr": [0.1, 1.0], "start_snr": [0.1, 1.0], "reach": [3.9, 1.8],
                  "speed": {"adam": line, "sign": line}},
        "tuned": {"depth": 16, "steps": 250, "replicas": 128, "peaks": [0.01, 0.02, 0.04],
                  "rows": [row]},
        "caption_numbers": {
            "replicas": 32, "depth": 16, "reached": 0.3, "largest_gap_adam": 0.0432,
            "largest_gap_sign": 0.2, "largest_relative_error": 0.011,
            "reach_gap": {"0.999": 0.15, "0.99": 0.1},
        },
    }  # fmt: skip


def adam_unshare() -> dict[str, Any]:
    def row(tau: float, moments: str, loss: float) -> dict[str, Any]:
        return {"tau": tau, "moments": moments, "predicted": loss * 1.01, "peak": 0.02,
                "loss": loss, "standard_error": 0.02}  # fmt: skip

    rows = [row(0.0, "rescale", 1.4), row(0.5, "copy", 1.1), row(0.5, "rescale", 0.9),
            row(1.0, "rescale", 1.2)]  # fmt: skip
    both = {"copy": 1.27, "rescale": 1.55}
    setting = {
        "rows": rows, "best_tau": {"copy": 0.5, "rescale": 0.5}, "gain": both,
        "gain_error": {"copy": 0.04, "rescale": 0.04}, "predicted_gain": 1.6,
        "predicted_best_tau": 0.5, "largest_gap": 0.02,
    }  # fmt: skip
    return {
        "depth": 16, "steps": 200, "replicas": 64, "start_snr": 0.1, "peaks": [0.01, 0.02],
        "settings": [{"bias": bias, **setting} for bias in (2.0, 6.0, 20.0)],
        "caption_numbers": {"largest_gap": 0.0234, "gain": {"2": 1.55}},
    }  # fmt: skip


def write_run(folder: Path, seed: int, loss: float, untied: list[int]) -> None:
    tied_until = untied[0] if untied else 0
    rows: list[dict[str, Any]] = []
    for step in range(0, STEPS + 1, 4):
        rows.append(
            {
                "kind": "probe", "step": step, "alignment": 0.9 - step / 100,
                "correlations": [0.9 - step / 60, None if step == 8 else 0.8 - step / 80, 0.7],
                "gradient_norms": [1.0, 1.0, 1.0, 1.0],
                "weights": {"common": 9.0, "deviation": 1.0,
                            "dispersion": 0.0 if step <= tied_until else step / 1000},
            }
        )  # fmt: skip
        if step:
            decay = loss + 2 * math.exp(-step / 8)
            rows.append({"kind": "train", "step": step, "loss": decay, "gradient_norm": 1.0,
                         "learning_rate": 1e-3, "seconds": 0.1 * step})  # fmt: skip
        if step and step % 20 == 0:
            value = loss if step == STEPS else loss + 0.5
            rows.append({"kind": "valid", "step": step, "loss": value, "accuracy": 0.1})
    dump(folder / "config.json", {"train": {"seed": seed}, "task": {}})
    dump(
        folder / "environment.json",
        {
            "command": "python paper_repro.py bert", "commit": "0123456789abcdef", "cuda": None,
            "device": "Some Processor", "dirty": True, "machine": "Linux x86_64",
            "numpy": "2.4.6", "python": "3.11.7", "threads": 1, "torch": "2.13.0",
        },
    )  # fmt: skip
    dump_lines(folder / "metrics.jsonl", rows)
    if untied:
        dump_lines(folder / "events.jsonl", [{"kind": "unshare", "step": step} for step in untied])
    dump(
        folder / "summary.json",
        {
            "steps": STEPS, "tokens": 10240, "flops": 1.234e12, "seconds": 7.0, "probes": 11,
            "parameters_at_start": 603584, "parameters_at_end": 603584, "layout_at_end": "4x1",
            "valid": {"loss": loss, "accuracy": 0.1},
            "weights": {"common": 9.0, "deviation": 1.0, "dispersion": 0.1},
        },
    )  # fmt: skip


def write_bert(out: Path, seeds: int = 3) -> None:
    folder = out / "bert" / "smoke-abc"
    losses = {
        arm: [6.0 + 0.01 * s + 0.05 * k * (-1) ** k + 0.002 * s * k for s in range(seeds)]
        for k, arm in enumerate(ARMS)
    }
    arms = compared(losses, "baseline")
    for arm, untied in ARMS.items():
        for seed in range(seeds):
            write_run(folder / f"{arm}-s{seed}", seed, losses[arm][seed], untied)
        arms[arm] |= {
            "accuracy": {str(s): 0.1 for s in range(seeds)},
            "seconds": {str(s): 7.0 for s in range(seeds)},
            "untied_at": {str(s): untied for s in range(seeds)},
            "steps": STEPS, "tokens": 10240, "flops": 1.234e12,
            "parameters_at_start": 353664 if untied else 603584, "parameters_at_end": 603584,
        }  # fmt: skip
    dump(
        folder / "comparison.json",
        {
            "study": {"size": "4x32", "rho": 0.5, "peak_lr": 0.002, "arms": list(ARMS)},
            "reference": "baseline", "environment": {}, "arms": dict(sorted(arms.items())),
        },
    )  # fmt: skip
    dump(out / "bert" / "current.json", {"folder": "smoke-abc"})


CLAIMS = [
    {"id": "THM1", "statement": "R(t) <= exp(-2t) R(0) | any target", "source": "Theorem 1",
     "verdict": "true as a bound, loose by 3.2",
     "evidence": "8 targets <script>alert(1)</script>",
     "rigour": "closed form", "figure": "theorem_bounds",
     "command": "python paper_repro.py theory"},
    {"id": "TAB2", "statement": "1M updates", "source": "Table 2", "verdict": "not attempted",
     "evidence": "not run", "rigour": "", "figure": "", "command": "python paper_repro.py bert"},
]  # fmt: skip


def write_results(out: Path) -> None:
    dump(out / "theory" / "flow_curves.json", record(flow_curves()))
    dump(out / "theory" / "theorem_bounds.json", record(theorem_bounds()))
    dump(out / "theory" / "descent_bounds.json", record(descent_bounds()))
    for study in (controls, alignment, common_component, odd_targets):
        dump(out / "theory" / f"{study.__name__}.json", record(study()))
    dump(out / "theory" / "speedup.json", record(speedup()))
    dump(out / "theory" / "steps.json", record(steps()))
    dump(out / "theory" / "admissible.json", record(admissible()))
    dump(out / "toy" / "deep_linear.json", record(toy()))
    dump(out / "toy" / "teacher_student.json", record(teacher_student()))
    dump(out / "theory" / "quadratic.json", record(quadratic()))
    dump(out / "theory" / "sign_descent.json", record(sign_descent()))
    dump(out / "toy" / "adam_quadratic.json", record(adam_quadratic()))
    dump(out / "toy" / "adam_unshare.json", record(adam_unshare()))
    dump(out / "claims.json", CLAIMS)
    write_bert(out)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Result files, nothing drawn yet."""
    out = tmp_path / "results"
    write_results(out)
    return out


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Result files with everything drawn; read only."""
    out = tmp_path_factory.mktemp("built") / "results"
    write_results(out)
    build(out)
    yield out
    shutil.rmtree(out)


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Any], None]], None]:
    """Change a JSON file in place."""

    def change(path: Path, how: Callable[[Any], None]) -> None:
        value = json.loads(path.read_text(encoding="utf-8"))
        how(value)
        dump(path, value)

    return change


@pytest.fixture
def one_seed(tmp_path: Path) -> Path:
    """A BERT study with a single seed: no intervals anywhere."""
    out = tmp_path / "results"
    write_bert(out, seeds=1)
    return out
