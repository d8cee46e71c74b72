"""When runs leave the plateau, beside what one draw for many layers foretells: the blocks
leaving:NAME/TABLE of docs/bert.md. The numbers are those of ``bert.study.leaving``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, interval, plain

COLUMNS = {
    "arm": "Arm",
    "drawn": "Layers drawn",
    "left": "Left, of n",
    "at": "Leaves after, updates",
    "ratio": "Deviation over seeds, times the baseline’s",
    "ratio_foretold": "Foretold",
    "late": "Later, e-folds",
    "late_foretold": "Foretold",
    "equal": "Later than the equal start, e-folds",
    "equal_foretold": "Foretold",
}
SAVED = {"saved": "Compute saved by then, %", "saved_foretold": "Foretold"}
"""Where arms' updates differ in what they cost."""


def table(data: Mapping[str, Any]) -> str:
    """Return a study's arms as markdown; "not run" where too few leave."""
    found = data.get("leaving")
    if not found:
        return "not run"
    legend = (
        "Leaves: half of the way to where a run counts as having left. Updates: at the peak rate, "
        "a falling rate's as many as they are worth; a run that never leaves counts as at its end. "
        f"An e-fold of the baseline's gain takes {plain(found['fold'])} of them. Intervals of "
        "95 %. Foretold: over all noises and dimensions of the skill; the deviation of layers "
        "that are never tied. Arms of the baseline's rate."
    )
    columns = COLUMNS | (SAVED if any("saved" in row for row in found["arms"]) else {})
    return f"{markdown(columns, [_cells(row) for row in found['arms']])}\n\n{legend}"


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    foretold = row.get("foretold", {})
    return {
        "arm": arm_look(row["arm"]).label,
        "drawn": "—" if row["drawn"] is None else str(row["drawn"]),
        "left": f"{row['left']} of {row['n']}",
        "at": count(round(row["at"]["mean"])),
        "ratio": _both(row.get("deviation_ratio")),
        "ratio_foretold": _range(foretold.get("deviation_ratio")),
        "late": "—" if "late" not in row else interval(row["late"], 2),
        "late_foretold": _range(foretold.get("late")),
        "equal": "—" if "over_equal" not in row else interval(row["over_equal"], 2),
        "equal_foretold": _range(foretold.get("late") if "over_equal" in row else None),
        "saved": "—" if "saved" not in row else interval(_percent(row["saved"]), 0),
        "saved_foretold": _range(foretold.get("saved"), 100.0),
    }


def _percent(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if name == "n" else 100.0 * value for name, value in found.items()}


def _both(found: Mapping[str, Any] | None) -> str:
    """An unsigned ratio with its interval."""
    if found is None:
        return "—"
    return f"{plain(found['mean'])} [{plain(found['low'])}, {plain(found['high'])}]"


def _range(ends: Sequence[float] | None, times: float = 1.0) -> str:
    return "—" if ends is None else " to ".join(plain(times * end) for end in ends)
