"""Small calibrations with an outcome that can be told by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from swe.predict.calibration import TAUS, Calibration
from swe.predict.measured import ARMS, Measured


def measured(gap: float = 0.0, **changed: Any) -> Measured:
    """A run whose tied arms end `gap` decades above the equal start at both lengths."""
    losses = {arm: -1.0 if arm in ("baseline", "equal-start") else -1.0 + gap for arm in ARMS}
    plain: dict[str, Any] = {
        "updates": 1000,
        "share": 1 / 16,
        "start": 0.0,
        "short": losses,
        "long": losses,
        "sharpness": 2.0,
        "tied_sharpness": 1.0,
        "commutator": 0.5,
    }
    return Measured(**plain | changed)


def known(
    gaps: list[float], change: list[float], verdict: list[int], families: list[str]
) -> Calibration:
    """Cells of one run each: `gaps` say what they look like, the rest what came of them."""
    names = tuple(sorted(set(families)))
    return Calibration(
        share=1 / 16,
        features=np.stack([measured(gap).features() for gap in gaps]),
        cell=np.arange(len(gaps)),
        change=np.array(change)[:, None] + 0.01 * np.arange(len(TAUS)),
        verdict=np.repeat(np.array(verdict)[:, None], len(TAUS), axis=1),
        family=np.array([names.index(family) for family in families]),
        families=names,
    )


def two_kinds(each: int = 40) -> Calibration:
    """Runs that look better tied and were helped, and runs that look worse and were hurt."""
    rng = np.random.default_rng(0)
    better, worse = -1 + 0.1 * rng.random(each), 1 + 0.1 * rng.random(each)
    return known(
        [*better, *worse],
        [-0.5] * each + [0.3] * each,
        [0] * each + [2] * each,
        ["a", "b"] * each,
    )
