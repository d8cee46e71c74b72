"""How much processor time does each result of the theory and the toys take at a scale?

Each in a process of its own on one thread, ended at a limit of processor time: such a result is on
record as taking longer than that. Resumable: what is in the record is not measured again, unless it
was ended at a lower limit. ``paper_repro.py`` says the sum before it starts.

    python -m benchmarks.result_times --scale full --limit 300 --out records/full/result_times.json
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tqdm import tqdm

from swe.base.environment import host
from swe.base.files import read_json, write_json
from swe.base.options import Parser
from theory.numerics.scales import SCALES
from theory.studies.results import RESULTS

# Before a worker loads numpy and torch.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"


def measure(area: str, name: str, seed: int, scale: str, limit: int) -> dict[str, float]:
    """Return {"seconds"} of processor time, or {"longer_than"} when the limit ended it."""
    context = multiprocessing.get_context("spawn")
    mine, other = context.Pipe(duplex=False)
    process = context.Process(target=_compute, args=(other, area, name, seed, scale, limit))
    process.start()
    other.close()
    try:
        return {"seconds": round(mine.recv(), 1)}
    except EOFError:
        process.join()
        if process.exitcode == 1:
            raise RuntimeError(f"{area}/{name}: failed") from None
        return {"longer_than": float(limit)}
    finally:
        process.join()


def _compute(pipe: Connection, area: str, name: str, seed: int, scale: str, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    module, function = RESULTS[area][name].split(":")
    getattr(import_module(module), function)(seed, scale)
    pipe.send(time.process_time())


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=300, help="seconds of processor time each")
    parser.add_argument("--only", nargs="+", default=[], metavar="AREA/NAME")
    options = parser.parse_args()
    record: dict[str, Any] = {"results": {}}
    if options.out.exists():
        record = read_json(options.out)
        if (record["scale"], record["seed"]) != (options.scale, options.seed):
            parser.error(f"{options.out}: of scale {record['scale']}, seed {record['seed']}")
    names = [f"{area}/{name}" for area in RESULTS for name in RESULTS[area]]
    for name in tqdm(options.only or names, unit="result"):
        known = record["results"].get(name, {})
        if "seconds" in known or known.get("longer_than", 0) >= options.limit:
            continue
        area, _, short = name.partition("/")
        record["results"][name] = measure(area, short, options.seed, options.scale, options.limit)
        record |= {"scale": options.scale, "seed": options.seed, "environment": host()}
        write_json(options.out, record)


if __name__ == "__main__":
    main()
