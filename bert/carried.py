"""Does the theory hold at scale? Its predictions beside what a table's own runs measured.

The quantities are those of ``theory.carried``; the runs are the table's equal start and the one
that is never untied, seed by seed, and all arms with a tau. Predictions use nothing of the arms
that untie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from theory.carried import Split, table
from training.comparison import Interval
from training.files import read_lines

FIRST = 0.02
"""Part of the run over which the first descent is measured."""


def carried_table(arms: Mapping[str, Any], out: Path) -> list[dict[str, Any]]:
    """Return quantity, predicted and measured (intervals over seeds), and in how many it holds.

    ``arms``: rows of a table as ``bert.tables`` writes them, ``out`` the study's folder. Empty when
    the equal start or the never-untied run is missing, or has no probes of halves.
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
            steps=steps, unshared=never["probe"], shared=always["probe"], splits=splits,
            rule="adam", best_taus=_best_taus(arms, steps),
            first_descent=_first_descent(never, always, steps) if same_rate else None,
        )  # fmt: skip
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
    for name, arm in arms.items():
        plain = name == "swe-f" or name.startswith("swe-f tau ")
        if plain and "values" in arm:
            ends[round(arm["schedule"]["until"] * steps)] = arm
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


def _over_seeds(quantity: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Gather one quantity: None where a seed lacks it, so that no mean hides a gap."""
    out: dict[str, Any] = {"quantity": quantity, "n": len(entries)}
    for side in ("predicted", "measured"):
        values = [entry[side] for entry in entries]
        known = [value for value in values if value is not None]
        out[side] = asdict(Interval.of(known)) if len(known) == len(values) else None
    out["holds"] = sum(entry["verdict"] == "holds" for entry in entries)
    out["verdict"] = "not measured" if "not measured" in {e["verdict"] for e in entries} else (
        "holds" if out["holds"] == len(entries)
        else "differs" if out["holds"] == 0
        else f"holds in {out['holds']} of {len(entries)}")  # fmt: skip
    return out
