"""How far an arm is behind the baseline as the loss falls: the blocks behind:NAME/TABLE of
docs/bert.md. The numbers are those of ``bert.study.leaving``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import interval, plain

NONE = "—"


def table(data: Mapping[str, Any]) -> str:
    """Return a study's arms as markdown; "not run" where too few leave."""
    rows = [row for row in data.get("leaving", {}).get("arms", []) if row.get("behind")]
    if not rows:
        return "not run"
    blind = float(data["blind"]["loss"])
    gains = sorted({found["gain"] for row in rows for found in row["behind"]})
    columns = {"arm": "Arm"} | {str(gain): f"At {plain(blind - gain)} nats" for gain in gains}
    cells = []
    for row in rows:
        own = {str(found["gain"]): interval(found, 0) for found in row["behind"]}
        cells.append(
            {"arm": arm_look(row["arm"]).label}
            | {str(gain): own.get(str(gain), NONE) for gain in gains}
        )
    legend = (
        "Updates at the peak rate by which an arm first falls to a held-out loss after the "
        "baseline, paired, with intervals of 95 %; where all runs of both do. The first column is "
        "where a run leaves."
    )
    return f"{markdown(columns, cells)}\n\n{legend}"
