"""Cells of a BERT on the made languages, in the form of the forecast's other cells.

A family that the forecast never saw: composition, its mixed variant with facts, and hierarchy, both
placements of LayerNorm, at one rate. Measured as a user's run would be (`swe.measure`'s arms and
lengths), and judged on `--seeds` other starts and batches over the whole budget. Writes one JSON
line a cell, as it is finished; cells that are there already are not run again.

    python -m benchmarks.forecast_languages --out results/languages.jsonl --jobs 2
"""

import math
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bert.languages.composition import Composition
from bert.languages.hierarchy import Hierarchy
from bert.languages.language import Language
from bert.languages.task import LanguageTask
from bert.model.config import Placement, named_config
from swe.base.environment import host
from swe.base.files import append_line, read_lines, write_json
from swe.base.options import Parser
from swe.predict.measured import ARMS as MEASURED
from swe.predict.measured import LEAST, lengths
from swe.probes.curvature import curvature
from swe.probes.measure import BATCHES
from swe.probes.rehearsal import enter, held_loss, rehearse
from swe.probes.run import Run, fresh
from swe.sharing.schedule import EqualStart
from theory.toys.cells import ARMS, FRACTIONS

SIZE, ROWS, UPDATES, RATE, WARMUP = "6x32", 64, 1000, 4e-3, 0.05
"""The default run's cell of the composition language, and its rate for all arms."""
LANGUAGES: dict[str, Language] = {
    "composition": Composition(symbols=6, hops=5),
    "mixed": Composition(symbols=6, hops=5, facts=0.5),
    "hierarchy": Hierarchy(symbols=8, rules=2, depth=3, hidden=0.25),
}
PLACEMENTS: tuple[Placement, ...] = ("pre", "post")
CELLS = [(name, placement) for name in LANGUAGES for placement in PLACEMENTS]


def make(task: LanguageTask, seed: int) -> Run:
    """Begin the run of one seed."""
    model = task.build(seed)

    def loss(model: nn.Module, step: int) -> Tensor:
        return task.loss(model, task.batch(seed, step))

    def held(model: nn.Module) -> float:
        found = task.evaluate(model.eval(), torch.device("cpu"))
        return found["loss"] - found["floor"]

    return Run(
        model=model,
        layers="stack",
        optimizer=torch.optim.AdamW(model.parameters(), lr=RATE, eps=1e-6),
        loss=loss,
        held=held,
        rate=lambda done: min(1.0, (done + 1 / UPDATES) / WARMUP) * (1 - done),
        clip_norm=1.0,
    )


def log_end(begin: Callable[[], Run], arm: str, updates: int) -> float:
    """log10 of the held-out loss above the floor after a run."""
    found = rehearse(begin, ARMS[arm], updates, evaluations=1)
    loss = found.loss if math.isfinite(found.loss) else found.start_loss
    return round(math.log10(max(loss, LEAST)), 4)


def one(work: tuple[str, Placement, int]) -> dict[str, Any]:
    """Measure and judge one cell in a process of its own."""
    torch.set_num_threads(1)
    name, placement, seeds = work
    language = LANGUAGES[name]
    config = named_config(SIZE, vocabulary=language.vocabulary, placement=placement, dropout=0.0)
    task = LanguageTask(config, language, ROWS)
    begin = partial(make, task, 1000)
    with fresh(begin) as run:
        stack = enter(run, EqualStart(), UPDATES).stack
        start = math.log10(held_loss(run, run.model))

        def loss() -> Tensor:
            return torch.stack([run.loss(run.model, t) for t in range(BATCHES)]).mean()

        bent = curvature(stack, loss)
    counts = {f"{f:g}": lengths(UPDATES, 2 * f)[0] for f in FRACTIONS[:3]}
    rehearsals = {
        fraction: {arm: [log_end(begin, arm, count)] for arm in MEASURED}
        for fraction, count in counts.items()
    }
    outcome = {
        arm: [log_end(partial(make, task, seed), arm, UPDATES) for seed in range(seeds)]
        for arm in ARMS
    }
    return {
        "family": f"{name} ({placement}-LN)",
        "optimiser": "adamw",
        "steps": UPDATES,
        "depth": config.layers,
        "rate": RATE,
        "start": {"equal-start": [start]},
        "rehearsals": rehearsals,
        "curvature": [
            {
                "sharpness": bent.sharpness,
                "tied_sharpness": bent.tied_sharpness,
                "commutator": bent.commutator,
            }
        ],
        "tied": {},
        "outcome": outcome,
    }


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON lines to write or continue")
    parser.add_argument("--seeds", type=int, default=4, help="starts on which a cell is judged")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {entry["family"] for entry in read_lines(options.out)}
    left = [(*cell, options.seeds) for cell in CELLS if f"{cell[0]} ({cell[1]}-LN)" not in done]
    write_json(options.out.with_suffix(".environment.json"), host())
    with get_context("spawn").Pool(options.jobs) as pool:
        for entry in tqdm(pool.imap_unordered(one, left), total=len(left), desc="cells"):
            append_line(options.out, entry)


if __name__ == "__main__":
    main()
