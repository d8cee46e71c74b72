"""The forecast's calibration from measured cells, and how it does on cells that it never saw.

A cell's truth: at each tau the mean over judging networks of log10 loss, SWE-F minus each control;
its change is the larger of both, its verdict the worse of both paired intervals' (helps only
against both). Its best tau is the one of least change, and its verdict and change are those there.
The tau is then chosen by the networks that judge it, which makes a truth of "helps" a little
easier to reach; it is the same for every rule that is compared.

Rules beside the forecast, as simple as they can be: always "no gain" and always "helps", with tau
10 %; the rehearsal itself: the long one's best tau of three and its change, "no gain" while that is
below `EVEN`; and SWE-A's cosine rule for the tau: the first of the taus at which the tied layers'
mean adjacent correlation is below 1/2, else the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evidence.comparison import Interval
from swe.predict.calibration import TAUS, VERDICTS, Calibration, load
from swe.predict.forecast import forecast, vote
from swe.predict.measured import ARMS, SHARES, Measured
from swe.sharing.seeds import derive_seed
from theory.numerics.domain import Array
from theory.toys.cells import CONTROLS, FITTED, UNSEEN, drawn, measure
from theory.toys.judged import worse

CLIP = 4.0
"""Decades: changes beyond count as this much, so that one run that diverged rules no mean."""
EVEN = 0.02
"""Decades, 5 % of the loss: a rehearsal's change below is none."""
COSINE = 0.5

SHARE = SHARES[-1]
"""Of the study's rehearsals."""
SCALES = {"smoke": (1, 32), "small": (6, 100), "full": (40, 400)}
"""Cells of a family, and updates of each."""

Entry = Mapping[str, Any]
"""A cell as `theory.toys.cells.measure` has it."""


@dataclass(frozen=True)
class Truth:
    """By tau: change in decades, and index into VERDICTS; and the index of the best tau."""

    change: Array
    verdict: tuple[int, ...]
    best: int

    @classmethod
    def of(cls, entry: Entry) -> Truth:
        """Return the truth of a cell."""
        changes, verdicts = [], []
        losses = {arm: np.asarray(values) for arm, values in entry["outcome"].items()}
        for tau in TAUS:
            gaps = [losses[f"swe-f {tau:g}"] - losses[control] for control in CONTROLS]
            found = [Interval.of(gap.tolist()) for gap in gaps]
            changes.append(max(interval.mean for interval in found))
            verdicts.append(VERDICTS.index(worse([interval.verdict() for interval in found])))
        change = np.clip(changes, -CLIP, CLIP)
        return cls(change, tuple(verdicts), int(change.argmin()))


def measured(entry: Entry, network: int, share: float) -> Measured | None:
    """One measuring network of a cell; None where its curvature is not finite."""
    curvature = entry["curvature"][network]
    if not all(np.isfinite(list(curvature.values()))):
        return None
    short, long = (
        {arm: entry["rehearsals"][f"{fraction:g}"][arm][network] for arm in ARMS}
        for fraction in (share / 2, share)
    )
    return Measured(
        updates=entry["steps"],
        share=share,
        start=entry["start"]["equal-start"][network],
        short=short,
        long=long,
        **curvature,
    )


def calibration(entries: Sequence[Entry], share: float) -> Calibration:
    """Return the calibration of measured cells at one share."""
    families = tuple(sorted({entry["family"] for entry in entries}))
    truths = [Truth.of(entry) for entry in entries]
    runs = [
        (cell, found)
        for cell, entry in enumerate(entries)
        for network in range(len(entry["curvature"]))
        if (found := measured(entry, network, share)) is not None
    ]
    return Calibration(
        share=share,
        features=np.stack([run.features() for _, run in runs]),
        cell=np.array([cell for cell, _ in runs]),
        change=np.stack([truth.change for truth in truths]),
        verdict=np.array([truth.verdict for truth in truths]),
        family=np.array([families.index(entry["family"]) for entry in entries]),
        families=families,
    )


@dataclass(frozen=True)
class Said:
    """What a rule says of a cell: index into VERDICTS, index into TAUS, decades."""

    verdict: int
    tau: int
    change: float


