"""Result files as the other packages leave them: read and checked here, written nowhere else.

Absent is not wrong: a reader returns None and the report says which command makes the file. What is
there but cannot be read is a :class:`ResultError` that names the file. Of the other packages only
``swe.base.files`` is imported, which knows files and nothing that computes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evidence.claim import Record
from swe.base.errors import ResultError
from swe.base.files import plain_name, read_lines
from swe.base.files import read_json as read_existing_json


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a failure to find the expected content into a ResultError that names ``path``."""
    try:
        yield
    except ResultError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ResultError(
            f"{path}: not the expected content ({type(error).__name__}: {error})"
        ) from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, None when there is no such file."""
    if not path.exists():
        return None
    with reading(path):
        return read_existing_json(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a line file, [] when absent; a torn last line is dropped."""
    with reading(path):
        return read_lines(path)


def read_data(out: Path, source: str) -> dict[str, Any] | None:
    """Return "data" of the record at ``out / source``, None when absent."""
    record = read_json(out / source)
    if record is None:
        return None
    with reading(out / source):
        data: dict[str, Any] = record["data"]
        return data


def read_claims(out: Path) -> list[dict[str, str]] | None:
    """Return the claim ledger, None when absent; ResultError for records of another form."""
    path = out / "claims.json"
    ledger = read_json(path)
    if ledger is None:
        return None
    with reading(path):
        return [Record.from_json(record, path).to_json() for record in ledger]


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


def comparison_source(out: Path) -> str | None:
    """Return where the current study's comparison lies, relative to ``out``."""
    pointer = out / "bert" / "current.json"
    record = read_json(pointer)
    if record is None:
        return None
    with reading(pointer):
        return f"bert/{plain_name(record['folder'])}/comparison.json"


def arm_order(comparison: dict[str, Any]) -> list[str]:
    """Return the arms as the study lists them: files sort their keys, readers expect this order."""
    return [str(arm) for arm in comparison["study"]["arms"]]


def read_comparison(out: Path) -> dict[str, Any] | None:
    """Return the current study's comparison, None when there is none."""
    source = comparison_source(out)
    comparison = None if source is None else read_json(out / source)
    if comparison is None:
        return None
    with reading(out / str(source)):
        if comparison["reference"] not in comparison["arms"]:
            raise KeyError(comparison["reference"])
        result: dict[str, Any] = comparison
        return result


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
