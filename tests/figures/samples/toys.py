"""Samples of the toys on the training core: `toy/*.json`, but for what AdamW alone has."""

from __future__ import annotations

from typing import Any

from tests.figures.samples.files import compared


def toy() -> dict[str, Any]:
    curve = {"time": [0.0, 0.2, 0.4], "flow": [1.0, 0.1, 0.01], "core": [1.0, 0.11, 0.012]}
    arms = ("equal-start", "always-shared", "swe-f 5 %", "swe-f 20 %", "swe-f 50 %")
    settings = []
    for eps in (0.0, 0.3):
        final = {
            arm: [-4 + k / 5 + s / 50 + s * k / 90 for s in range(3)] for k, arm in enumerate(arms)
        }
        settings.append(
            {
                "eps": eps,
                "step_size": 0.01,
                "curves": {arm: [0.0, -2.0, values[0]] for arm, values in final.items()},
                "arms": compared(final, "equal-start"),
            }
        )
    return {
        "core_against_flow": {
            "depth": 8,
            "size": 4,
            "step_sizes": [1e-2, 5e-3, 2.5e-3, 1.25e-3],
            "errors": [0.016, 0.008, 0.004, 0.00234],
            "slope": 1.017,
            "curve": curve,
        },
        "distinct_modules": {
            "depth": 6,
            "size": 4,
            "steps": 300,
            "seeds": 3,
            "curve_every": 150,
            "settings": settings,
        },
    }


def teacher_student() -> dict[str, Any]:
    arms = ("baseline", "equal-start", "swe-f 10 %", "always-shared")
    settings = []
    for optimiser in ("sgd", "adamw"):
        for eps in (0.0, 1.0):
            final = {
                arm: [-2 + k / 10 + s / 50 + s * k / 90 for s in range(3)]
                for k, arm in enumerate(arms)
            }
            settings.append(
                {
                    "optimiser": optimiser,
                    "eps": eps,
                    "chosen": {},
                    "against_equal_start": compared(final, "equal-start"),
                    "against_baseline": compared(final, "baseline"),
                }
            )
    return {
        "depth": 6,
        "width": 8,
        "rows": 16,
        "steps": 400,
        "seeds": 3,
        "arms": list(arms),
        "settings": settings,
    }


def judged() -> dict[str, Any]:
    arms = ("baseline", "equal-start", "swe-f 10 %", "swe-f 20 %", "always-shared")
    settings = []
    for family, gain in (("unrolled", 1.0), ("lista", 0.0), ("residual", -0.5)):
        final = {
            arm: [-2 + k / 10 - gain * (2 <= k <= 3) + s / 50 + s * k / 90 for s in range(3)]
            for k, arm in enumerate(arms)
        }
        named = {"gamma": 1.0, "eps": 0.3} if family == "unrolled" else {}
        settings.append(
            {
                "family": family,
                **named,
                "optimiser": "adamw",
                "steps": 400,
                "chosen": "swe-f 20 %",
                "verdict": "helps" if gain > 0 else "hurts",
                "inside": [True, True, True],
                "against_baseline": compared(final, "baseline"),
                "against_equal_start": compared(final, "equal-start"),
                "against_always_shared": compared(final, "always-shared"),
            }
        )
    return {
        "depth": 8,
        "width": 8,
        "tuning": 6,
        "judging": 3,
        "arms": list(arms),
        "settings": settings,
    }


def hessian() -> dict[str, Any]:
    taus = [0.0, 0.1, 0.4, 1.0]

    def said(gain: float) -> dict[str, Any]:
        means = [0.0, -gain, -gain / 2, 0.3]
        words = ["helps" if mean < -0.1 else "no gain" for mean in means[:-1]] + ["hurts"]
        entry = {
            "mean": means,
            "low": [mean - 0.05 for mean in means],
            "high": [mean + 0.05 for mean in means],
            "verdict": words,
        }
        best = taus[1] if gain > 0 else 0.0
        against = {f"against_{control}": entry for control in ("baseline", "equal_start")}
        return against | {"verdict": words, "best_tau": best}

    named = [("sgd", 1.0, 0.3), ("sgd", 0.3, 2.0), ("adamw", 1.0, 0.3)]
    settings = [
        {
            "optimiser": optimiser,
            "gamma": gamma,
            "eps": eps,
            "steps": 200,
            "rate": 3.2,
            "inside": True,
            "edge": 4.4,
            "coupling": 0.4,
            "log10_controls": [-2.0, -1.9],
            "measured": said(0.4) | {"best_tau_set": [0.1, 0.4]},
            "parts": {"full": said(0.5), "commuting": said(0.0), "exchangeable": said(-0.1)},
        }
        for optimiser, gamma, eps in named
    ]
    return {
        "depth": 8,
        "width": 8,
        "tuning": 4,
        "judging": 3,
        "even": 0.02,
        "tau": taus,
        "settings": settings,
    }