def rules(entry: Entry, known: Calibration) -> dict[str, Said]:
    """What each rule says of a cell by its first measuring network."""
    helps, even, hurts = range(len(VERDICTS))
    run = measured(entry, 0, known.share)
    if run is None:
        return {}
    found = vote(known, run.features())
    rehearsed = {tau: run.long[f"swe-f {tau:g}"] for tau in TAUS if f"swe-f {tau:g}" in run.long}
    tau = min(rehearsed, key=lambda one: rehearsed[one])
    change = rehearsed[tau] - min(run.long[control] for control in CONTROLS)
    sign = even if abs(change) < EVEN else helps if change < 0 else hurts
    low = [
        number
        for number, one in enumerate(TAUS)
        if _below(entry["tied"].get(f"{one:g}", {}).get("correlation", [None])[0])
    ]
    said = {
        "forecast": Said(found.verdict, found.tau, found.change),
        "rehearsal": Said(sign, TAUS.index(tau), change),
        "no gain, 10 %": Said(even, 0, 0.0),
        "helps, 10 %": Said(helps, 0, 0.0),
    }
    if entry["tied"]:  # a tied run was watched
        said["cosine rule"] = Said(helps, low[0] if low else len(TAUS) - 1, 0.0)
    return said


def _below(correlation: float | None) -> bool:
    return correlation is not None and correlation < COSINE


def scores(entries: Sequence[Entry], known: Calibration) -> dict[str, Any]:
    """How often each rule is right, by family and in all; JSON-able.

    `sign`: the verdict, of three; `tau`: within 0.05 of the best or a factor of 2; `size`, over the
    cells that sharing helps or hurts: the change at the tau that the rule names has its sign and is
    within a factor of 2. `regret`: decades of loss, in mean, by which the rule's tau ends above the
    best one. `truths`: cells by verdict. `forecasts`: each beside what came.
    """
    rows: list[dict[str, Any]] = []
    forecasts = []
    for entry in entries:
        truth = Truth.of(entry)
        for rule, said in rules(entry, known).items():
            rows.append({"rule": rule, "family": entry["family"], **_marks(said, truth)})
        forecasts += _compared(entry, known, truth)
    families = sorted({row["family"] for row in rows})
    named = list(dict.fromkeys(row["rule"] for row in rows))
    return {
        "share": known.share,
        "cells": len(entries),
        "truths": {
            family: _truths([Truth.of(e) for e in entries if family in ("all", e["family"])])
            for family in ("all", *families)
        },
        "forecasts": forecasts,
        "rules": {
            rule: {
                family: _shares(
                    [r for r in rows if r["rule"] == rule and family in ("all", r["family"])]
                )
                for family in ("all", *families)
            }
            for rule in named
        },
    }


def _compared(entry: Entry, known: Calibration, truth: Truth) -> list[dict[str, Any]]:
    """Return [the forecast of a cell, and the truth at its tau], [] where it was not measured."""
    run = measured(entry, 0, known.share)
    if run is None:
        return []
    found = forecast(run, known)
    at = TAUS.index(found.until)
    return [
        {
            "family": entry["family"],
            "verdict": found.verdict,
            "sureness": found.sureness,
            "until": found.until,
            "change": found.change,
            "low": found.low,
            "high": found.high,
            "true_verdict": VERDICTS[truth.verdict[truth.best]],
            "true_until": TAUS[truth.best],
            "true_change": float(truth.change[at]),
        }
    ]


def _marks(said: Said, truth: Truth) -> dict[str, Any]:
    best, tau = TAUS[truth.best], TAUS[said.tau]
    real = float(truth.change[said.tau])
    counts = VERDICTS[truth.verdict[truth.best]] != "no gain"
    close = real * said.change > 0 and 0.5 <= said.change / real <= 2
    return {
        "sign": said.verdict == truth.verdict[truth.best],
        "tau": abs(tau - best) <= 0.05 + 1e-9 or 0.5 <= tau / best <= 2,
        "size": close if counts else None,
        "regret": real - float(truth.change[truth.best]),
    }


def _truths(truths: Sequence[Truth]) -> dict[str, int]:
    found = [VERDICTS[truth.verdict[truth.best]] for truth in truths]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def _shares(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {"regret": float(np.mean([row["regret"] for row in rows]))}
    for mark in ("sign", "tau", "size"):
        known = [row[mark] for row in rows if row[mark] is not None]
        out[mark] = {"right": sum(known), "of": len(known)}
    return out


def study(seed: int, scale: str) -> dict[str, Any]:
    """Forecast fresh small cells with the shipped calibration, and see what comes; JSON-able.

    Of the families that it was fitted to and of one that it never saw. "small": 30 cells of four
    layers, some 15 seconds on a core.
    """
    each, steps = SCALES[scale]
    entries = []
    for number, cell in enumerate(drawn(1000 + seed, FITTED + UNSEEN, each)):
        small = replace(cell, steps=steps, depth=4)
        seeds = [derive_seed("forecast study", seed, number, i) % 2**31 for i in range(9)]
        entries.append(measure(small, tuple(seeds[:1]), tuple(seeds[1:])))
    return {"unseen": list(UNSEEN), "steps": steps, **scores(entries, load(SHARE))}
