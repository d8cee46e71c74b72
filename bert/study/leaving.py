"""When do runs leave the plateau, by the number of layers that were drawn? STAIR-DRAW at scale.

``theory.models.draws`` and ``noisy_draws``: where every layer can learn the first skill, A drawn
layers copied to L leave later than L drawn ones and more unevenly, and tying them can only delay
that. Neither the dimension d of the skill nor the noise is known of a model, so what stands beside
the runs is what holds for any of them:

* the standard deviation over seeds, over the baseline's: 1, noise alone, to
  sqrt(psi'(A / 2) / psi'(L / 2)), no noise and d = 1, of layers that are never tied;
* the mean delay over the baseline, in e-folds of the gain: 0 to psi(L / 2) - psi(A / 2) -
  log(L / A) never tied, and log(L / A) more tied to the end;
* the delay over the equal start of as many drawn layers: 0 to as much as always-shared has.

A run has left here when its held-out loss is half of ``evidence.plateau.MARGIN`` below the best
blind loss, where its gain still grows; the e-fold is that of the baseline's gain over the FOLDS
before. Time is the sum of rates over the peak, "updates at the peak rate": the rate falls over a
run, and a flow's clock with it. Between two evaluations the gain grows exponentially. A run that
never leaves counts as at its end, so that delays are bounds from below. Arms of another rate than
the baseline's are left out.
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
FOLDS = 4.0
"""Times that the gain grows while its e-fold is measured."""
NEVER_TIED = (NeverShared.kind, EqualStart.kind, ShamUntie.kind)
"""Kinds of schedules."""
LEAST = 3
"""Seeds from which a standard deviation is stated."""


def clock(steps: int, warmup: float) -> np.ndarray:
    """Return the updates at the peak rate that a run has had after 0, 1, .., ``steps`` updates."""
    rates = OptimizerConfig(peak_lr=1.0, warmup=warmup)
    each = [rates.learning_rate(step, steps) for step in range(steps)]
    return np.concatenate([[0.0], np.cumsum(each)])


def left_at(
    steps: Sequence[int], losses: Sequence[float], blind: float, level: float = GAIN
) -> float | None:
    """Return the update at which the gain over ``blind`` is ``level``, None if it never is."""
    gains = [blind - loss for loss in losses]
    for (step, gain), (later, higher) in pairwise(zip(steps, gains, strict=True)):
        if gain < level <= higher:
            if gain <= 0.0:
                share = (level - gain) / (higher - gain)
            else:
                share = math.log(level / gain) / math.log(higher / gain)
            return step + share * (later - step)
    return float(steps[0]) if gains and gains[0] >= level else None


def leaving(
    table: Mapping[str, Any], curves: Sequence[Mapping[str, Any]], layers: int
) -> dict[str, Any]:
    """Return {"fold": updates of an e-fold, "arms": a row for each arm of the baseline's rate and
    budget}; times are updates at the peak rate, delays e-folds, intervals of 95 %.

    ``table``, ``curves``: as ``bert.study.tables`` writes them, of models of ``layers`` layers. {}
    without a blind loss, without LEAST seeds of the baseline, where one of these does not leave, or
    all leave at once.
    """
    if not table.get("blind"):
        return {}
    study, base = table["study"], table["arms"][table["reference"]]
    arms: dict[str, list[Mapping[str, Any]]] = {}
    for run in curves:
        arm = table["arms"][run["arm"]]
        if (arm.get("rate"), arm["budget"]) == (base.get("rate"), base["budget"]):
            arms.setdefault(run["arm"], []).append(run)
    arms = {name: runs for name, runs in arms.items() if len(runs) >= LEAST}
    steps = int(base["steps"])
    times = clock(steps, float(study["warmup"]))

    def at(runs: Sequence[Mapping[str, Any]], level: float = GAIN) -> dict[int, float | None]:
        reached: dict[int, float | None] = {}
        for run in runs:
            valid = run["valid"]
            left = left_at(valid["step"], valid["loss"], float(table["blind"]["loss"]), level)
            known = None if left is None else float(np.interp(left, np.arange(steps + 1), times))
            reached[int(run["seed"])] = known
        return reached

    found = {name: at(runs) for name, runs in arms.items()}
    own, early = found.get(REFERENCE, {}), at(arms.get(REFERENCE, ()), GAIN / FOLDS)
    folds = [
        (left - first) / math.log(FOLDS)
        for left, first in zip(own.values(), early.values(), strict=True)
        if left is not None and first is not None
    ]
    if len(folds) < max(LEAST, len(own)):
        return {}
    fold = math.fsum(folds) / len(folds)
    drawn = {name: _drawn(table["arms"][name]["schedule"], layers) for name in arms}
    ends = {
        name: {seed: times[-1] if time is None else time for seed, time in reached.items()}
        for name, reached in found.items()
    }
    if not _deviation(ends[REFERENCE]):
        return {}
    kinds = {name: table["arms"][name]["schedule"]["kind"] for name in arms}
    equal = {drawn[name]: name for name in arms if kinds[name] == EqualStart.kind}
    rows = []
    for name, known in ends.items():
        row = {
            "arm": name,
            "drawn": drawn[name],
            "tied": kinds[name] not in NEVER_TIED,
            "n": len(known),
            "left": sum(time is not None for time in found[name].values()),
            "at": asdict(Interval.of(list(known.values()))),
            "deviation": _deviation(known),
        }
        if name != REFERENCE:
            row |= _beside(known, ends[REFERENCE], fold, layers, drawn[name])
            if (control := equal.get(drawn[name], name)) != name:
                row["over_equal"] = asdict(_late(known, ends[control], fold))
        rows.append(row)
    return {"fold": fold, "arms": rows}


def _drawn(schedule: Mapping[str, Any], layers: int) -> int:
    """Return how many layers are drawn, each for itself."""
    each = schedule["kind"] in NEVER_TIED and schedule["kind"] != EqualStart.kind
    return layers if each else int(schedule["unit"])


def _beside(
    found: Mapping[int, float], base: Mapping[int, float], fold: float, layers: int, own: int
) -> dict[str, Any]:
    """Return what is measured over the baseline, and the ends between which it was foretold."""
    late = float(draws.delay(layers, own, 1))
    widest = float(draws.spread(own, 1) / draws.spread(layers, 1))
    return {
        "deviation_ratio": asdict(ratio(found, base)),
        "late": asdict(_late(found, base, fold)),
        "foretold": {
            "deviation_ratio": [1.0, widest],
            "late_untied": [0.0, late],
            "late_tied": [0.0, late + math.log(layers / own)],
        },
    }


def _late(found: Mapping[int, float], base: Mapping[int, float], fold: float) -> Interval:
    """Return the paired delay in e-folds."""
    shared = sorted(found.keys() & base.keys())
    return Interval.of([(found[seed] - base[seed]) / fold for seed in shared])


def _deviation(found: Mapping[int, float]) -> float:
    return float(np.std(list(found.values()), ddof=1))


def ratio(one: Mapping[int, float], two: Mapping[int, float], confidence: float = 0.95) -> Interval:
    """Return the ratio of standard deviations with its F interval, as of normal values."""
    value = _deviation(one) / _deviation(two)
    tail, degrees = (1 - confidence) / 2, (len(one) - 1, len(two) - 1)
    low, high = (value / math.sqrt(stats.f.ppf(q, *degrees)) for q in (1 - tail, tail))
    return Interval(len(one), value, float(low), float(high))
