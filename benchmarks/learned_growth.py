"""Does a fitted map beat its own start? LiGO and Mango on the composition language, paired by seed.

A small model is trained, then grown in depth and width: by copies and a stack (the maps' start
without noise), by each map as it starts and as it ends after its fit, and, beside them, the copies
trained as they are for as many updates as a fit has, on the same batches. Held-out losses, paired
by seed, against the copies; a fit's cost in updates of the large model. Nothing here says what
training on from a fitted map is worth, which takes runs at equal budgets. One thread:

    python benchmarks/learned_growth.py --out records/learned_growth.json
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from bert.languages.composition import Composition
from bert.languages.task import LanguageTask
from bert.model.anatomy import bert_anatomy
from bert.model.config import named_config
from bert.model.encoder import Bert
from bert.model.start import untied_weights
from evidence.comparison import compare
from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser
from swe.transforms.learned import Learned, fit
from swe.transforms.ligo import Ligo
from swe.transforms.mango import Mango

CPU = torch.device("cpu")
LANGUAGE = Composition(symbols=6, hops=2)
SIZES = "2x32", "4x64"
RATE = 3e-3
"""Peak of the training of models, on warm-up and linear decay."""


def task_of(size: str) -> LanguageTask:
    """The language with a model of a size, heads of 32, without dropout."""
    shape = named_config(size, vocabulary=LANGUAGE.vocabulary, dropout=0.0)
    shape = replace(shape, positions=LANGUAGE.length, heads=shape.hidden // 32)
    return LanguageTask(shape, LANGUAGE, rows=32, validation_rows=512)


def trained(model: Bert, task: LanguageTask, steps: int, seed: int, first: int) -> Bert:
    """Train on ``steps`` batches from number ``first`` by Adam."""
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(steps):
        share = min((step + 1) / max(1, steps // 10), (steps - step) / steps)
        for group in adam.param_groups:
            group["lr"] = RATE * share
        adam.zero_grad()
        task.loss(model, task.batch(seed, first + step)).backward()
        adam.step()
    return model


def of_seed(seed: int, steps: int, updates: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the held-out losses by name, and the factor of each fit."""
    small, large = (task_of(size) for size in SIZES)
    source = small.build(seed)
    assert isinstance(source, Bert)
    weights = untied_weights(trained(source, small, steps, seed, 0))
    old, new = bert_anatomy(small.config), bert_anatomy(large.config)
    shell = large.build(seed)
    assert isinstance(shell, Bert)

    def loss(made: Mapping[str, Tensor], step: int) -> Tensor:
        batch = large.batch(seed, steps + step)
        logits = functional_call(shell, dict(made), (batch["inputs"], batch["masked"]))
        return functional.cross_entropy(logits, batch["labels"].flatten())

    def model(learned: Learned) -> Bert:
        grown = large.build(seed)
        assert isinstance(grown, Bert)
        with torch.no_grad():
            grown.load_state_dict(learned.weights(weights), strict=False)
        return grown

    def draw() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    copies = model(Ligo(old, new, draw(), noise=0.0))
    found = {
        "source": small.evaluate(source, CPU)["loss"],
        "copies": large.evaluate(copies, CPU)["loss"],
        "copies trained": large.evaluate(trained(copies, large, updates, seed, steps), CPU)["loss"],
    }
    factors = {}
    for name, learned in (
        ("ligo", Ligo(old, new, draw())),
        ("mango", Mango(old, new, draw())),
    ):
        found[f"{name} start"] = large.evaluate(model(learned), CPU)["loss"]
        fitted = fit(learned, weights, loss, steps=updates, seed=seed)
        found[f"{name} fitted"] = large.evaluate(model(learned), CPU)["loss"]
        factors[name] = fitted.factor(large.flops_per_batch)
    return found, factors


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure every seed and compare."""
    losses: dict[str, dict[int, float]] = {}
    factors: dict[str, float] = {}
    for seed in range(given.seeds):
        found, factors = of_seed(seed, given.steps, given.updates)
        for name, loss in found.items():
            losses.setdefault(name, {})[seed] = loss
        print(seed, {name: round(loss, 4) for name, loss in found.items()}, flush=True)
    pairs = {
        f"{name} fitted - {reference}": compare(
            {reference: losses[reference], "fitted": losses[f"{name} fitted"]}, reference
        )
        for name in ("ligo", "mango")
        for reference in (f"{name} start", "copies", "copies trained")
    }
    return {
        "environment": host(),
        "language": task_of(SIZES[1]).describe(),
        "sizes": SIZES,
        "steps": given.steps,
        "fit": given.updates,
        "updates a step": factors,
        "losses": {name: list(of.values()) for name, of in losses.items()},
        "pairs": pairs,
    }


def main() -> None:
    """Measure and write the record."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600, help="updates of the small model")
    parser.add_argument("--updates", type=int, default=100, help="of a fit")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    write_json(given.out, measure(given))


if __name__ == "__main__":
    main()
