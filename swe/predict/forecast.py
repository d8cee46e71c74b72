"""The forecast: what came of the known runs that measured most like this one.

No theory of the layers is in it. The nearest NEIGHBOURS runs of the calibration, by the sum of the
features' distances in units of their deviation, vote with weights 1 / (d + 0.3 d_m), d_m their
median distance. Their outcomes are whole budgets away from the rehearsals that made them alike,
which is the point: where the theory's horizon is longer than a rehearsal, a rehearsal's own sign
says "hurts" of runs that sharing helps.

How sure it is of itself is measured, not assumed: each run of the calibration is forecast from all
cells but its own, and the share of right verdicts among the forecasts that were about as sure is
the `right` of a forecast. It holds for models such as those of the calibration. Of a family that is
left out whole far fewer verdicts are right (`right_unseen`), which is what to expect for a model
that is like none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swe.predict.calibration import TAUS, VERDICTS, Calibration, load
from swe.predict.measured import Measured

NEIGHBOURS = 16
"""Runs; four of each cell are in the shipped calibration."""
LOW, HIGH = 0.1, 0.9
"""Quantiles of the interval."""
ALIKE = 0.25
"""Share of the calibration's forecasts, the nearest in sureness, over which `right` is taken."""


@dataclass(frozen=True)
class Forecast:
    """What sharing until `until` will do, and how often such a forecast was right."""

    verdict: str
    """One of VERDICTS, at the best tau."""
    sureness: float
    """Weight of the neighbours with this verdict."""
    until: float
    """Best tau, as a fraction of the run; one of TAUS."""
    change: float
    """log10 of the loss above the floor, SWE-F minus the better of baseline and equal start."""
    low: float
    """Its 80 % interval: what a tenth of the weight lies below."""
    high: float
    """What a tenth of the weight lies above."""
    right: float
    """Share of right verdicts among known runs of which the forecast was about as sure."""
    right_unseen: float
    """The same with a run's whole family left out."""
    families: tuple[tuple[str, float], ...]
    """Families of the neighbours and their weights, the heaviest first."""
    distance: float
    """Mean distance of the neighbours over its median among known runs; above 3 is far from all."""


def forecast(measured: Measured, calibration: Calibration | None = None) -> Forecast:
    """Forecast the run that was measured; by default with the shipped calibration.

    Raises ConfigError where the calibration has no rehearsals of that share.
    """
    known = calibration or load(measured.share)
    found = vote(known, measured.features())
    right, unseen, distance = _tried(known)
    return Forecast(
        verdict=VERDICTS[found.verdict],
        sureness=found.sureness,
        until=TAUS[found.tau],
        change=found.change,
        low=found.low,
        high=found.high,
        right=_among(right, found.sureness),
        right_unseen=_among(unseen, found.sureness),
        families=tuple((known.families[i], w) for i, w in found.families),
        distance=found.distance / distance,
    )


@dataclass(frozen=True)
class Vote:
    """What the neighbours say; `verdict` and `tau` are indices."""

    verdict: int
    sureness: float
    tau: int
    change: float
    low: float
    high: float
    families: tuple[tuple[int, float], ...]
    distance: float


def vote(known: Calibration, features: NDArray[np.float64]) -> Vote:
    """Let the runs nearest to ``features``, (17,), vote."""
    distances = np.abs((known.features - features) / known.scale).sum(axis=1)
    return _voted(known, distances)


def _voted(known: Calibration, distances: NDArray[np.float64]) -> Vote:
    near = np.argsort(distances, kind="stable")[:NEIGHBOURS]
    near = near[np.isfinite(distances[near])]
    d, cells = distances[near], known.cell[near]
    weights = 1 / (d + 0.3 * max(float(np.median(d)), 1e-9))
    weights /= weights.sum()
    votes = np.bincount(known.outcome[cells], weights, len(VERDICTS))
    changes = known.change[cells]
    means = weights @ changes
    tau = int(means.argmin())
    low, high = _quantiles(changes[:, tau], weights)
    families = np.bincount(known.family[cells], weights, len(known.families))
    order = [int(i) for i in np.argsort(-families, kind="stable") if families[i] > 0]
    return Vote(
        verdict=int(votes.argmax()),
        sureness=float(votes.max()),
        tau=tau,
        change=float(means[tau]),
        low=low,
        high=high,
        families=tuple((i, float(families[i])) for i in order),
        distance=float(d.mean()),
    )


def _quantiles(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """LOW and HIGH of a weighted sample: the least value that so much weight does not exceed."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    at = np.minimum(np.searchsorted(reached, [LOW, HIGH]), len(values) - 1)
    low, high = values[order][at]
    return float(low), float(high)


Tried = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Sureness of each of the calibration's forecasts, and whether its verdict was right."""


def _among(tried: Tried, sureness: float) -> float:
    """Share that was right among the ALIKE nearest in sureness."""
    sure, right = tried
    count = max(1, round(ALIKE * len(sure)))
    near = np.argsort(np.abs(sure - sureness), kind="stable")[:count]
    return float(right[near].mean())


@lru_cache(maxsize=4)
def _tried(known: Calibration) -> tuple[Tried, Tried, float]:
    """Forecast one run of each cell without its cell, and without its family; and the median of the
    neighbours' mean distance in the former.
    """
    first = np.unique(known.cell, return_index=True)[1]
    seen: list[tuple[float, bool]] = []
    unseen: list[tuple[float, bool]] = []
    far: list[float] = []
    for run in first:
        cell = known.cell[run]
        distances = np.abs((known.features - known.features[run]) / known.scale).sum(axis=1)
        own = known.cell == cell
        kin = (known.family == known.family[cell])[known.cell]
        for hidden, votes in ((own, seen), (kin, unseen)):
            if not hidden.all():
                said = _voted(known, np.where(hidden, np.inf, distances))
                votes.append((said.sureness, bool(said.verdict == known.outcome[cell])))
                if hidden is own:
                    far.append(said.distance)
    return _columns(seen), _columns(unseen), max(float(np.median(far or [1.0])), 1e-9)


def _columns(votes: list[tuple[float, bool]]) -> Tried:
    if not votes:
        return np.array([0.0]), np.array([False])
    return np.array([s for s, _ in votes]), np.array([r for _, r in votes])