def forecast() -> dict[str, Any]:
    cells = [("unrolled", "helps", -0.4), ("lista", "no gain", 0.01), ("residual", "hurts", 0.3)]

    def right(family: str) -> dict[str, Any]:
        of = len(cells) if family == "all" else 1
        return {
            "sign": {"right": of - (family in ("all", "lista")), "of": of},
            "tau": {"right": of, "of": of},
            "regret": 0.1,
            "size": {"right": of // 2, "of": of - (family in ("all", "lista"))},
        }

    families = [family for family, _, _ in cells]
    return {
        "unseen": ["lista"],
        "steps": 100,
        "share": 0.125,
        "cells": len(cells),
        "truths": {
            name: {word: int(name in ("all", family)) for family, word, _ in cells}
            for name in ("all", *families)
        },
        "rules": {
            rule: {name: right(name) for name in ("all", *families)}
            for rule in ("forecast", "rehearsal")
        },
        "forecasts": [
            {
                "family": family, "verdict": word, "sureness": 0.8, "until": 0.2,
                "change": change * 1.5, "low": change - 0.2, "high": change + 0.2,
                "true_verdict": word, "true_until": 0.4, "true_change": change,
            }
            for family, word, change in cells
        ],
    }  # fmt: skip


def predictions() -> dict[str, Any]:
    def gap(mean: float) -> dict[str, Any]:
        return {"n": 3, "mean": mean, "low": mean - 0.05, "high": mean + 0.05}

    def setting(toy: str, optimiser: str, eps: float) -> dict[str, Any]:
        found = {
            "toy": toy, "optimiser": optimiser, "eps": eps, "tau": [0.0, 0.1, 1.0],
            "measured": [gap(v) for v in (0.0, 0.02, 0.3)], "baseline": gap(-0.11),
            "best_tau": 0.0, "best_tau_set": [0.0, 0.1], "predicted_best_tau": 0.375,
            "best_tau_inside": True, "common_speed": {"predicted": 1.042, "measured": gap(1.033)},
        }  # fmt: skip
        if optimiser == "adamw":
            return found
        names = (
            "defect",
            "force_cosine_start",
            "force_cosine_end",
            "log10_noise_end_over_start",
            "alignment_start",
            "alignment_start_predicted",
            "mean_paths_apart",
        )
        return found | {
            "predicted": [0.0, 0.01, 0.28],
            "general": [0.0, 0.02, 0.31],
            "predicted_baseline": -0.02,
            "gain_over_equal_start": gap(-0.02),
            "gain_over_baseline": gap(-0.13),
            "predicted_gain_over_equal_start": -0.01,
            "predicted_gain_over_baseline": -0.03,
            "premises": {name: gap(0.5 + k / 100) for k, name in enumerate(names)},
        }

    kinds = [("quadratic", "sgd"), ("deep linear", "sgd"), ("students near", "sgd"),
             ("students", "sgd"), ("students", "adamw")]  # fmt: skip
    return {
        "steps": 300,
        "linear_steps": 2000,
        "seeds": 3,
        "near": 0.01,
        "settings": [
            setting(*kind, eps)
            for kind in kinds
            for eps in ((1.0,) if kind[0] == "quadratic" else (0.0, 0.3))
        ],
    }


def moments() -> dict[str, Any]:
    arms = ("copy", "reset", "rescale", "sum copy", "sum rescale", "own", "untied", "untied reset")
    windows = [[0, 10], [10, 50]]

    def lengths(level: float) -> dict[str, Any]:
        over = [{"n": 4, "mean": level, "low": level - 0.1, "high": level + 0.1} for _ in windows]
        curve = [level] * 56
        return {
            "over own": over,
            "curve over own": curve,
            "over untied": over,
            "curve over untied": curve,
        }

    runs = {arm: [-1.0 + 0.1 * k, -1.2 + 0.11 * k, -0.9 + 0.12 * k] for k, arm in enumerate(arms)}
    setting = {
        "rows": 4,
        "tau": 24,
        "steps": 80,
        "rates": [0.01],
        "windows": windows,
        "middle_rate": 0.01,
        "rate": dict.fromkeys(arms, 0.01),
        "lengths": {arm: lengths(0.3 - 0.5 * k) for k, arm in enumerate(arms)},
        "best_rate_end": {r: compared(runs, r) for r in ("copy", "untied")},
    }
    return {
        "figure": "moments",
        "depth": 12,
        "width": 8,
        "betas": [0.9, 0.999],
        "networks": 6,
        "settings": [
            {"strength": strength, "alignment": alignment, **setting}
            for strength, alignment in ((0.3, 0.88), (3.0, 0.32))
        ],
    }


FILES = {
    "toy/deep_linear.json": toy,
    "toy/teacher_student.json": teacher_student,
    "toy/predictions.json": predictions,
    "toy/judged.json": judged,
    "toy/hessian.json": hessian,
    "toy/forecast.json": forecast,
    "toy/moments.json": moments,
}
