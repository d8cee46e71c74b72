"""Measure and judge the cells on which the forecast is fitted and tried.

`theory.toys.cells` on `--each` cells a family, drawn from the seed, in `--jobs` processes. Writes
one JSON line a cell, as it is finished; cells that are there already are not run again.

    python -m benchmarks.forecast_cells --out cells.jsonl --seed 0 --each 60 --jobs 2
"""

import json
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from swe.base.environment import host
from swe.base.files import append_line, read_lines, write_json
from swe.base.options import Parser
from swe.sharing.seeds import derive_seed
from theory.toys.cells import FITTED, UNSEEN, Cell, drawn, measure

MEASURING, JUDGING = 4, 8


def one(work: tuple[int, Cell]) -> dict[str, Any]:
    """Measure one cell in a process of its own."""
    torch.set_num_threads(1)
    seed, cell = work
    where = json.dumps(cell.name(), sort_keys=True)
    seeds = [derive_seed(where, seed, i) % 2**31 for i in range(MEASURING + JUDGING)]
    return measure(cell, tuple(seeds[:MEASURING]), tuple(seeds[MEASURING:])) | {"seed": seed}


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON lines to write or continue")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=60, help="cells of each family")
    parser.add_argument("--families", nargs="+", default=list(FITTED + UNSEEN))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    done = read_lines(options.out)
    cells = drawn(options.seed, options.families, options.each)
    known = [{key: entry[key] for key in cells[0].name()} for entry in done]
    left = [(options.seed, cell) for cell in cells if cell.name() not in known]
    np.random.default_rng(options.seed).shuffle(left)  # the time left is told by any part
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out.with_suffix(".environment.json"), host())
    with get_context("spawn").Pool(options.jobs) as pool:
        for entry in tqdm(pool.imap_unordered(one, left), total=len(left), desc="cells"):
            append_line(options.out, entry)


if __name__ == "__main__":
    main()
