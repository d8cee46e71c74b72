"""Samples of the paper's tables as bert/study/tables.py writes them: three seeds, one arm
unfinished."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bert.study.paper_numbers import FINE_TUNED, MASKED_ACCURACY
from bert.study.speedup import speed_up
from bert.study.table_arms import TABLES, table_arms
from bert.study.table_study import SCALES, table_study
from evidence.comparison import Interval
from swe.base.config import to_dict
from swe.base.files import write_lines
from tests.figures.samples.files import compared, dump

FOLDER = "smoke-0123"
UNFINISHED = {"table1": "sham reset"}


def sample(table: str) -> dict[str, Any]:
    study = table_study(table, "small") if table != "speedup" else SCALES["small"]
    arms = table_arms(table, study)
    done = [arm for arm in arms if arm.name != UNFINISHED.get(table)]
    losses = {
        arm.name: [
            6.0 - 0.2 * (arm.budget - 1) + 0.01 * s + 0.004 * k * (-1) ** (k + s) for s in range(3)
        ]
        for k, arm in enumerate(done)
    }
    entries = compared(losses, "baseline")
    points = compared({a: [30 - v for v in values] for a, values in losses.items()}, "baseline")
    rows: dict[str, Any] = {}
    for arm in arms:
        rows[arm.name] = {
            "budget": arm.budget,
            "schedule": to_dict(arm.schedule),
            "moments": arm.moments,
            "convention": arm.convention,
            "tuning": {"0.001": [6.1], "0.002": [6.0]},
        }
        if arm not in done:
            continue
        percent = points[arm.name]
        rows[arm.name] |= entries[arm.name] | {
            "rate": 0.002,
            "rate_at_edge": arm.name == "swe-f",
            "steps": arm.steps(study),
            "tokens": 512 * arm.steps(study),
            "flops": {str(seed): 1e12 for seed in range(3)},
            "seconds": {str(seed): 60.0 for seed in range(3)},
            "untied_at": {str(seed): [150] for seed in range(3)},
            "accuracy_percent": {"mean": percent["loss"]}
            | ({"difference": percent["difference"]} if "difference" in percent else {}),
        }
    result: dict[str, Any] = {
        "table": table, "study": to_dict(study), "reference": "baseline", "arms": rows,
        "order": [arm.name for arm in arms], "complete": len(done) == len(arms),
        "paper": {
            "accuracy": dict(MASKED_ACCURACY.get(table, {})), "tasks": FINE_TUNED.get(table, {}),
        },
        "environment": {
            "device": "a machine", "threads": 1, "python": "3.11", "torch": "2", "commit": "c" * 40,
            "command": "python paper_repro.py sweep --text /home/me/texts/a.txt --out /scratch/o",
        },
        "carried": [
            {"quantity": "best tau / T", "n": 3, "holds": 2, "verdict": "holds in 2 of 3",
             "predicted": asdict(Interval.of([0.0, 0.1, 0.0])),
             "measured": asdict(Interval.of([0.0, 0.0, 0.02]))},
            {"quantity": "common energy, tied over never tied, last probe", "n": 3, "holds": 0,
             "verdict": "not measured", "predicted": None,
             "measured": asdict(Interval.of([1.1, 1.2, 1.0]))},
        ],
        "gains": [
            {"tau": tau, "n": 3, "predicted": asdict(Interval.of([0.1, 0.2, 0.1])),
             "measured": asdict(Interval.of([-0.1 * tau, -0.2 * tau, -0.15 * tau])),
             "same_rate": tau < 0.2, "verdict": "differs"}
            for tau in (0.1, 0.4)
        ],
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


def curves(table: str) -> list[dict[str, Any]]:
    """Curves as bert/study/curves.py writes them: 20 updates, three seeds, twelve layers."""
    lines = []
    for name, arm in sample(table)["arms"].items():
        untied = [10] if name.startswith("swe") else []
        for seed in range(3) if "values" in arm else ():
            ends = {"step": [10, 20], "loss": [7.0, arm["values"][str(seed)]]}
            lines.append({
                "arm": name, "seed": seed, "rate": 0.002, "train": ends, "valid": ends,
                "probe": {
                    "step": [1, 10, 20], "alignment": [0.9, 0.5, 0.2],
                    "dispersion": [0.0, 0.0, 0.1 + 0.01 * seed],
                    "correlations": [[0.9] * 11, [0.5] * 11, [0.1] * 11],
                    "signal_to_noise": [2.0, 1.0, None],
                    "descent_ratio": [1.2 + 0.01 * seed, 0.9, None],
                },
                "untied": untied, "dispersion": 0.1,
            })  # fmt: skip
    return lines


def write_tables(out: Path) -> None:
    for table in TABLES:
        dump(out / "bert" / "tables" / f"{table}.json", {"folder": FOLDER, "scale": "small"})
        write_table(out / "bert" / "tables" / FOLDER, table)


def write_table(folder: Path, table: str) -> None:
    dump(folder / f"{table}.json", sample(table))
    write_lines(folder / f"{table}-curves.jsonl", curves(table))
