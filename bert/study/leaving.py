"""When do runs leave the plateau, by the number of layers that were drawn? STAIR-DRAW at scale.

``theory.models.draws``: where every layer can learn the first skill, A drawn layers copied to L
leave later than L drawn ones and more unevenly, and tying them changes nothing. Neither the
dimension d of the skill nor the e-fold of its gain is known of a model, so what is compared needs
neither:

* the standard deviation over seeds, over the baseline's: from sqrt(L / A), d large, to
  sqrt(psi'(A / 2) / psi'(L / 2)), d = 1;
* the mean delay over the baseline in the arm's own standard deviations: from 0, d large, to
  (psi(L / 2) - psi(A / 2) - log(L / A)) / sqrt(psi'(A / 2)), d = 1;
* an arm that ties against the equal start of as many drawn layers: 0.

A run has left here when its held-out loss is half of ``evidence.plateau.MARGIN`` below the best
blind loss, where its gain still grows. Time is the sum of rates over the peak, "updates at the
peak rate": the rate falls over a run, and a flow's clock with it. Between two evaluations the gain
grows exponentially. A run that never leaves counts as at its end, so that delays are bounds from
below. Arms of another rate than the baseline's are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from bert.study.table_arms import REFERENCE
from evidence.comparison import Interval
from evidence.plateau import MARGIN
from swe.run.optimizer import OptimizerConfig
from swe.sharing.schedule import EqualStart, NeverShared, ShamUntie
from theory.models import draws

GAIN = MARGIN / 2
"""Nats below the best blind loss."""
LEAST = 3
"""Seeds from which a standard deviation is stated."""


def clock(steps: int, warmup: float) -> np.ndarray:
    """Return the updates at the peak rate that a run has had after 0, 1, .., ``steps`` updates."""
    rates = OptimizerConfig(peak_lr=1.0, warmup=warmup)
    each = [rates.learning_rate(step, steps) for step in range(steps)]
    return np.concatenate([[0.0], np.cumsum(each)])


def left_at(steps: Sequence[int], losses: Sequence[float], blind: float) -> float | None:
    """Return the update at which the gain over ``blind`` is GAIN, None if it never is."""
    gains = [blind - loss for loss in losses]
    for (step, gain), (later, higher) in pairwise(zip(steps, gains, strict=True)):
        if gain < GAIN <= higher:
            if gain <= 0.0:
                share = (GAIN - gain) / (higher - gain)
            else:
                share = math.log(GAIN / gain) / math.log(higher / gain)
            return step + share * (later - step)
    return float(steps[0]) if gains and gains[0] >= GAIN else None


def leaving(table: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, by arm of the baseline's rate and budget, when it leaves and what was foretold.

    ``table``, ``curves``: as ``bert.study.tables`` writes them. [] without a blind loss, without
    LEAST seeds of the baseline, or where none of these leaves.
    """
    if not table.get("blind"):
        return []
    study, blind = table["study"], float(table["blind"]["loss"])
    arms: dict[str, dict[int, float | None]] = {}
    base = table["arms"][table["reference"]]
    for run in curves:
        arm = table["arms"][run["arm"]]
        if (arm.get("rate"), arm["budget"]) == (base.get("rate"), base["budget"]):
            left = left_at(run["valid"]["step"], run["valid"]["loss"], blind)
            arms.setdefault(run["arm"], {})[int(run["seed"])] = left
    own = arms.get(REFERENCE, {})
    if len(own) < LEAST or all(left is None for left in own.values()):
        return []
    steps = int(base["steps"])
    times, layers = clock(steps, float(study["warmup"])), int(study["size"].partition("x")[0])

    def at_peak(found: Mapping[int, float | None]) -> dict[int, float]:
        known = {seed: steps if left is None else left for seed, left in found.items()}
        return {s: float(np.interp(t, np.arange(steps + 1), times)) for s, t in known.items()}

    drawn = {name: _drawn(table["arms"][name]["schedule"], layers) for name in arms}
    at = {name: at_peak(found) for name, found in arms.items() if len(found) >= LEAST}
    equal = {
        drawn[name]: at[name]
        for name in at
        if table["arms"][name]["schedule"]["kind"] == EqualStart.kind
    }
    return [
        _row(name, layers, drawn[name], found, at[REFERENCE], equal.get(drawn[name]))
        | {"left": sum(time is not None for time in arms[name].values())}
        for name, found in at.items()
    ]


def _drawn(schedule: Mapping[str, Any], layers: int) -> int:
    """Return how many layers are drawn, each for itself."""
    own = schedule["kind"] in (NeverShared.kind, ShamUntie.kind)
    return layers if own else int(schedule["unit"])


def _row(
    name: str,
    layers: int,
    own: int,
    found: Mapping[int, float],
    base: Mapping[int, float],
    equal: Mapping[int, float] | None,
) -> dict[str, Any]:
    """Return an arm's row; times in updates at the peak rate, intervals of 95 %."""
    shared = sorted(found.keys() & base.keys())
    own_spread = _deviation(found)
    row: dict[str, Any] = {
        "arm": name,
        "drawn": own,
        "n": len(found),
        "at": asdict(Interval.of(list(found.values()))),
        "deviation": own_spread,
    }
    if name == REFERENCE or not own_spread or not _deviation(base) or len(shared) < LEAST:
        return row
    late = Interval.of([(found[s] - base[s]) / own_spread for s in shared])
    row |= {
        "deviation_ratio": asdict(ratio(found, base)),
        "late": asdict(late),
        "predicted": {
            "deviation_ratio": [
                math.sqrt(layers / own),
                float(draws.spread(own, 1) / draws.spread(layers, 1)),
            ],
            "late": [0.0, float(draws.delay(layers, own, 1) / draws.spread(own, 1))],
        },
    }
    if equal is not None and equal is not found:
        both = sorted(found.keys() & equal.keys())
        row["over_equal"] = asdict(Interval.of([found[s] - equal[s] for s in both]))
    return row


def _deviation(found: Mapping[int, float]) -> float:
    return float(np.std(list(found.values()), ddof=1))


def ratio(one: Mapping[int, float], two: Mapping[int, float], confidence: float = 0.95) -> Interval:
    """Return the ratio of standard deviations with its F interval, as of normal values."""
    value = _deviation(one) / _deviation(two)
    tail, degrees = (1 - confidence) / 2, (len(one) - 1, len(two) - 1)
    low, high = (value / math.sqrt(stats.f.ppf(q, *degrees)) for q in (1 - tail, tail))
    return Interval(len(one), value, float(low), float(high))
