"""When do runs leave the plateau, by how they begin? STAIR-DRAW and STAIR-GROW at scale.

``theory.models.draws``, ``noisy_draws`` and ``grown_draws``: where every layer can learn the first
skill, A drawn layers copied to L leave later than L drawn ones and more unevenly, and tying them
can only delay that; a stack of A layers that grows to L before it leaves as copies do, at less
compute. Neither the dimension d of the skill nor the noise is known of a model, so what stands
beside the runs is what holds for any of them:

* the standard deviation over seeds, over the baseline's: 1, noise alone, to
  sqrt(psi'(A / 2) / psi'(L / 2)), no noise and d = 1, of layers that are never tied;
* the mean delay over the baseline, in e-folds of the gain, by updates: 0 to psi(L / 2) - psi(A / 2)
  - log(L / A), copied at once or grown; log(L / A) more tied to the end, and with layers that add
  zero what ``grown_draws`` says;
* the delay over the equal start of as many drawn layers: 0 to the most over the baseline;
* the same told from the two ends, equal start and always-shared, if the table has both: the mean
  gap between them says how much noise there is, for each of DIMENSIONS, and that with tau, in
  e-folds, how late SWE-F is;
* what Adam's steps make up for (``adam_draws``), where one layer is drawn, in e-folds: by the mean
  correlation of adjacent layers' gradients while all are tied, and how long that is;
* how an arm begins, E log of what it has of the skill over one layer's variance, for each of
  DIMENSIONS without noise and with nothing else: what studies of one width, rate and text differ
  by is when they leave, in e-folds (``draws.start``);
* how far behind the baseline an arm is at every further GAIN below the blind loss, in updates: as
  far as when it left where one skill is all, further where later skills are drawn anew
  (``theory.models.shift``);
* the same delay by what the stream of the arm's model begins with, measured, and of no noise or
  dimension (``theory.models.stream``);
* the compute saved by then: what that delay leaves of it, by what the arm's updates cost;
* what the delay costs at the end, if the table has baselines of other budgets (``shift``).

A run has left here when its held-out loss is half of ``evidence.plateau.MARGIN`` below the best
blind loss, where its gain still grows; the e-fold is that of the baseline's gain over the FOLDS
before. Time is the sum of rates over the peak, "updates at the peak rate": the rate falls over a
run, and a flow's clock with it. Between two evaluations the gain grows exponentially. A run that
never leaves counts as at its end, so that delays are bounds from below. Arms of another rate or
budget than the baseline's are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from bert.study.beginning import Beginning
from bert.study.first_skill import DIMENSIONS, by_stream, foretold, starts
from bert.study.shift import Baselines, baselines, shifted
from bert.study.table_arms import REFERENCE
from evidence.comparison import Interval
from evidence.plateau import MARGIN
from theory.models import adam_draws, noisy_draws

GAIN = MARGIN / 2
"""Nats below the best blind loss."""
FOLDS = 4.0
"""Times that the gain grows while its e-fold is measured."""
LEAST = 3
"""Seeds from which a standard deviation is stated."""


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


@dataclass(frozen=True)
class Left:
    """An arm's runs."""

    begins: Beginning
    clock: np.ndarray
    """Updates at the peak rate after 0, 1, .. updates."""
    runs: Sequence[Mapping[str, Any]]
    """Lines of ``bert.study.curves``."""
    blind: float

    def updates(self, level: float = GAIN) -> dict[int, float | None]:
        """Return {seed: update at which the run has left, None if it never does}."""
        return {
            int(run["seed"]): left_at(run["valid"]["step"], run["valid"]["loss"], self.blind, level)
            for run in self.runs
        }

    def at(self, level: float = GAIN) -> dict[int, float]:
        """Return the same in updates at the peak rate; the end for a run that never leaves."""
        steps = np.arange(len(self.clock))
        return {
            seed: float(self.clock[-1] if update is None else np.interp(update, steps, self.clock))
            for seed, update in self.updates(level).items()
        }

    def cost(self, at: float) -> float:
        """Return what a run has cost after so many updates at the peak rate."""
        steps = np.arange(len(self.clock))
        return float(np.interp(np.interp(at, self.clock, steps), steps, self.begins.spent()))


