"""Samples of the comparison of all methods, as bert/study/rivals.py writes it: five seeds, three
budgets, one arm unfinished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bert.study.rivals import RIVAL_SCALES, RivalArm
from bert.study.speedup import speed_up
from bert.study.text_rivals import TEXT_SCALES
from evidence.comparison import compare
from swe.base.config import to_dict
from tests.figures.samples.files import dump

BEST = ("baseline", "swe-f", "lemon")
UNFINISHED = "aki uncharged"
FOLDER = "small-0123"
GAINS = {"swe-f": 0.4, "always-shared": 0.3, "net2net": -0.4}


def sample(language: str, seeds: int = 5) -> dict[str, Any]:
    small = TEXT_SCALES["small"] if language == "text" else RIVAL_SCALES["small"][language]
    study = replace(small, seeds=seeds, budgets=(0.5, 1.0, 2.0), best=BEST, only=())
    table = f"rivals-{language}"
    arms = [arm for arm in study.arms_of(table) if isinstance(arm, RivalArm)]
    losses = {
        arm.name: {
            seed: 2.0 - 0.3 * arm.budget - GAINS.get(arm.method, 0) * (language == "composition")
            + 0.01 * seed + 0.004 * place * (-1) ** (place + seed)
            for seed in range(seeds)
        }
        for place, arm in enumerate(arms)
        if arm.name != UNFINISHED
    }  # fmt: skip
    entries = compare(losses, "baseline")
    rows: dict[str, Any] = {}
    for arm in arms:
        costs = study.costs_of(arm)
        rows[arm.name] = {
            "budget": arm.budget, "method": arm.method, "charged": arm.charged,
            "updates": arm.updates, "phase_flops": costs,
            "budget_flops": arm.budget * study.steps * study.update_flops,
        }  # fmt: skip
        if arm.name in entries:
            rows[arm.name] |= entries[arm.name] | {
                "rate": 0.004, "rate_at_edge": arm.name == "cycle", "steps": arm.updates,
                "tokens": 512 * arm.updates, "reached": {"part_1": seeds, "part_2": 3},
                "flops": {str(seed): sum(costs) for seed in range(seeds)},
                "seconds": {str(seed): 30.0 for seed in range(seeds)},
                "phases": {"6x32, 6 blocks": arm.updates},
                "reference_seconds": 0.025 * arm.updates,
            }  # fmt: skip
    baselines = {arm.budget: losses[arm.name] for arm in arms if arm.method == "baseline"}
    return {
        "table": table, "study": to_dict(study), "reference": "baseline", "arms": rows,
        "order": [arm.name for arm in arms], "complete": False,
        "speedup": {
            arm.name: speed_up(baselines, losses[arm.name], arm.budget)
            for arm in arms
            if arm.name in losses and arm.method != "baseline"
        },
        "update_seconds": {"6x32, 6 blocks": 0.025}, "update_intervals": {"6x32, 6 blocks": 1234},
        "environment": {
            "device": "a machine", "threads": 1, "python": "3.11", "torch": "2", "commit": "c" * 40,
            "command": "python paper_repro.py rivals --out /scratch/o",
        },
    }  # fmt: skip


def write_rivals(out: Path) -> None:
    for language in RIVAL_SCALES["small"]:
        name = f"rivals-{language}.json"
        dump(out / "bert" / "rivals" / name, {"folder": f"{FOLDER}-{language}", "scale": "small"})
        dump(out / "bert" / "rivals" / f"{FOLDER}-{language}" / name, sample(language))
