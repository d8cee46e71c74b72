"""Sample results of the controls: starts, targets, alignment, the common component."""

from __future__ import annotations

from typing import Any

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
        "figure": "common_component",
        "depths": [4, 8],
        "beyond": rows,
        "energy": energy,
        "caption_numbers": {
            "gap": 0.04,
            "goal": 1e-6,
            "times": times,
            "sharing_arrived": 0,
            "guaranteed": {
                "gap": 0.01,
                "swe_slope": -1.01,
                "zas_slope": -0.71,
                "deepest": 256,
                "swe": 0.023,
                "zas": 0.101,
            },
        },
    }


def gradient_noise() -> dict[str, Any]:
    etas = [0.01, 0.02]
    still = [
        {
            "arm": arm,
            "eta": eta,
            "floor": 0.011 * eta,
            "standard_error": 1e-4 * eta,
            "predicted": 0.0105 * eta,
            "first_order": 0.01 * eta,
            "apart": 0.1,
            "apart_error": 0.01,
            "apart_predicted": 0.1,
        }
        for arm in ("shared", "identity", "zas")
        for eta in etas
    ]
    entry = {"loss": [0.01, None], "standard_error": [1e-3, None], "predicted": [0.011, 0.02],
             "best_eta": 0.01, "best_loss": 0.01, "best_error": 1e-3}  # fmt: skip
    one = {"gain": 1.0, "standard_error": 0.01}
    gains = {
        "tying": one,
        "tying, perturbed": one,
        "averaging, perturbed": one,
        "start": {"gain": 3.21, "standard_error": 0.2},
    }
    arms = {arm: dict(entry) for arm in ("shared", "identity", "zas")}
    return {
        "figure": "gradient_noise",
        "depth": 8,
        "d": 2,
        "steps": 100,
        "replicas": 64,
        "etas": etas,
        "floor_sigma": 0.1,
        "floors": still,
        "tuned": [
            {"sigma": s, "arms": arms, "gains": gains, "fixed": [1.0, None]} for s in (0.1, 1.0)
        ],
        "caption_numbers": {
            "largest_z": 1.44,
            "largest_floor_gap": 0.0312,
            "points": 6,
            "deepest_fixed": [1.0, None],
            "largest_floor_saved": 0.0021,
            "largest_apart_gap": 0.01,
            "gains": {name: [gain, gain] for name, gain in gains.items()},
            "largest_predicted_gap": 0.05,
        },
    }


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
            {
                "start": start,
                "depth": depth,
                "quartiles": [0.1 * depth, 0.2 * depth, 0.4 * depth],
                "never": 0.0,
                "mean": None,
            }
            for start in starts
            for depth in (4, 8)
        ],
        "caption_numbers": {
            "draws": 200,
            "depths": 6,
            "slopes": dict.fromkeys(starts, fit),
            "predicted_unshared": 0.635,
            "predicted_one_draw": 0.394,
            "deepest": 16,
            "largest_angle": 0.99,
            "identity_over_zas": 11.37,
        },
    }


FILES = {
    "theory/controls.json": controls,
    "theory/gradient_noise.json": gradient_noise,
    "theory/alignment.json": alignment,
    "theory/common_component.json": common_component,
    "theory/odd_targets.json": odd_targets,
}
