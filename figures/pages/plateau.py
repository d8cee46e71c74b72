"""When each run of a study fell below a held-out loss: the blocks reached:NAME/TABLE of a page.

A masked language model waits on a plateau before it uses its context, and arms differ in how long:
the update at which the loss first falls below a level says it, where the final loss also says how
much was left of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count

LEVELS = (6.0, 5.5, 5.0, 1.5, 1.0, 0.1)
"""Held-out losses in nats: of English, then of the languages.

Those that no run crosses are left out."""


def reached(steps: Sequence[int], losses: Sequence[float], level: float) -> float | None:
    """Return the first update at which the loss is at most ``level``; None if it never is.

    Linear between two evaluations; the first evaluation's own update when it is below already.
    """
    before: tuple[int, float] | None = None
    for step, loss in zip(steps, losses, strict=True):
        if loss <= level:
            if before is None:
                return float(step)
            last, above = before
            return last + (step - last) * (above - level) / (above - loss)
        before = step, loss
    return None


def table(curves: Sequence[Mapping[str, Any]]) -> str:
    """Return the runs' updates to each level as markdown, a row an arm, seeds in order."""
    arms = dict.fromkeys(str(run["arm"]) for run in curves)
    losses = [run["valid"]["loss"] for run in curves]
    high, low = max(run[0] for run in losses), min(min(run) for run in losses)
    levels = [level for level in LEVELS if low <= level < high]
    columns = {"arm": "Arm"} | {str(level): f"Below {level:g} nats" for level in levels}
    rows = []
    for arm in arms:
        row = {"arm": arm_look(arm).label}
        for level in levels:
            updates = [
                reached(run["valid"]["step"], run["valid"]["loss"], level)
                for run in sorted(curves, key=lambda run: int(run["seed"]))
                if run["arm"] == arm
            ]
            row[str(level)] = ", ".join(
                "never" if update is None else count(round(update)) for update in updates
            )
        rows.append(row)
    return markdown(columns, rows)
