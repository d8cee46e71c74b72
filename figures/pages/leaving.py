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
    "deviation": "Deviation over seeds",
    "ratio": "Over the baseline’s, 95 %",
    "ratio_foretold": "Foretold",
    "late": "Later, in own deviations, 95 %",
    "late_foretold": "Foretold",
    "equal": "Minus the equal start, updates, 95 %",
}
LEGEND = (
    "Leaves: half of the way to where a run counts as having left. Updates: at the peak rate, a "
    "falling rate's as many as they are worth; a run that never leaves counts as at its end. "
    "Foretold: for skills of many dimensions and of one; minus the equal start: 0. Arms of the "
    "baseline's rate."
)


def table(data: Mapping[str, Any]) -> str:
    """Return a study's arms as markdown; "not run" where none left or too few seeds are there."""
    if not data.get("leaving"):
        return "not run"
    return f"{markdown(COLUMNS, [_cells(row) for row in data['leaving']])}\n\n{LEGEND}"


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    foretold = row.get("predicted")
    return {
        "arm": arm_look(row["arm"]).label,
        "drawn": str(row["drawn"]),
        "left": f"{row['left']} of {row['n']}",
        "at": count(round(row["at"]["mean"])),
        "deviation": count(round(row["deviation"])),
        "ratio": _both(row.get("deviation_ratio")),
        "ratio_foretold": _range(foretold and foretold["deviation_ratio"]),
        "late": "—" if foretold is None else interval(row["late"], 2),
        "late_foretold": _range(foretold and foretold["late"]),
        "equal": "—" if "over_equal" not in row else interval(row["over_equal"], 0),
    }


def _both(found: Mapping[str, Any] | None) -> str:
    """An unsigned ratio with its interval."""
    if found is None:
        return "—"
    return f"{plain(found['mean'])} [{plain(found['low'])}, {plain(found['high'])}]"


def _range(ends: Sequence[float] | None) -> str:
    return "—" if ends is None else " to ".join(plain(end) for end in ends)
