"""Sample results of the solvable models, in closed form and by Adam's own steps."""

from __future__ import annotations

from typing import Any


def quadratic() -> dict[str, Any]:
    def curve(ratio: float) -> dict[str, Any]:
        tau = [0.0, 0.5, 1.0]
        values = [1.0, 0.8, ratio]
        return {
            "tau": tau,
            "relative": values,
            "simulated_tau": tau,
            "simulated": values,
            "standard_error": [0.01] * 3,
            "best_tau": 0.5,
            "best_relative": 0.8,
            "unshared": 1.1,
        }

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
    reach = {
        "batches": 8,
        "tied_steps": 90.0,
        "tied_standard_error": 1.0,
        "unshared_steps": 180.0,
        "unshared_standard_error": 2.0,
        "gain": 2.02,
        "predicted": 2.06,
    }
    arm = {"floor": 0.0016, "standard_error": 0.00001, "predicted": 0.0015}
    return {
        "snr": [0.01, 10.0], "lines": {"16": [4.0, 1.0]},
        "gains": [{"depth": 16, "snr": [0.1, 1.0], "gain": [3.9, 1.5],
                   "standard_error": [0.1, 0.01]}],
        "start_snr": [0.3, 3.0], "reach_lines": {"tied": [90, 50], "unshared": [180, 60]},
        "reach": [{"snr": 0.3, **reach}, {"snr": 3.0, **reach}],
        "floors": {"replicas": 100,
                   "arms": {"tied": arm, "unshared": arm, "unshared, sqrt(L) eta": arm}},
        "caption_numbers": {
            "samples": 20000, "largest_z": 1.63, "points": 5, "reach_depth": 16, "reached": 0.1,
            "reach_gap": 0.0214, "floor_ratio": 4.03, "floor_ratio_larger_step": 0.98,
        },
    }  # fmt: skip


def staircase() -> dict[str, Any]:
    arm = {"loss": [1.0, 0.5, 1e-3], "hops": [1.0, 1.5], "tau": 0.5}
    run = {
        "rate": 0.003,
        "noise": 0.1,
        "n": 8,
        "skills": 4,
        "start": 0.2,
        "gain": 1.8,
        "gain_error": 0.1,
        "expected": 1.75,
    }
    row = {"budget": 0.9, "fraction": 0.0}
    random = {"ratio": 1.01, "log_error": 0.01}
    return {
        "curves": {"skills": 4, "start": 0.1, "times": [0.0, 1.0, 2.0], "budget": 1.75,
                   "best_fraction": 0.875,
                   "arms": dict.fromkeys(("untied", "half way", "best", "tied"), arm)},
        "noise": [{"skills": k, "start": 0.03, "flow": 1.1, "full_noise": 1.1 * k**0.5,
                   "best": 0.7 * k, "front": 0.8 * k} for k in (2, 4)],
        "simulated": [{**run, "update": name} for name in ("sign", "adamw", "sgd")]
        + [{**run, "update": "adamw", "noise": 0.0, "gain": 0.98, "expected": None}],
        "tau": [{"skills": 3, "over_tied_last_hop": 0.95,
                 "rows": [row, {"budget": 1.01, "fraction": 0.8}]}],
        "random": {"skills": 3, "draws": 8, "over_equal": random, "over_tied": random},
        "caption_numbers": {
            "share": 0.1, "flow_low": 1.05, "flow_high": 1.22, "best_gain": 2.8, "best_skills": 4,
            "best_slope": 0.71,
        },
    }  # fmt: skip


def when() -> dict[str, Any]:
    budget, gain = [0.5, 1.0, 4.0], [0.0, 0.25, 1.0]
    curve = {"budget": budget, "gain": gain, "curvatures": [64.0, 1.0, 1.0], "deviation": 0.0}
    begin = {
        "closed": gain,
        "critical_times_stiffest": 2.125,
        "zero": 1.0,
        "last_without": 0.875,
        "first_with": 1.25,
    }
    rate = curve | {"noise": 0.01, "horizon": 0.25, "top": 0.75}
    return {
        "horizon": [
            curve | begin,
            curve | begin | {"critical_times_stiffest": 3.25},
            curve | begin | {"closed": None, "deviation": 3.0, "zero": 1.5},
        ],
        "one_rate": [rate, rate | {"noise": 1.0, "top": 0.5}],
        "tuned": [
            curve | {"curvatures": [1.0, 1.0, 1.0], "end": 0.875},
            curve | {"curvatures": [1.0, 1.0, 1.0], "end": 0.75},
            curve | {"end": None},
        ],
        "random_optima": [{"budget": 1.0, "helped": 0.02}, {"budget": 3.0, "helped": 0.31}],
        "caption_numbers": {"depth": 3, "updates": 800, "floor": 0.001, "closed_gap": 0.0125},
    }  # fmt: skip


def phases() -> dict[str, Any]:
    one = {
        "values": [1.0, 4.0],
        "budgets": [0.5, 2.0, 8.0],
        "gain": [[-0.25, 0.125, 0.5], [-0.5, -0.125, 0.25]],
        "zero": [1.0, 4.0],
        "agree": 0.875,
        "helps": 0.5,
    }
    return {
        "maps": {"curvature": one, "deviations": one | {"zero": [1.0, None]}, "temperature": one},
        "caption_numbers": {
            "depth": 8, "updates": 128, "tied": 16, "stiffest": 8.0, "variance": 0.3, "cells": 6,
        },
    }  # fmt: skip


def adam_quadratic() -> dict[str, Any]:
    gains = {"snr": [0.1, 1.0], "gain": [3.5, 1.4], "standard_error": [0.05, 0.004]}
    speed = gains | {"depth": 16, "predicted": {"adam": [3.7, 1.37], "sign": [3.9, 1.5]}}
    reach = gains | {"depth": 16, "predicted": [3.9, 1.8]}
    row = {
        "snr": 0.1,
        "loss_tied": [0.5, 0.1, 0.2],
        "loss_unshared": [0.9, 0.4, 0.11],
        "best_peak_tied": 0.02,
        "best_peak_unshared": 0.04,
        "best_gain": 1.125,
        "standard_error": 0.0625,
    }
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
        return {
            "tau": tau,
            "moments": moments,
            "predicted": loss * 1.01,
            "peak": 0.02,
            "loss": loss,
            "standard_error": 0.02,
        }

    rows = [
        row(0.0, "rescale", 1.4),
        row(0.5, "copy", 1.1),
        row(0.5, "rescale", 0.9),
        row(1.0, "rescale", 1.2),
    ]
    both = {"copy": 1.27, "rescale": 1.55}
    setting = {
        "rows": rows,
        "best_tau": {"copy": 0.5, "rescale": 0.5},
        "gain": both,
        "gain_error": {"copy": 0.04, "rescale": 0.04},
        "predicted_gain": 1.6,
        "predicted_best_tau": 0.5,
        "largest_gap": 0.02,
    }
    return {
        "depth": 16,
        "steps": 200,
        "replicas": 64,
        "start_snr": 0.1,
        "peaks": [0.01, 0.02],
        "settings": [{"bias": bias, **setting} for bias in (2.0, 6.0, 20.0)],
        "caption_numbers": {"largest_gap": 0.0234, "gain": {"2": 1.55}},
    }


FILES = {
    "theory/quadratic.json": quadratic,
    "theory/sign_descent.json": sign_descent,
    "theory/staircase.json": staircase,
    "theory/when.json": when,
    "theory/phases.json": phases,
    "toy/adam_quadratic.json": adam_quadratic,
    "toy/adam_unshare.json": adam_unshare,
}
