"""The runs behind a BERT comparison or table, as tables of numbers for the figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evidence.results import comparison_source, read_comparison, read_json, read_rows, reading


@dataclass(frozen=True)
class Run:
    """One run folder. Tables have one row a logged row, in the order of the updates.

    ``train``: step, loss. ``valid``: step, loss. ``probe``: step, alignment, dispersion;
    ``correlations``: (probes, B - 1), NaN where a gradient was zero.
    """

    arm: str
    seed: int
    train: pd.DataFrame
    valid: pd.DataFrame
    probe: pd.DataFrame
    correlations: np.ndarray
    untied: list[int]
    dispersion: float
    """Of the final weights."""


@dataclass(frozen=True)
class Study:
    """A BERT comparison or table and its runs, {arm: [run of each seed]}."""

    source: str
    comparison: dict[str, Any]
    runs: dict[str, list[Run]]

    @property
    def reference(self) -> str:
        """Name of the arm that the others are compared with."""
        return str(self.comparison["reference"])

    @property
    def rho(self) -> float:
        """Correlation threshold of the adaptive schedules."""
        return float(self.comparison["study"]["rho"])


def arm_order(comparison: dict[str, Any]) -> list[str]:
    """Return the arms as the study lists them: files sort their keys, readers expect this order."""
    return [str(arm) for arm in comparison["study"]["arms"]]


def read_study(out: Path) -> Study | None:
    """Return the current study with all its runs; None when any part of it is absent."""
    source, comparison = comparison_source(out), read_comparison(out)
    if source is None or comparison is None:
        return None
    folder = (out / source).parent
    runs: dict[str, list[Run]] = {}
    with reading(out / source):
        order = arm_order(comparison)
        pairs = [(arm, int(s)) for arm in order for s in comparison["arms"][arm]["values"]]
    for arm, seed in pairs:
        run = _read_run(folder / f"{arm}-s{seed}", arm, seed)
        if run is None:
            return None
        runs.setdefault(arm, []).append(run)
    return Study(source, comparison, runs)


def _read_run(folder: Path, arm: str, seed: int) -> Run | None:
    summary = read_json(folder / "summary.json")
    if summary is None:
        return None
    with reading(folder / "summary.json"):
        dispersion = float(summary["weights"]["dispersion"])
    rows = read_rows(folder / "metrics.jsonl")
    kinds: dict[str, list[dict[str, Any]]] = {"train": [], "valid": [], "probe": []}
    with reading(folder / "metrics.jsonl"):
        for row in rows:
            kinds[row["kind"]].append(row)
        probes = [
            {
                "step": row["step"],
                "alignment": np.nan if row["alignment"] is None else row["alignment"],
                "dispersion": row["weights"]["dispersion"],
            }
            for row in kinds["probe"]
        ]
        correlations = np.array([row["correlations"] for row in kinds["probe"]], dtype=float)
        train, valid = (
            pd.DataFrame(
                [{"step": r["step"], "loss": r["loss"]} for r in kinds[kind]],
                columns=["step", "loss"],
            )
            for kind in ("train", "valid")
        )
    events = read_rows(folder / "events.jsonl")
    with reading(folder / "events.jsonl"):
        untied = [int(event["step"]) for event in events]
    return Run(
        arm,
        seed,
        train,
        valid,
        pd.DataFrame(probes, columns=["step", "alignment", "dispersion"]),
        correlations,
        untied,
        dispersion,
    )
