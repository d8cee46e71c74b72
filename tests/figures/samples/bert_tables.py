"""Samples of the paper's tables as bert/tables.py writes them: three seeds, one arm unfinished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bert.paper_numbers import FINE_TUNED, MASKED_ACCURACY
from bert.speedup import speed_up
from bert.table_arms import TABLES, table_arms
from bert.table_study import SCALES, table_study
from tests.figures.samples.files import compared, dump
from training.config import to_dict

FOLDER = "smoke-0123"
UNFINISHED = {"table1": "sham reset"}


def sample(table: str) -> dict[str, Any]:
    study = table_study(table, "small") if table != "speedup" else SCALES["small"]
    arms = table_arms(table, study)
    done = [arm for arm in arms if arm.name != UNFINISHED.get(table)]
    losses = {
        arm.name: [6.0 - 0.2 * (arm.budget - 1) + 0.01 * s + 0.004 * k * (-1) ** (k + s)
                   for s in range(3)]
        for k, arm in enumerate(done)
    }  # fmt: skip
    entries = compared(losses, "baseline")
    points = compared({a: [30 - v for v in values] for a, values in losses.items()}, "baseline")
    rows: dict[str, Any] = {}
    for arm in arms:
        rows[arm.name] = {
            "budget": arm.budget, "schedule": to_dict(arm.schedule), "moments": arm.moments,
            "convention": arm.convention, "tuning": {"0.001": [6.1], "0.002": [6.0]},
        }  # fmt: skip
        if arm not in done:
            continue
        percent = points[arm.name]
        rows[arm.name] |= entries[arm.name] | {
            "rate": 0.002, "rate_at_edge": arm.name == "swe-f", "steps": arm.steps(study),
            "tokens": 512 * arm.steps(study),
            "accuracy_percent": {"mean": percent["loss"]}
            | ({"difference": percent["difference"]} if "difference" in percent else {}),
        }  # fmt: skip
    result: dict[str, Any] = {
        "table": table, "study": to_dict(study), "reference": "baseline", "arms": rows,
        "order": [arm.name for arm in arms], "complete": len(done) == len(arms),
        "paper": {
            "accuracy": dict(MASKED_ACCURACY.get(table, {})), "tasks": FINE_TUNED.get(table, {}),
        },
        "environment": None,
    }  # fmt: skip
    if table == "speedup":
        seeds = {name: dict(enumerate(values)) for name, values in losses.items()}
        curve = {a.budget: seeds[a.name] for a in arms if a.name.startswith("baseline")}
        result["speedup"] = {
            a.name: speed_up(curve, seeds[a.name], a.budget)
            for a in arms
            if not a.name.startswith("baseline")
        }
    return result


def write_tables(out: Path) -> None:
    for table in TABLES:
        dump(out / "bert" / "tables" / f"{table}.json", {"folder": FOLDER, "scale": "small"})
        dump(out / "bert" / "tables" / FOLDER / f"{table}.json", sample(table))
