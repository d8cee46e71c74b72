"""Samples of fine-tuned scores: of a table's arms (bert.finetune.arms), and of one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bert.finetune.arm_scores import named, task_scores
from bert.finetune.learning.config import DEGENERATE_RULE, FinetuneConfig
from bert.study.paper_numbers import fine_tuned
from swe.base.config import to_dict
from tests.figures.samples.bert_tables import FOLDER
from tests.figures.samples.bert_tables import sample as table_sample
from tests.figures.samples.files import dump

TABLES = ("table1", "table2", "sweep", "headline")
ARMS = ("baseline", "equal-start", "swe-f")
RATES = (3e-4, 1e-3)
ENVIRONMENT = {
    "device": "Some Processor",
    "commit": "0123456789abcdef",
    "torch": "2.13.0",
    "command": "python arms.py sweep --task sst-2 --data glue",
}


def fine_tune(rate: float, value: float, *, flagged: bool, part: str = "") -> dict[str, Any]:
    row = {
        "rate": rate,
        "value": value,
        "degenerate": flagged,
        "metric": "accuracy",
        "baseline": 50.9,
    }
    more = {
        "other_parts": {part: {"accuracy": value - 1.0}},
        "other_baselines": {part: {"accuracy": 50.0}},
    }
    return row | (more if part else {"other_parts": {}})


def lines(task: str, part: str = "", seeds: int = 3) -> dict[str, Any]:
    """Arms 0, 1 and 2 points apart at the higher rate; one run of the last is degenerate."""
    tunes = {
        arm: {
            s: [
                fine_tune(
                    r, 60.0 + k + s + (r > 5e-4) + 0.1 * k * s, part=part, flagged=k == 2 and s == 1
                )
                for r in RATES
            ]
            for s in range(seeds)
        }
        for k, arm in enumerate(ARMS)
    }
    found = task_scores(tunes, dict.fromkeys(ARMS, 1e-3), RATES, "baseline")
    config = FinetuneConfig(task=task, rates=RATES, seeds=1, max_length=64)
    about = {
        "task": task,
        "recipe": to_dict(config),
        "data": {},
        "environment": ENVIRONMENT,
        "pretraining_seeds": list(range(seeds)),
        "choosing_seeds": [0],
    }
    return {name: about | line for name, line in named(found, task).items()}


def sample(table: str, seeds: int = 3) -> dict[str, Any]:
    below = table_sample(table)
    tasks = lines("sst-2", seeds=seeds) | lines("sick", "test", seeds=seeds)
    return {
        "table": table,
        "reference": "baseline",
        "order": list(ARMS),
        "tasks": tasks,
        "task_order": list(tasks),
        "unit": "points",
        "rule": DEGENERATE_RULE.format(margin=1.0),
        "paper": fine_tuned(table, below["study"]["placement"]),
        "study": below["study"],
        "pretraining": {
            arm: {
                name: below["arms"][arm].get(name) for name in ("steps", "tokens", "rate", "loss")
            }
            for arm in ARMS
        },
    }


def one_model(task: str = "sst-2") -> dict[str, Any]:
    """Two rates with two seeds; one run degenerate, one without a score."""
    rows = [
        {
            "task": task,
            "rate": 1e-5,
            "seed": 0,
            "value": 60.0,
            "degenerate": True,
            "reason": "constant answers",
            "baseline": 60.0,
        },
        {
            "task": task,
            "rate": 1e-5,
            "seed": 1,
            "value": 80.0,
            "degenerate": False,
            "reason": "",
            "baseline": 60.0,
        },
        {
            "task": task,
            "rate": 1.5e-5,
            "seed": 0,
            "value": 82.0,
            "degenerate": False,
            "reason": "",
            "baseline": 60.0,
        },
        {
            "task": task,
            "rate": 1.5e-5,
            "seed": 1,
            "value": None,
            "degenerate": True,
            "reason": "not finite",
        },
    ]
    rates: list[dict[str, Any]] = [
        {
            "rate": 1e-5,
            "n": 2,
            "mean": 70.0,
            "low": -57.1,
            "high": 197.1,
            "values": [60.0, 80.0],
            "degenerate": 1,
        },
        {
            "rate": 1.5e-5,
            "n": 2,
            "mean": 41.0,
            "low": None,
            "high": None,
            "values": [82.0, 0.0],
            "degenerate": 1,
        },
    ]
    return {
        "task": task,
        "metric": "accuracy",
        "rows": rows,
        "rates": rates,
        "selected": rates[0],
        "rule": "The rule.",
    }


def write_scores(out: Path) -> None:
    for table in TABLES:
        dump(out / "bert" / "finetune" / f"{table}.json", {"folder": FOLDER})
        dump(out / "bert" / "finetune" / FOLDER / f"{table}.json", sample(table))
    dump(out / "finetune" / "sst-2" / "table.json", one_model())