def leaving(
    table: Mapping[str, Any],
    curves: Sequence[Mapping[str, Any]],
    beginnings: Mapping[str, Beginning],
) -> dict[str, Any]:
    """Return {"fold": updates of an e-fold, "arms": a row for each arm of the baseline's rate and
    budget}, with other budgets also their clocks, "budgets", and "curve" as ``shift.Baselines``
    has it; times are updates at the peak rate, delays e-folds, intervals of 95 %.

    ``table``, ``curves``: as ``bert.study.tables`` writes them; ``beginnings``: of its arms. {}
    without a blind loss, without LEAST seeds of the baseline, where one of these does not leave, or
    all leave at once.
    """
    arms = _comparable(table, curves, beginnings)
    base = arms.get(REFERENCE)
    if base is None or None in base.updates().values():
        return {}
    own, early = base.at(), base.at(GAIN / FOLDS)
    fold = math.fsum(own[seed] - early[seed] for seed in own) / len(own) / math.log(FOLDS)
    if not _deviation(own):
        return {}
    equal = {arm.begins.drawn: arm.at() for arm in arms.values() if arm.begins.equal}
    staged = any(len(arm.begins.phases) > 1 for arm in arms.values())
    others = baselines(table, beginnings)
    rows = []
    for name, arm in arms.items():
        of, known = arm.begins, arm.at()
        row: dict[str, Any] = {
            "arm": name,
            "drawn": of.drawn,
            "tied": of.tied,
            "grown": of.grown,
            "n": len(known),
            "left": sum(update is not None for update in arm.updates().values()),
            "at": asdict(Interval.of(list(known.values()))),
            "times": list(known.values()),
            "end": float(arm.clock[-1]),
            "deviation": _deviation(known),
        }
        row |= {} if (begins := starts(of)) is None else {"start": begins}
        row |= {} if of.reach is None else {"reach": of.reach}
        if name != REFERENCE:
            row["deviation_ratio"] = asdict(ratio(known, own))
            row["late"] = asdict(_late(known, own, fold))
            row["foretold"] = foretold(of)
            row["behind"] = _behind(arm, base)
            row |= {} if (told := by_stream(of, base.begins)) is None else {"by_stream": told}
            if of.drawn in equal and not of.equal:
                row["over_equal"] = asdict(_late(known, equal[of.drawn], fold))
                row["foretold"] |= _between(arm, arms, equal[of.drawn], fold)
            tied_at_once = of.tied and of.grown is None and of.drawn == 1
            if tied_at_once and (gained := _hastened(arm, fold)):
                row["hastened"] = asdict(Interval.of([gain for gain, _ in gained]))
                row["correlation"] = math.fsum(c for _, c in gained) / len(gained)
            if staged:
                row["saved"] = asdict(Interval.of(_saved(arm, known, base, own)))
                row["foretold"] |= _saving_foretold(arm, base, fold)
            if others is not None:
                late = {seed: at - own[seed] for seed, at in known.items() if seed in own}
                values = table["arms"][name]["values"]
                row |= shifted(others, values, late, float(arm.clock[-1]))
                row["foretold"] |= _gap_foretold(arm, others, fold)
        rows.append(row)
    drawn = {"budgets": list(others.clocks), "curve": others.curve()} if others else {}
    return {"fold": fold, "arms": rows} | drawn


def _comparable(
    table: Mapping[str, Any],
    curves: Sequence[Mapping[str, Any]],
    beginnings: Mapping[str, Beginning],
) -> dict[str, Left]:
    """Return the arms of the reference's rate and budget that have LEAST seeds; {} where no blind
    loss is known."""
    if not table.get("blind"):
        return {}
    base = table["arms"][table["reference"]]
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in curves:
        arm = table["arms"][run["arm"]]
        if (arm.get("rate"), arm["budget"]) == (base.get("rate"), base["budget"]):
            found.setdefault(run["arm"], []).append(run)
    warmup, blind = float(table["study"]["warmup"]), float(table["blind"]["loss"])
    return {
        name: Left(beginnings[name], beginnings[name].clock(warmup), runs, blind)
        for name, runs in found.items()
        if len(runs) >= LEAST
    }


