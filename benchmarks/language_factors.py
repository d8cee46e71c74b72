"""Run the cells of ``bert.study.factors``: one factor at a time, and a random fraction.

One JSON line a cell and seed, with the final loss and what was learnt of every arm, written as soon
as it is there; what is there is not run again, so it can be run in pieces and given more seeds
later. Seeds are outermost: wherever it stops, no cell is more than a seed ahead.

    python -m benchmarks.language_factors --list records/factors/cells.json
    python -m benchmarks.language_factors --out records/factors/effects.jsonl --jobs 2
"""

import math
import tempfile
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from bert.study.factors import ARMS, Cell, cells
from bert.study.language_study import LanguageStudy, build_language_task
from bert.study.table_study import chosen_arms
from bert.study.tables import REACHED, parts_of
from swe.base.environment import host
from swe.base.errors import NonFiniteLossError
from swe.base.files import append_line, read_lines, write_json
from swe.base.options import Parser
from swe.run.loop import train


def ends(study: LanguageStudy, seed: int) -> dict[str, Any]:
    """Return final loss, parts learnt and seconds of every arm; loss None where it diverged."""
    task, rate = build_language_task(study), study.rates[0]
    losses: dict[str, float | None] = {}
    learnt, seconds = {}, {}
    for arm in chosen_arms(study.language.kind, study):
        config = replace(study.arm_config(arm, rate, seed), probe_interval=0, split_probes=False)
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            try:
                valid = train(task, config, Path(folder))["valid"]
            except NonFiniteLossError:
                valid = {"loss": math.inf}
        seconds[arm.name] = round(time.process_time() - started, 1)
        losses[arm.name] = valid["loss"] if math.isfinite(valid["loss"]) else None
        parts = parts_of(valid)
        learnt[arm.name] = [n for n, part in parts.items() if part["accuracy"] >= REACHED]
    return {"losses": losses, "learnt": learnt, "seconds": seconds}


def one(work: tuple[Cell, int, int]) -> dict[str, Any]:
    """Run one seed of a cell in a process of its own."""
    torch.set_num_threads(1)
    cell, index, seeds = work
    study = cell.study(seeds)
    seed = study.headline_seeds[index]
    return {"cell": cell.name, "seed": seed, **ends(study, seed)}


def left(out: Path, seeds: int) -> list[tuple[Cell, int, int]]:
    """Return what is not in ``out`` yet, seeds outermost."""
    done = {(entry["cell"], entry["seed"]) for entry in read_lines(out)}
    return [
        (cell, index, seeds)
        for index in range(seeds)
        for cell in cells()
        if (cell.name, cell.study(seeds).headline_seeds[index]) not in done
    ]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", type=Path, help="write the list of cells there, and run nothing")
    what.add_argument("--out", type=Path, help="JSON lines to write or continue")
    parser.add_argument("--seeds", type=int, default=2, help="paired seeds of every cell")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--max-minutes", type=float, default=math.inf)
    options = parser.parse_args()
    if options.list is not None:
        record = {"arms": list(ARMS), "cells": [cell.to_json() for cell in cells()]}
        write_json(options.list, record)
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out.with_suffix(".environment.json"), host())
    work, until = left(options.out, options.seeds), time.monotonic() + 60 * options.max_minutes
    with get_context("spawn").Pool(options.jobs) as pool:
        for entry in tqdm(pool.imap_unordered(one, work), total=len(work), desc="cells x seeds"):
            append_line(options.out, entry)
            if time.monotonic() > until:
                break  # leaving the pool drops what is under way: the next call runs it


if __name__ == "__main__":
    main()
