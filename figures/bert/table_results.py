"""The paper's tables as they were run: the newest of a results folder, and studies on record.

A study on record is a folder of ``records/studies`` with ``<table>.json`` and its curves, as
``bert.study.tables`` writes them and ``figures.pages.studies`` takes them from a results folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from figures.base.results import Run, Study, read_json, read_rows, reading
from swe.base.files import plain_name

TITLES = {
    "table1": "Table 1: schedules and controls",
    "table2": "Table 2: Post-LN, whole words",
    "table3": "Table 3: tau of SWE-F, rho of SWE-M",
    "table4": "Table 4: sharing units AxB",
    "speedup": "Budgets at equal loss",
    "sweep": "The main arms and every tau, one machine's study",
    "headline": "The main arms on a deeper or wider model",
}
MAIN_ARMS = ("baseline", "equal-start", "swe-f", "swe-a", "swe-m", "always-shared")
"""Arms whose curves are drawn; a dozen variants of SWE-F would hide one another."""


@dataclass(frozen=True)
class TableResult:
    """One finished or partly finished table."""

    table: str
    """Name of the verb that made it."""
    path: Path
    source: str
    """The path as captions show it, relative to the results or the repository."""
    data: dict[str, Any]
    study: str = ""
    """Name of the study on record, "" for the results folder's own."""

    @property
    def name(self) -> str:
        """Name of its CSV files."""
        return f"study-{self.study}-{self.table}" if self.study else self.table

    def figure(self, part: str = "") -> str:
        """Return the name of one of its figures, part "" being the table itself."""
        first = f"study_{self.study}_{self.table}" if self.study else f"bert_{self.table}"
        return f"{first}_{part}" if part else first

    def titled(self, title: str) -> str:
        """Return a figure's title with what model it is about."""
        return f"{title} ({self.data['study']['size']}{', on record' if self.study else ''})"

    @cached_property
    def curves(self) -> list[dict[str, Any]]:
        """Lines of the curves' file, [] when there is none."""
        return read_rows(self.path.with_name(f"{self.table}-curves.jsonl"))

    def runs(self) -> Study | None:
        """Return the main arms' runs as the default comparison's are read; None without curves."""
        path = self.path.with_name(f"{self.table}-curves.jsonl")
        found: dict[str, list[Run]] = {}
        with reading(path):
            for arm in MAIN_ARMS:
                runs = [_run(line) for line in self.curves if line["arm"] == arm]
                if runs:
                    found[arm] = runs
        return Study(self.source, self.data, found) if self.data["reference"] in found else None


def _run(line: dict[str, Any]) -> Run:
    probe = line["probe"]
    columns = {name: probe[name] for name in ("step", "alignment", "dispersion")}
    return Run(
        line["arm"],
        int(line["seed"]),
        pd.DataFrame(line["train"], columns=["step", "loss"]),
        pd.DataFrame(line["valid"], columns=["step", "loss"]),
        pd.DataFrame(columns).astype({"alignment": float, "dispersion": float}),
        np.array(probe["correlations"], dtype=float),
        [int(s) for s in line["untied"]],
        float(line["dispersion"]),
    )


def own_tables(out: Path) -> list[TableResult]:
    """Return the newest of every table in a results folder, those with an arm to compare."""
    found = []
    for table in TITLES:
        pointer = read_json(out / "bert" / "tables" / f"{table}.json")
        if pointer is None:
            continue
        with reading(out / "bert" / "tables" / f"{table}.json"):
            folder = plain_name(pointer["folder"])
        source = f"bert/tables/{folder}/{table}.json"
        found += _read(table, out / source, source)
    return found


def recorded_tables(studies: Path | None) -> list[TableResult]:
    """Return the tables of every study on record, [] when there are none."""
    if studies is None or not studies.is_dir():
        return []
    return [
        result
        for folder in sorted(path for path in studies.iterdir() if path.is_dir())
        for table in TITLES
        for result in _read(
            table,
            folder / f"{table}.json",
            f"records/studies/{folder.name}/{table}.json",
            folder.name,
        )
    ]


def _read(table: str, path: Path, source: str, study: str = "") -> list[TableResult]:
    data = read_json(path)
    if data is None:
        return []
    with reading(path):
        comparable = any("difference" in arm for arm in data["arms"].values())
        known = all(arm in data["arms"] for arm in data["order"])
        if not known or data["reference"] not in data["arms"]:
            raise KeyError("an arm of the order or the reference")
    return [TableResult(table, path, source, data, study)] if comparable else []
