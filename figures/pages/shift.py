"""What leaving the plateau later costs at the end, beside what the delay tells: the blocks
shift:NAME/TABLE of docs/bert.md. The numbers are those of ``bert.study.shift``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import interval, plain

COLUMNS = {
    "arm": "Arm",
    "n": "n",
    "late": "Leaves later, updates",
    "gap": "Above the baseline at the end, nats",
    "told": "Told by its delay",
    "left_over": "Left over",
    "foretold": "Foretold from the baseline alone",
}
NONE = "—"


def table(data: Mapping[str, Any]) -> str:
    """Return a study's arms as markdown; "not run" where the baseline has one budget."""
    found = data.get("leaving") or {}
    rows = [_cells(row, found["fold"]) for row in found.get("arms", []) if "gap" in row]
    if not rows:
        return "not run"
    legend = (
        "Told: what the baseline of a run shorter by the delay ends with, read off its other "
        f"budgets, over what it ends with itself ({plain(found['curve'][0][0])} to "
        f"{plain(found['curve'][-1][0])} updates at the peak rate); seeds outside of these are "
        "left out. Left over: the gap less that. Intervals of 95 %, paired. Foretold: the mean, "
        "over all noises and dimensions of the skill."
    )
    return f"{markdown(COLUMNS, rows)}\n\n{legend}"


def _cells(row: Mapping[str, Any], fold: float) -> dict[str, str]:
    ends = row.get("foretold", {}).get("gap")
    late = {end: value if end == "n" else fold * value for end, value in row["late"].items()}
    return {
        "arm": arm_look(row["arm"]).label,
        "n": str(row["gap"]["n"]),
        "late": interval(late, 0),
        "gap": interval(row["gap"], 3),
        "told": interval(row["told"], 3),
        "left_over": interval(row["left_over"], 3),
        "foretold": NONE if ends is None else " to ".join(plain(end) for end in ends),
    }
