"""Phase diagrams of tying first: measured gain over budget and model, and its predicted zero line.

The gain is that of tying the first sixteenth of the updates, from the exact expected loss of SGD
(`theory.models.noise_and_deviations`); the line on top, the budget above which tying first helps,
is the horizon theorem's (`theory.models.horizon`), which does not look at it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from theory.models import horizon
from theory.models import noise_and_deviations as noisy
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies.when import one_stiff

Model = tuple[Array, float, float]
"""Curvatures (L,), variance of the optima over squared distance, temperature."""
TIED = 16
"""One update in so many is tied, the first ones."""
MODERATE = one_stiff(8.0, 1.0)
APART = 0.3
"""Variance of the optima where the temperature changes."""


def _spread(ratio: float) -> Model:
    return one_stiff(ratio, 1.0), 0.0, 0.0


def _deviations(variance: float) -> Model:
    return MODERATE, variance, 0.0


def _temperature(temperature: float) -> Model:
    return MODERATE, APART, temperature


PHASES: dict[str, tuple[Callable[[float], Model], float, float]] = {
    "curvature": (_spread, 1.25, 256.0),
    "deviations": (_deviations, 1e-3, 10.0),
    "temperature": (_temperature, 1e-2, 10.0),
}
"""What one axis changes: the model of a value, and the least and largest value."""


def phase(kind: str, points: int, updates: int) -> dict[str, Any]:
    """Gain in decades, (points, points), over values x budgets (times the largest curvature).

    "zero": for each value the budget above which tying first helps, None where it never does.
    "agree": share of the cells in which the sign of the gain is the line's.
    """
    model, low, high = PHASES[kind]
    values, budgets = np.geomspace(low, high, points), np.geomspace(0.5, 64.0, points)
    gains, zeros, agree = [], [], []
    for value in values:
        h, deviation, temperature = model(float(value))
        stiffest = float(np.max(h))
        zero = horizon.helping_horizon(h, 1.0, deviation, temperature) * stiffest
        row = []
        for budget in budgets:
            eta = float(budget) / stiffest / updates
            steps = np.full(updates, eta)
            found = noisy.losses(h, steps, 1.0, deviation, temperature / eta)
            row.append(float(np.log10(found[0] / found[updates // TIED])))
        gains.append(row)
        zeros.append(zero if np.isfinite(zero) else None)
        agree += [
            (gain > 0.0) == (budget > zero) for gain, budget in zip(row, budgets, strict=True)
        ]
    return {
        "values": values.tolist(),
        "budgets": budgets.tolist(),
        "gain": gains,
        "zero": zeros,
        "agree": float(np.mean(agree)),
        "helps": float(np.mean(np.array(gains) > 0.0)),
    }


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """One map a phase; nothing is drawn at random. "small" takes some ten seconds on one core."""
    size = check_scale(scale)
    points, updates = [6, 20, 40][size], [128, 256, 512][size]
    maps = {kind: phase(kind, points, updates) for kind in PHASES}
    return {
        "figure": "phases",
        "seed": seed,
        "scale": scale,
        "maps": maps,
        "caption_numbers": {
            "depth": len(MODERATE),
            "updates": updates,
            "tied": TIED,
            "stiffest": float(np.max(MODERATE)),
            "variance": APART,
            "cells": points * points,
        },
    }
