"""Which part of a network's curvature says that sharing pays, on the whole grid of its family?

`theory.toys.hessian` on every cell of gamma, eps and optimiser at two lengths, every rate of its
grid tried. Writes a JSON record, cell by cell; what is there already is not run again.

Expected before the run, from six other networks (of 96 verdicts for each optimiser). SGD: the full
Hessian right in 55 to 75 %, and in 80 % or more of those where SWE-F helped or hurt; its commuting
and its exchangeable part in less than half of all, and in 45 % at most of those; best tau 11 of 16
settings or more, the parts 5 at most. AdamW: the fixed diagonal is no guide; full 40 to 60 %, the
commuting part within 15 points of it, because what it says then comes from the diagonal; best tau 7
to 12 of 16, the parts' as often; at gamma 1 and eps 0.3 or less, 400 updates, half of the gain.

    python -m benchmarks.toy_hessian --out records/toys/hessian.json
"""

from itertools import product
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from swe.base.environment import host
from swe.base.files import read_json, write_json
from swe.base.options import Parser
from theory.toys.hessian import RATES, Cell, judge_all

GAMMAS, DEVIATIONS, UPDATES = (1.0, 0.3), (0.1, 0.3, 1.0, 2.0), (100, 400)
TUNING, JUDGING = 6, 16


def grid() -> list[Cell]:
    """Return all cells."""
    return [
        Cell(optimiser=optimiser, gamma=gamma, eps=eps)
        for optimiser, gamma, eps in product(RATES, GAMMAS, DEVIATIONS)
    ]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write or continue")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, Any] = {"seed": options.seed, "environment": host(), "settings": []}
    if options.out.exists():
        record = read_json(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    known = {(e["optimiser"], e["gamma"], e["eps"]) for e in record["settings"]}
    todo = [cell for cell in grid() if (cell.optimiser, cell.gamma, cell.eps) not in known]
    for cell in tqdm(todo, desc="cells"):
        found = judge_all(
            record["seed"], [cell], UPDATES, TUNING, JUDGING, max(map(len, RATES.values()))
        )
        record |= {key: value for key, value in found.items() if key != "settings"}
        record["settings"] += found["settings"]
        write_json(options.out, record)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