def _behind(arm: Left, base: Left) -> list[dict[str, Any]]:
    """Return the paired delay in updates at the peak rate at every "gain" over the blind loss, in
    steps of GAIN, that all runs of both reach."""
    found: list[dict[str, Any]] = []
    for level in np.arange(GAIN, base.blind, GAIN):
        if None in (*arm.updates(level).values(), *base.updates(level).values()):
            break
        late = _late(arm.at(level), base.at(level), 1.0)
        found.append({"gain": float(level)} | asdict(late))
    return found


def _hastened(arm: Left, fold: float) -> list[tuple[float, float]]:
    """Return (e-folds that steps of one length gain by the tie, correlation in it) for each run; []
    where one was not probed while it was tied."""
    found = []
    for run, left in zip(arm.runs, arm.updates().values(), strict=True):
        last = len(arm.clock) - 1
        until = min(last if left is None else left, *(run["untied"] or [last]), last)
        probe = run["probe"]
        seen = [
            c
            for step, each in zip(probe["step"], probe["correlations"], strict=True)
            for c in each
            if step <= until
        ]
        if not seen:
            return []
        correlation = min(max(math.fsum(seen) / len(seen), 0.0), 1.0)
        kappa = adam_draws.hastening(arm.begins.layers, correlation)
        tied = float(np.interp(until, np.arange(last + 1), arm.clock)) / fold
        found.append(((kappa - 1.0) * tied, correlation))
    return found


def _between(
    arm: Left, arms: Mapping[str, Left], equal: Mapping[int, float], fold: float
) -> dict[str, list[float]]:
    """Return the ends between which SWE-F's delay over the equal start lies, told from that of
    always-shared; {} where there is none, or no noise gives it."""
    of = arm.begins
    always = [
        _late(other.at(), equal, fold).mean
        for other in arms.values()
        if other.begins.until == len(other.clock) - 1 and other.begins.drawn == of.drawn
    ]
    if of.drawn is None or not of.until or of.until == len(arm.clock) - 1 or not always:
        return {}
    kept, found = math.exp(-arm.clock[of.until] / fold), []
    for d in DIMENSIONS:
        try:
            noise = noisy_draws.noise_of(of.layers, of.drawn, d, always[0])
        except ValueError:
            return {}
        late, own = (noisy_draws.delay(of.layers, of.drawn, d, noise, q) for q in (kept, 1.0))
        found.append(late - own)
    return {"over_equal": [min(found), max(found)]}


def _saving_foretold(arm: Left, base: Left, fold: float) -> dict[str, list[float]]:
    """Return the same of the mean saving, from when the baseline left."""
    own, found = base.at(), []
    for late in reversed(foretold(arm.begins).get("late", [])):
        then = {seed: at + late * fold for seed, at in own.items()}
        found.append(float(np.mean(_saved(arm, then, base, own))))
    return {"saved": found} if found else {}


def _gap_foretold(arm: Left, others: Baselines, fold: float) -> dict[str, list[float]]:
    """Return the same of the mean gap at the end, nats; {} outside of the budgets."""
    found = []
    for late in foretold(arm.begins).get("late", []):
        gaps = others.over(dict.fromkeys(others.losses, late * fold), float(arm.clock[-1]))
        found += [math.fsum(gaps.values()) / len(gaps)] if len(gaps) == len(others.losses) else []
    return {"gap": found} if len(found) == 2 else {}


def _saved(
    arm: Left, found: Mapping[int, float], base: Left, own: Mapping[int, float]
) -> list[float]:
    """Return the share of the baseline's cost that the arm has left over, by seeds of both."""
    shared = sorted(found.keys() & own.keys())
    return [1.0 - arm.cost(found[seed]) / base.cost(own[seed]) for seed in shared]


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
