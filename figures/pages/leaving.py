"""When runs leave the plateau, beside what one draw for many layers foretells: the blocks
leaving:NAME/TABLE of docs/bert.md. The numbers are those of ``bert.study.leaving``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, fixed, interval, plain

COLUMNS = {
    "arm": "Arm",
    "drawn": "Layers drawn",
    "left": "Left, of n",
    "at": "Leaves after, updates",
    "ratio": "Deviation over seeds, times the baseline’s",
    "ratio_foretold": "Foretold",
    "late": "Later, e-folds",
    "late_foretold": "Foretold",
    "stream": "Foretold by its stream",
    "equal": "Later than the equal start, e-folds",
    "equal_foretold": "Foretold",
    "between": "Told from the ends",
    "correlation": "Correlation while tied",
    "hastened": "Adam’s steps make up for, e-folds",
    "saved": "Compute saved by then, %",
    "saved_foretold": "Foretold",
}
OPTIONAL = ("stream", "between", "correlation", "hastened", "saved", "saved_foretold")
"""Columns that a table has whose arms do."""
NONE = "—"


def table(data: Mapping[str, Any]) -> str:
    """Return a study's arms as markdown; "not run" where too few leave."""
    found = data.get("leaving")
    if not found:
        return "not run"
    rows = [_cells(row) for row in found["arms"]]
    empty = [name for name in OPTIONAL if all(row[name] == NONE for row in rows)]
    columns = {name: title for name, title in COLUMNS.items() if name not in empty}
    ends = (
        ""
        if "between" in empty
        else (" Told from the ends: by the gap between the equal start and always shared.")
    )
    legend = (
        "Leaves: half of the way to where a run counts as having left. Updates: at the peak rate, "
        "a falling rate's as many as they are worth; a run that never leaves counts as at its end. "
        f"An e-fold of the baseline's gain takes {plain(found['fold'])} of them. Intervals of "
        "95 %. Foretold: over all noises and dimensions of the skill; the deviation of layers "
        f"that are never tied.{ends} Arms of the baseline's rate."
    )
    return f"{markdown(columns, rows)}\n\n{legend}"


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    foretold = row.get("foretold", {})
    return {
        "arm": arm_look(row["arm"]).label,
        "drawn": NONE if row["drawn"] is None else str(row["drawn"]),
        "left": f"{row['left']} of {row['n']}",
        "at": count(round(row["at"]["mean"])),
        "ratio": _both(row.get("deviation_ratio")),
        "ratio_foretold": _range(foretold.get("deviation_ratio")),
        "late": NONE if "late" not in row else interval(row["late"], 2),
        "late_foretold": _range(foretold.get("late")),
        "stream": fixed(row["by_stream"], 2, sign=True) if "by_stream" in row else NONE,
        "equal": NONE if "over_equal" not in row else interval(row["over_equal"], 2),
        "equal_foretold": _range(foretold.get("late") if "over_equal" in row else None),
        "between": _range(foretold.get("over_equal")),
        "correlation": plain(row["correlation"]) if "correlation" in row else NONE,
        "hastened": interval(row["hastened"], 2) if "hastened" in row else NONE,
        "saved": NONE if "saved" not in row else interval(_percent(row["saved"]), 0),
        "saved_foretold": _range(foretold.get("saved"), 100.0),
    }


def _percent(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if name == "n" else 100.0 * value for name, value in found.items()}


def _both(found: Mapping[str, Any] | None) -> str:
    """An unsigned ratio with its interval."""
    if found is None:
        return NONE
    return f"{plain(found['mean'])} [{plain(found['low'])}, {plain(found['high'])}]"


def _range(ends: Sequence[float] | None, times: float = 1.0) -> str:
    return NONE if ends is None else " to ".join(plain(times * end) for end in ends)
