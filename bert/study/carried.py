"""Does the theory hold at scale? Its predictions beside what a table's own runs measured.

The quantities are those of ``theory.models.predictions``; the runs are the table's equal start and
the one that is never untied, seed by seed, and all arms with a tau. Predictions use nothing of the
arms that untie.

The sign of a fixed schedule's gain over the equal start (so that tying alone is judged, not the
start) is predicted by the same ratio of descents: sharing pays up to tau if the mean of the ratio
over the probes up to tau is above 1. This rule was written before the runs of ``records/studies``.
Like the best tau of ``theory.models.predictions`` it looks one step ahead: it assumes exchangeable
layers and one rate for both arms, and without noise never says that sharing pays
(``theory.theorems.one_step`` has the counter-example).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evidence.comparison import Interval
from swe.base.files import read_lines
from theory.models.predictions import Split, table

FIRST = 0.02
"""Part of the run over which the first descent is measured."""


def carried_table(arms: Mapping[str, Any], out: Path) -> list[dict[str, Any]]:
    """Return quantity, predicted and measured (intervals over seeds), and in how many it holds.

    ``arms``: rows of a table as ``bert.study.tables`` writes them, ``out`` the study's folder.
    Empty when the equal start or the never-untied run is missing, or has no probes of halves.
    """
    untied, tied = arms.get("equal-start", {}), arms.get("always-shared", {})
    seeds = sorted(set(untied.get("folders", {})) & set(tied.get("folders", {})), key=int)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        never, always = (_rows(out, arm["folders"][seed]) for arm in (untied, tied))
        splits = [
            Split.of(row["halves"][0], row["halves"][1], row)
            for row in never["probe"]
            if "halves" in row and row["alignment"] is not None
        ]
        if not splits:
            return []
        steps = int(untied["steps"])
        same_rate = untied["rate"] == tied["rate"]
        entries = table(
            steps=steps,
            unshared=never["probe"],
            shared=always["probe"],
            splits=splits,
            rule="adam",
            best_taus=_best_taus(arms, steps),
            first_descent=_first_descent(never, always, steps) if same_rate else None,
        )
        for entry in entries:
            found.setdefault(entry["quantity"], []).append(entry)
    return [_over_seeds(quantity, entries) for quantity, entries in found.items()]


def _rows(out: Path, folder: str) -> dict[str, list[dict[str, Any]]]:
    rows = read_lines(out / "runs" / folder / "metrics.jsonl")
    return {kind: [row for row in rows if row["kind"] == kind] for kind in ("probe", "train")}


def _first_descent(
    never: dict[str, list[dict[str, Any]]], always: dict[str, list[dict[str, Any]]], steps: int
) -> float | None:
    """Loss that the tied run lost early over what the untied one lost; both start alike."""
    early = [
        [row["loss"] for row in run["train"] if row["step"] <= max(2, FIRST * steps)]
        for run in (never, always)
    ]
    if min(map(len, early)) < 2 or early[0][0] == early[0][-1]:
        return None
    return float((early[1][0] - early[1][-1]) / (early[0][0] - early[0][-1]))


def _best_taus(arms: Mapping[str, Any], steps: int) -> list[int]:
    """Taus that are not worse than the best, by the paired 95 % interval; [] without a sweep.

    The equal start is tau = 0, never untied is the whole run.
    """
    ends = {0: arms["equal-start"], steps: arms["always-shared"]}
    ends |= {round(tau * steps): arm for tau, arm in _fixed(arms).items()}
    if len(ends) < 4 or not all("values" in arm for arm in ends.values()):
        return []
    best = min(ends, key=lambda tau: ends[tau]["loss"]["mean"])
    kept = []
    for tau, arm in ends.items():
        seeds = [s for s in arm["values"] if s in ends[best]["values"]]
        gap = Interval.of([arm["values"][s] - ends[best]["values"][s] for s in seeds])
        if tau == best or gap.low is None or gap.low <= 0:
            kept.append(tau)
    return sorted(kept)


def gain_signs(arms: Mapping[str, Any], out: Path) -> list[dict[str, Any]]:
    """Return, by tau, the predicted and the measured gain of SWE-F over the equal start.

    ``predicted``: mean ratio of descents up to tau, minus 1; ``measured``: final validation loss of
    the equal start minus SWE-F's, nats; both intervals over seeds, of which only the signs can be
    compared. ``verdict``: "holds", "differs", or "undecided" when the measured interval holds zero.
    """
    equal = arms.get("equal-start", {})
    ratios = {seed: _ratios(out, folder) for seed, folder in equal.get("folders", {}).items()}
    found = []
    for tau, arm in sorted(_fixed(arms).items()):
        seeds = [seed for seed in arm["values"] if ratios.get(seed)]
        if not seeds:
            continue
        predicted = Interval.of(
            [_mean_until(ratios[seed], tau * int(equal["steps"])) - 1.0 for seed in seeds]
        )
        measured = Interval.of([equal["values"][s] - arm["values"][s] for s in seeds])
        sign = (
            0
            if measured.low is None or measured.high is None
            else ((measured.low > 0) - (measured.high < 0))
        )
        verdict = (
            "undecided" if sign == 0 else ("holds" if sign * predicted.mean > 0 else "differs")
        )
        found.append(
            {
                "tau": tau,
                "n": len(seeds),
                "predicted": asdict(predicted),
                "measured": asdict(measured),
                "same_rate": equal["rate"] == arm["rate"],
                "verdict": verdict,
            }
        )
    return found


def _ratios(out: Path, folder: str) -> list[tuple[int, float]]:
    """Return (update, predicted descent of a tied over an untied step) along an untied run."""
    found = []
    for row in _rows(out, folder)["probe"]:
        if "halves" in row and row["alignment"] is not None:
            split = Split.of(row["halves"][0], row["halves"][1], row)
            if split.heard:
                found.append((int(row["step"]), split.descent_ratio("adam")))
    return found


def _mean_until(ratios: list[tuple[int, float]], end: float) -> float:
    """Return the mean of the ratios at updates up to ``end``; of the first when none is."""
    early = [ratio for step, ratio in ratios if step <= end] or [min(ratios)[1]]
    return sum(early) / len(early)


def _fixed(arms: Mapping[str, Any]) -> dict[float, Any]:
    """Return the arms of the plain fixed schedule that have run, by tau."""
    return {
        arm["schedule"]["until"]: arm
        for name, arm in arms.items()
        if (name == "swe-f" or name.startswith("swe-f tau ")) and "values" in arm
    }


def _over_seeds(quantity: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Gather one quantity: None where a seed lacks it, so that no mean hides a gap."""
    out: dict[str, Any] = {"quantity": quantity, "n": len(entries)}
    for side in ("predicted", "measured"):
        values = [entry[side] for entry in entries]
        known = [value for value in values if value is not None]
        out[side] = asdict(Interval.of(known)) if len(known) == len(values) else None
    out["holds"] = sum(entry["verdict"] == "holds" for entry in entries)
    out["verdict"] = (
        "not measured"
        if "not measured" in {e["verdict"] for e in entries}
        else (
            "holds"
            if out["holds"] == len(entries)
            else "differs"
            if out["holds"] == 0
            else f"holds in {out['holds']} of {len(entries)}"
        )
    )
    return out
