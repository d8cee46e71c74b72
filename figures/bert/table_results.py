"""The paper's tables as figures want them: titles, main arms, and the runs behind a table.

The tables themselves are read by ``evidence.results``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from evidence.results import Table, reading
from figures.base.results import Run, Study
from figures.base.wording import size_of

TITLES = {
    "table1": "Table 1: schedules and controls",
    "table2": "Table 2: Post-LN, whole words",
    "table3": "Table 3: tau of SWE-F, rho of SWE-M",
    "table4": "Table 4: sharing units AxB",
    "speedup": "Budgets at equal loss",
    "sweep": "The main arms and every tau, one machine's study",
    "headline": "The main arms on a deeper or wider model",
}
LANGUAGE_TITLES = {
    "composition": "The main arms on the composition language",
    "hierarchy": "The main arms on the hierarchy language",
}
MAIN_ARMS = ("baseline", "equal-start", "swe-f", "swe-a", "swe-m", "always-shared")
"""Arms whose curves are drawn; a dozen variants of SWE-F would hide one another."""


def titled(result: Table, title: str) -> str:
    """Return a figure's title with what model it is about."""
    return f"{title} ({size_of(result.data['study'])}{', on record' if result.study else ''})"


def runs_of(result: Table) -> Study | None:
    """Return the main arms' runs as the default comparison's are read; None without curves."""
    found: dict[str, list[Run]] = {}
    with reading(result.curves_path):
        for arm in MAIN_ARMS:
            runs = [_run(line) for line in result.curves if line["arm"] == arm]
            if runs:
                found[arm] = runs
    return Study(result.source, result.data, found) if result.data["reference"] in found else None


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
