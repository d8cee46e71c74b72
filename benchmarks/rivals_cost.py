"""What a sampler and the similarity penalty add to an update, as a share of it.

    python -m benchmarks.rivals_cost --out records/rivals_cost.json

Processor time of whole runs in one process on one thread, update by update in turn: plain, with a
sampler that leaves out nothing (so that what is left is the sampler and its gates), and with the
penalty, whose cosines read every matrix of every layer. The look at the model before the first
update, one forward pass a process, is told apart, in updates.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bert.languages.composition import Composition
from bert.study.language_study import LanguageStudy, build_language_task
from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser
from swe.run.engine import Engine
from swe.run.run_config import TrainConfig
from swe.sharing.dropping import LayerDrop
from swe.sharing.similarity import LayerSimilarity

SIZES = {"8x64": 64, "12x128": 64}
"""{layers x width: rows of a batch}."""
PLAIN = TrainConfig(steps=1000)
ARMS = {
    "plain": PLAIN,
    "sampler": replace(PLAIN, dropping=LayerDrop(rate=0.0)),
    "penalty": replace(PLAIN, similarity=LayerSimilarity(strength=0.1)),
}


def one(size: str, updates: int) -> tuple[dict[str, list[float]], float]:
    """Processor seconds of each of ``updates`` updates by arm, in turn; and of the look."""
    study = LanguageStudy(size=size, rows=SIZES[size], language=Composition())
    task = build_language_task(study)
    engines = {
        name: Engine(task, config, torch.device("cpu"), name) for name, config in ARMS.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in ARMS}
    first: dict[str, float] = {}
    for step in range(updates + 1):
        for name, engine in engines.items():
            batch = engine.batch(step)
            at = time.process_time()
            engine.begin(step, batch, measure=False)
            begun = time.process_time()
            engine.update(step, batch)
            if step == 0:  # fills caches
                first[name] = begun - at
            else:
                spent[name].append(time.process_time() - at)
    return spent, first["sampler"] - first["plain"]


def extra(spent: dict[str, list[float]], name: str) -> float:
    """What an arm adds to the plain run's update, beside which each of its own was made.

    By medians: other programs on the machine lengthen single updates by much more.
    """
    pairs = zip(spent[name], spent["plain"], strict=True)
    return statistics.median(a - b for a, b in pairs) / statistics.median(spent["plain"])


def measure(size: str, updates: int, turns: int) -> dict[str, Any]:
    """Overheads of the arms; median, least and most of the runs."""
    found = [one(size, updates) for _ in range(turns)]
    plain = statistics.median(seconds for spent, _ in found for seconds in spent["plain"])
    row: dict[str, Any] = {
        "model": size,
        "rows": SIZES[size],
        "updates": updates,
        "n": turns,
        "update_seconds": round(plain, 5),
        "look_in_updates": round(statistics.median(look for _, look in found) / plain, 3),
    }
    for name in ("sampler", "penalty"):
        shares = sorted(extra(spent, name) for spent, _ in found)
        row[name] = {
            "overhead": round(statistics.median(shares), 5),
            "least": round(shares[0], 5),
            "most": round(shares[-1], 5),
        }
    return row


def main() -> None:
    """Measure and write the record."""
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="runs of each kind")
    parser.add_argument("--updates", type=int, default=40, help="of a run, timed")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for size in SIZES:
        rows.append(measure(size, options.updates, options.turns))
        print(rows[-1], flush=True)
    environment = host() | {"torch": torch.__version__}
    write_json(options.out, {"environment": environment, "rows": rows})


if __name__ == "__main__":
    main()
