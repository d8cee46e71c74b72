"""What leaving the plateau later costs at the end: STAIR-SHIFT (``theory.models.shift``) at scale.

An arm that leaves Delta later than the baseline, in updates at the peak rate, ends as the baseline
of a run whose clock is shorter by Delta: Phi(C - Delta), Phi read off the baselines at other
budgets of the same rate, each with a decay of its own, seed by seed. C is the clock of the arm's
own run, so that a grown arm, which has more updates for its compute, is told as well. Three values
an arm, in nats over the baseline:

* "gap": what it ends with, measured;
* "told": the same by its own delay, measured when it leaves, long before the end;
* "left_over": the gap less what was told: what its weights were worth, or its later skills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bert.study.beginning import Beginning
from bert.study.table_arms import is_baseline
from evidence.comparison import Interval
from theory.models import shift

POINTS = 41
"""Of the baseline's curve, as it is drawn."""


@dataclass(frozen=True)
class Baselines:
    """Final losses by budget and seed, of one rate."""

    clocks: np.ndarray
    """(n,) ascending: updates at the peak rate, whole runs."""
    losses: Mapping[int, np.ndarray]
    """By seed, (n,): those that have run at every budget."""
    clock: float
    """Of the reference."""

    def told(self, seed: int, at: float) -> float:
        """Return Phi(``at``) of a seed, NaN outside of the budgets."""
        return float(shift.told(self.clocks, self.losses[seed], at)) if at > 0.0 else np.nan

    def over(self, delays: Mapping[int, float], end: float) -> dict[int, float]:
        """Return {seed: Phi(``end`` - delay) - Phi(C)}, nats; seeds outside of the budgets left
        out."""
        found = {
            seed: self.told(seed, end - late) - self.told(seed, self.clock)
            for seed, late in delays.items()
            if seed in self.losses
        }
        return {seed: gap for seed, gap in found.items() if np.isfinite(gap)}

    def curve(self) -> list[list[float]]:
        """Return [clock, mean over seeds] of Phi between the first budget and the last."""
        at = np.geomspace(self.clocks[0], self.clocks[-1], POINTS)[1:-1]
        clocks = [float(self.clocks[0]), *map(float, at), float(self.clocks[-1])]
        return [[c, float(np.mean([self.told(s, c) for s in self.losses]))] for c in clocks]


def baselines(table: Mapping[str, Any], beginnings: Mapping[str, Beginning]) -> Baselines | None:
    """Return the baselines of the reference's rate; None where there is one budget, or no seed
    that has run at all of them."""
    own = table["arms"][table["reference"]]
    warmup = float(table["study"]["warmup"])
    found = {
        float(beginnings[name].clock(warmup)[-1]): arm["values"]
        for name, arm in table["arms"].items()
        if is_baseline(name) and arm.get("values") and arm.get("rate") == own.get("rate")
    }
    clocks = sorted(found)
    seeds = set.intersection(*(set(values) for values in found.values())) if found else set()
    if len(clocks) < 2 or not seeds:
        return None
    return Baselines(
        clocks=np.asarray(clocks),
        losses={int(s): np.asarray([found[c][s] for c in clocks]) for s in sorted(seeds)},
        clock=float(beginnings[table["reference"]].clock(warmup)[-1]),
    )


def shifted(
    known: Baselines, losses: Mapping[str, float], delays: Mapping[int, float], end: float
) -> dict[str, Any]:
    """Return {"gap", "told", "left_over"} of an arm, paired intervals in nats; {} where fewer than
    two seeds can be told.

    ``losses``: final, by seed; ``delays``: over the baseline, updates at the peak rate, by seed;
    ``end``: the arm's clock.
    """
    told = known.over({seed: late for seed, late in delays.items() if str(seed) in losses}, end)
    if len(told) < 2:
        return {}
    gaps = {seed: losses[str(seed)] - known.told(seed, known.clock) for seed in told}
    values = {
        "gap": list(gaps.values()),
        "told": list(told.values()),
        "left_over": [gaps[seed] - told[seed] for seed in told],
    }
    return {name: asdict(Interval.of(each)) for name, each in values.items()}
