"""Belief propagation for 256 rows of 64 tokens, beside one arm of the hierarchy study.

    python -m benchmarks.belief_propagation --out records/belief_propagation.json

Processor time in one process of one thread: the exact least loss of 256 rows, and the updates of
the arm that the bar is about (8x64, 1,600 updates of 64 rows x 24 tokens, of the composition
language), of which some are timed and the rest counted.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from benchmarks.language_arm import update_seconds
from bert.languages.hierarchy import Hierarchy
from bert.study.language_study import LANGUAGE_SCALES, build_language_task
from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser

ROWS, DEPTH = 256, 6
BAR = 0.01
"""Share of an arm that the floor may take; set beforehand."""


def floor_seconds(language: Hierarchy, seed: int) -> float:
    """Processor time of the least loss of fresh rows."""
    rows = language.rows(seed, 0, ROWS)
    at = time.process_time()
    language.floor(rows)
    return time.process_time() - at


def main() -> None:
    """Measure and write the record."""
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=10, help="sets of rows")
    parser.add_argument("--updates", type=int, default=30, help="updates that are timed")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    language = Hierarchy(depth=DEPTH)
    floors = sorted(floor_seconds(language, seed) for seed in range(options.turns))
    study = LANGUAGE_SCALES["small"]["composition"]
    count = study.steps
    update = update_seconds(build_language_task(study), "eager", options.updates)
    record = {
        "environment": host() | {"torch": torch.__version__},
        "rows": ROWS,
        "tokens": language.length,
        "floor_seconds": statistics.median(floors),
        "floor_most": floors[-1],
        "turns": options.turns,
        "update_seconds": update,
        "updates": count,
        "share": statistics.median(floors) / (update * count),
        "bar": BAR,
    }
    write_json(options.out, record)
    print(f"{record['floor_seconds']:.3f} s, {100 * record['share']:.3f} % of an arm")


if __name__ == "__main__":
    main()
