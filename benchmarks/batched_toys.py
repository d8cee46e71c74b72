"""How much faster are the toy models trained all at once than one by one?

Teacher and student, SWE-F: every seed and deviation in one batch of matrices, beside a plain loop
over the same networks; process time, interleaved, medians. Writes a JSON record.

    python benchmarks/batched_toys.py --out records/batched_toys.json
"""

import argparse
import statistics
import time
from pathlib import Path

import torch

from swe.base.environment import host
from swe.base.files import write_json
from swe.sharing.schedule import SweFixed
from theory.toys.teacher_student import fit, networks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    teachers, starts = networks(0, options.seeds)
    schedule = SweFixed(until=0.1)
    seconds: dict[str, list[float]] = {"batched": [], "loop": []}
    for _ in range(options.repeats):
        begin = time.process_time()
        together, _ = fit(teachers, starts, schedule, "adamw", 0.03, options.steps, 0)
        seconds["batched"].append(time.process_time() - begin)
        begin = time.process_time()
        alone = [
            fit(teachers[i : i + 1], starts[i : i + 1], schedule, "adamw", 0.03, options.steps, 0)
            for i in range(len(teachers))
        ]
        seconds["loop"].append(time.process_time() - begin)
    difference = max(abs(a[0][0] / b - 1) for a, b in zip(alone, together, strict=True))
    ratio = statistics.median(seconds["loop"]) / statistics.median(seconds["batched"])
    record = {
        "what": f"{len(teachers)} teacher-student networks, {options.steps} updates of AdamW",
        "process_seconds": seconds,
        "ratio": ratio,
        "largest_relative_difference": float(difference),
        "torch": torch.__version__,
        "environment": host(),
    }
    write_json(options.out, record)
    print(f"{record['what']}: the loop takes {ratio:.1f} times as long; wrote {options.out}")


if __name__ == "__main__":
    main()
