"""Does bfloat16 cost quality? The same runs in float32 and bfloat16, equal updates, paired by seed.

Both precisions of a seed begin with the same weights and see the same batches and masked tokens;
dropout differs where another attention kernel draws it (swe.run.plain_attention). Text and
vocabulary are those of ``benchmarks/throughput.py``; the default is the cheapest setting that was
found past a text's plateau, for before it nothing is learnt that rounding could cost. Finished runs
are kept in ``--runs``, and the same command goes on where it was stopped. One thread:

    python benchmarks/precision.py --out records/precision.json
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import swe.base.threads  # noqa: F401 - first, for its effect
from benchmarks.side_by_side.settings import Settings, prepare, task_of
from bert.study.plateau import stated
from evidence.comparison import compare
from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser
from swe.run.arithmetic import Precision, has_bfloat16_units
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.sharing.schedule import NeverShared, Schedule, SweFixed

BOTH: tuple[Precision, Precision] = ("float32", "bfloat16")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Train what is not trained yet and compare the final losses, arm by arm."""
    settings = Settings(
        size=given.size, length=given.length, rows=given.rows, vocabulary=given.vocabulary
    )
    prepare(settings, given.data)
    task = task_of(settings, "pre", given.data)
    schedules: dict[str, Schedule] = {
        "baseline": NeverShared(),
        "swe-f": SweFixed(until=max(1, given.steps // 10)),
    }
    speed = SpeedConfig(measured_in=given.runs)
    blind = stated(given.runs, task)
    arms: dict[str, Any] = {}
    for arm, schedule in schedules.items():
        losses: dict[str, dict[int, float]] = {one: {} for one in BOTH}
        for seed in range(given.seeds):
            config = TrainConfig(
                steps=given.steps,
                seed=seed,
                schedule=schedule,
                optimizer=OptimizerConfig(peak_lr=given.rate),
                eval_interval=given.steps,
            )
            for one in BOTH:
                folder = given.runs / f"{arm}-{one}-s{seed}"
                summary = train(task, replace(config, precision=one), folder, speed=speed)
                losses[one][seed] = summary["valid"]["loss"]
                print(f"{folder.name}: {losses[one][seed]:.4f}", flush=True)
        arms[arm] = compare(losses, "float32")
    return {
        "environment": host(),
        "settings": task.describe(),
        "steps": given.steps,
        "rate": given.rate,
        "blind": blind,
        "arms": arms,
    }


def main() -> None:
    """Measure and write the record."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="12x64", help='named size or "LxH"')
    parser.add_argument("--length", type=int, default=8, help="tokens in a row")
    parser.add_argument("--rows", type=int, default=128, help="rows in a batch")
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--steps", type=int, default=1000, help="updates of every run")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("results/throughput"), help="its text")
    parser.add_argument("--runs", type=Path, default=Path("results/precision"), help="its runs")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    given = parser.parse_args()
    if not has_bfloat16_units():
        record: dict[str, Any] = {"not_run": "this processor has no units for bfloat16"}
    else:
        record = measure(given)
    write_json(given.out, record)


if __name__ == "__main__":
    main()
