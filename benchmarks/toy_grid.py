"""Where in its family does sharing win? Unrolled blocks over gamma, eps, updates and optimiser.

`theory.toys.judged` on a grid: every setting tunes on six networks and is judged on eight others,
as the study's. One grid of rates for all settings of an optimiser, wide enough for the slowest.
Writes a JSON record, setting by setting; what is there already is not run again.

    python -m benchmarks.toy_grid --out records/toys/grid.json
"""

from itertools import product
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from swe.base.environment import host
from swe.base.files import read_json, write_json
from swe.base.options import Parser
from theory.toys.judged import SCALES, Setting, judge_all

GAMMAS, DEVIATIONS, UPDATES = (1.0, 0.3), (0.3, 1.0), (200, 400, 800)
RATES = {
    "adamw": tuple(0.0125 * 2**k for k in range(7)),
    "sgd": tuple(0.8 * 2**k for k in range(7)),
}


def grid() -> list[Setting]:
    """Return all settings, the quick ones first."""
    return [
        Setting(family="unrolled", optimiser=name, steps=steps, rates=rates, gamma=gamma, eps=eps)
        for steps, (name, rates), gamma, eps in product(UPDATES, RATES.items(), GAMMAS, DEVIATIONS)
    ]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write or continue")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    _, tuning, judging, _ = SCALES["small"]
    record: dict[str, Any] = {"seed": options.seed, "environment": host(), "settings": []}
    if options.out.exists():
        record = read_json(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    known = [{key: entry[key] for key in grid()[0].name()} for entry in record["settings"]]
    for setting in tqdm([s for s in grid() if s.name() not in known], desc="settings"):
        found = judge_all(options.seed, [setting], tuning, judging)
        record |= {key: value for key, value in found.items() if key != "settings"}
        record["settings"] += found["settings"]
        write_json(options.out, record)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
