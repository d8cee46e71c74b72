"""When to untie, decided while the run goes on: optimal stopping by fitted values, beside SWE-A.

A tied run is looked at when TAUS[k] of its updates are done, k = 0 .. 3; it unties then, or goes on
to the next look, and at the last tau it unties in any case. What it ends with, y_k, is the change
of the cell's judging networks (``theory.toys.forecasting.Truth``), in decades. Backwards over the
looks, for the cells that are known: going on is worth V_{k+1}, what the rule itself reaches from
there; untying costs D_k = y_k - V_{k+1} more; the rule unties where the D_k expected of a run is
negative, and V_k is then y_k, else V_{k+1}. So it is fitted to what a decision loses, not to the
name of the best tau.

D_k is expected as the mean over the NEIGHBOURS runs of other cells that look most alike, in four
features that any running schedule has: the mean adjacent correlation now, its mean over the looks
so far, the decades that the loss has fallen since the start, and since the last look. In doubt it
is SWE-A's cosine rule: MARGIN decades are added where the correlation is not below 1/2, taken off
where it is. Chosen on the known cells alone, each by the others: alignment, budget and depth made
kinds left out worse; the mean over neighbours lost less than ridge regressions of degree 1 and 2;
nothing tried lost less than the cosine rule on kinds left out. The dispersion of layers is 0 while
they are tied, and the noise scale was not measured in these cells.

Judged on cells that no choice has seen, a difference a cell, in two splits: all four kinds known,
LISTA not; and each kind judged by the others (LISTA by all four).

Expected before judging (known cells, each by the others: 0.201 against the cosine rule's 0.233
decades; kinds left out: 0.277 against 0.233): on kinds that it knows 0.03 decades less than the
cosine rule, with an interval that covers 0; on kinds left out 0.04 more. A schedule is added only
if the interval lies below 0 in the first split and is not above 0 in the second: expected is
none. The command that judges::

    python -m benchmarks.forecast_stopping --fit results/fit.jsonl --judge results/judge.jsonl \\
        --record records/forecast
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence.comparison import Interval
from swe.predict.calibration import TAUS
from theory.numerics.domain import Array
from theory.toys.cells import UNSEEN
from theory.toys.forecasting import CLIP, COSINE, Entry, Truth

NEIGHBOURS = 32
MARGIN = 0.1
"""Decades."""
WORST = 2.0
"""Decades: what one decision loses counts as at most this much, so that no outlier rules a mean."""
WIDEST = 3.0
"""Deviations: features count as at most so far from their mean."""
SEEN = ("correlation", "alignment", "loss")
SHIPPED = Path(__file__).with_name("watched.npz")
KNOWN, JUDGED = "known", "judged"
EXPECTED = {"kinds known": -0.03, "kinds left out": 0.04}
"""Decades of regret, minus the cosine rule's: committed before the judged cells were looked at."""


@dataclass(frozen=True, eq=False)
class Watched:
    """C cells, n tied runs of each, watched at K = 5 taus."""

    change: Array
    """(C, K): decades, as ``Truth.change``."""
    seen: Array
    """(C, n, K, 3): SEEN at each tau, NaN where undefined."""
    start: Array
    """(C, n): log10 loss of the equal start before update 0."""
    family: NDArray[np.str_]
    """(C,)"""

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Watched:
        """Gather measured cells. KeyError for cells whose tied run was not watched."""
        seen = [
            [
                [[_number(e["tied"].get(f"{tau:g}"), w, n) for w in SEEN] for tau in TAUS]
                for n in runs
            ]
            for e in entries
            for runs in [range(len(e["start"]["equal-start"]))]
        ]
        return cls(
            np.stack([Truth.of(entry).change for entry in entries]),
            np.array(seen, dtype=float),
            np.array([entry["start"]["equal-start"] for entry in entries]),
            np.array([entry["family"] for entry in entries]),
        )

    def only(self, cells: NDArray[np.bool_]) -> Watched:
        """Those cells (a mask, (C,))."""
        return Watched(self.change[cells], self.seen[cells], self.start[cells], self.family[cells])

    def correlation(self, look: int) -> Array:
        """Mean adjacent correlation, (C, n); NaN where it is undefined."""
        return np.asarray(self.seen[:, :, look, 0])

    def features(self, look: int) -> Array:
        """(C, n, 4), see the module; an undefined correlation counts as 0, a loss as CLIP."""
        correlations = np.nan_to_num(self.seen[:, :, : look + 1, 0], nan=0.0)
        losses = np.nan_to_num(self.seen[:, :, : look + 1, 2], nan=CLIP)
        before = losses[:, :, look - 1] if look else self.start
        return np.stack(
            [
                correlations[:, :, look],
                correlations.mean(axis=2),
                np.clip(self.start - losses[:, :, look], -CLIP, 2 * CLIP),
                np.clip(before - losses[:, :, look], -CLIP, CLIP),
            ],
            axis=-1,
        )


def _number(seen: Mapping[str, Any] | None, what: str, network: int) -> float:
    value = None if seen is None else seen[what][network]
    return np.nan if value is None else float(value)


