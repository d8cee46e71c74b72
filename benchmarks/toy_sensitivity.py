"""Do the toys' verdicts depend on how their runs were set? Steps, rates and targets varied.

Teacher and student: every arm of `theory.toys.teacher_student` with 200, 300 and 400 updates and a
grid of rates that reaches beyond the best rate on both sides. Deep linear: the scale of the common
module's deviation from the identity and the step size as a share of the stability limit. Writes a
JSON record: for each variant the verdicts, and which arms have their best rate at an end of the
grid.

    python -m benchmarks.toy_sensitivity --out records/pilots/toy-sensitivity.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from swe.base.environment import host
from swe.base.files import read_json, write_json
from swe.base.options import Parser
from theory.toys import deep_linear as toy_deep_linear
from theory.toys import teacher_student as toy_teacher_student

STEPS = (200, 300, 400)
RATES = {
    "sgd": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    "adamw": (0.01, 0.02, 0.03, 0.06, 0.1, 0.2),
}
TARGETS = ((0.2, 0.3), (0.1, 0.3), (0.4, 0.3), (0.2, 0.1), (0.2, 1.0))
"""(common, share of the stability limit); the first is what the toy uses."""


def students(seed: int, seeds: int, steps: int) -> dict[str, Any]:
    """One variant: against baseline and equal start, and where the best rates lie."""
    found = toy_teacher_student.compare_arms(seed, steps, seeds, RATES)
    settings = []
    for setting in found["settings"]:
        rates = RATES[setting["optimiser"]]
        at_end = {
            arm: c["rate"]
            for arm, c in setting["chosen"].items()
            if c["rate"] in (rates[0], rates[-1])
        }
        settings.append(
            {"optimiser": setting["optimiser"], "eps": setting["eps"]}
            | {"best_rate_at_an_end": at_end}
            | {
                key: {
                    arm: {"difference": entry["difference"], "verdict": entry["verdict"]}
                    for arm, entry in setting[key].items()
                    if "difference" in entry
                }
                for key in ("against_baseline", "against_equal_start")
            }
            | {"chosen": setting["chosen"]}
        )
    return {"steps": steps, "settings": settings}


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, Any] = {
        "rates": RATES,
        "seeds": options.seeds,
        "environment": host(),
        "teacher_student": [],
        "deep_linear": [],
    }
    if options.out.exists():
        record = read_json(options.out)  # what is there is not run again
    done = [(v["common"], v["share_of_stability_limit"]) for v in record["deep_linear"]]
    for common, share in tqdm([t for t in TARGETS if t not in done], desc="deep linear"):
        found = toy_deep_linear.distinct_modules(
            options.seed, "small", common_scale=common, share=share
        )
        record["deep_linear"].append(
            {
                "common": common,
                "share_of_stability_limit": share,
                "settings": [
                    {"eps": s["eps"], "step_size": s["step_size"], "arms": s["arms"]}
                    for s in found["settings"]
                ],
            }
        )
        write_json(options.out, record)
    known = [variant["steps"] for variant in record["teacher_student"]]
    for steps in tqdm([n for n in STEPS if n not in known], desc="teacher and student"):
        record["teacher_student"].append(students(options.seed, options.seeds, steps))
        write_json(options.out, record)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