def save(path: Path, watched: Mapping[str, Watched]) -> None:
    """Write cells by name, numbers to single precision."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, one in watched.items():
        for field, values in asdict(one).items():
            kept = values if field == "family" else values.astype(np.float32)
            arrays[f"{name} {field}"] = kept
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load(name: str, path: Path = SHIPPED) -> Watched:
    """Return the cells of that name."""
    with np.load(path, allow_pickle=False) as found:
        change, seen, start = (
            found[f"{name} {field}"].astype(float) for field in ("change", "seen", "start")
        )
        return Watched(change, seen, start, found[f"{name} family"])


def nearest_mean(
    known: Array, values: Array, asked: Array, own: NDArray[np.int64] | None = None
) -> Array:
    """Mean of ``values`` over the known runs no farther from an asked one than the NEIGHBOURS-th.

    ``known`` (C, n, F), ``values`` (C, n), ``asked`` (A, m, F); distance: the sum over features in
    units of the known runs' deviation. ``own`` (A,): the known cell that an asked one is, left out.
    Returns (A, m).
    """
    flat = known.reshape(-1, known.shape[-1])
    centre, scale = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-9)
    theirs = np.clip((flat - centre) / scale, -WIDEST, WIDEST)
    ours = np.clip((asked - centre) / scale, -WIDEST, WIDEST)
    cell = np.repeat(np.arange(len(known)), known.shape[1])
    out = np.empty(asked.shape[:2])
    for number, runs in enumerate(ours):
        distance = sum(np.abs(runs[:, None, i] - theirs[:, i]) for i in range(theirs.shape[1]))
        left = np.asarray(distance) if own is None else distance[:, cell != own[number]]
        held = values.ravel() if own is None else values.ravel()[cell != own[number]]
        count = min(NEIGHBOURS, left.shape[1]) - 1
        near = left <= np.partition(left, count, axis=1)[:, [count]]
        out[number] = near @ held / near.sum(axis=1)
    return out


def _unties(expected: Array, correlation: Array) -> NDArray[np.bool_]:
    return np.asarray(expected + np.where(correlation < COSINE, -MARGIN, MARGIN) < 0)


def losses_of_untying(known: Watched) -> list[Array]:
    """D_k of the known runs, (C, n) for each look but the last, by backward induction.

    Every decision is made by other cells than its own.
    """
    networks = known.seen.shape[1]
    value = np.repeat(known.change[:, -1:], networks, axis=1)
    own = np.arange(len(known.change))
    found: list[Array] = []
    for look in reversed(range(len(TAUS) - 1)):
        now = known.change[:, look, None]
        loss = np.clip(now - value, -WORST, WORST)
        features = known.features(look)
        expected = nearest_mean(features, loss, features, own)
        value = np.where(_unties(expected, known.correlation(look)), now, value)
        found.append(loss)
    return found[::-1]


def fitted_rule(known: Watched, asked: Watched) -> NDArray[np.int64]:
    """Index into TAUS at which each asked run unties, (A, m)."""
    chosen = np.full(asked.seen.shape[:2], len(TAUS) - 1)
    for look, loss in reversed(list(enumerate(losses_of_untying(known)))):
        expected = nearest_mean(known.features(look), loss, asked.features(look))
        chosen = np.where(_unties(expected, asked.correlation(look)), look, chosen)
    return chosen


def cosine_rule(asked: Watched) -> NDArray[np.int64]:
    """The first tau at which the mean adjacent correlation is below 1/2, else the last, (A, m)."""
    low = asked.seen[:, :, :, 0] < COSINE
    return np.where(low.any(axis=2), low.argmax(axis=2), len(TAUS) - 1)


def regret(asked: Watched, chosen: NDArray[np.int64]) -> Array:
    """Decades above the best tau, mean over a cell's runs, (A,)."""
    lost = asked.change - asked.change.min(axis=1, keepdims=True)
    return np.asarray(np.take_along_axis(lost, chosen, axis=1).mean(axis=1))


def judge(known: Watched, asked: Watched) -> dict[str, Any]:
    """Both splits, by kind: regret by rule, its difference to the cosine rule's; JSON-able."""
    whole = regret(asked, fitted_rule(known, asked))
    apart = whole.copy()
    for family in np.unique(known.family):
        cells = asked.family == family
        if cells.any():
            others = known.only(known.family != family)
            apart[cells] = regret(asked.only(cells), fitted_rule(others, asked.only(cells)))
    cosine = regret(asked, cosine_rule(asked))
    best = int(known.change.mean(axis=0).argmin())
    fixed = regret(asked, np.full(asked.seen.shape[:2], best))

    def split(ours: Array) -> dict[str, Any]:
        return {
            family: {
                "cells": int(cells.sum()),
                "fitted": float(ours[cells].mean()),
                "cosine": float(cosine[cells].mean()),
                "fixed": float(fixed[cells].mean()),
                "difference": (gap := Interval.of((ours - cosine)[cells].tolist())).__dict__,
                "verdict": gap.verdict(),
            }
            for family in ("all", *np.unique(asked.family).tolist())
            for cells in [(asked.family == family) | (family == "all")]
        }

    return {
        "known_cells": len(known.change),
        "networks": asked.seen.shape[1],
        "unseen": sorted({*asked.family.tolist()} & {*UNSEEN}),
        "fixed": TAUS[best],
        "expected": EXPECTED,
        "splits": {"kinds known": split(whole), "kinds left out": split(apart)},
    }


def study(seed: int, scale: str) -> dict[str, Any]:
    """Judge the shipped cells anew, some seconds; of the seed and the scale nothing depends."""
    return judge(load(KNOWN), load(JUDGED))
