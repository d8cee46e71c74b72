"""One arm of the composition study, eager, compiled, in bfloat16, and two arms at once: processor
time of an update.

    python -m benchmarks.language_arm --out records/language_arm.json

8x64, 64 rows of 24 tokens, in one process of one thread, the kinds in turn. The bar, set
beforehand: 0.6 of the eager float32 update. Two arms, or seeds, at once are bounded from below by
half of an update with twice the rows: it has the batched products' size, one model's weights to
read, and one optimiser step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from bert.languages.task import LanguageTask
from bert.study.language_study import LANGUAGE_SCALES, build_language_task
from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser
from swe.run.optimizer import OptimizerConfig, build_adamw

KINDS = ("eager", "compiled", "bfloat16", "two at once")
BAR = 0.6
WARM = 5


def update_seconds(task: LanguageTask, kind: str, updates: int) -> float:
    """Median processor time of an arm's update, after ``WARM`` others."""
    torch.manual_seed(0)
    arms = 2 if kind == "two at once" else 1
    task = replace(task, rows=arms * task.rows)
    model = task.build(0)
    optimizer = build_adamw(model, OptimizerConfig())
    loss: Callable[..., torch.Tensor] = task.loss
    if kind == "compiled":
        loss = torch.compile(task.loss)
    seconds = []
    for step in range(WARM + updates):
        batch = task.batch(0, step)
        at = time.process_time()
        # The weight cache would add a tied layer's gradients in bfloat16; the loop leaves it off.
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16", cache_enabled=False):
            value = loss(model, batch)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append((time.process_time() - at) / arms)
    return statistics.median(seconds[WARM:])


def main() -> None:
    """Measure and write the record."""
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=3, help="measurements of each kind")
    parser.add_argument("--updates", type=int, default=20, help="updates in a measurement")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = build_language_task(LANGUAGE_SCALES["small"]["composition"])
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(options.turns):
        for kind in KINDS:
            found[kind].append(update_seconds(task, kind, options.updates))
    ratios = {
        kind: sorted(value / base for value, base in zip(values, found["eager"], strict=True))
        for kind, values in found.items()
    }
    rows = [
        {
            "kind": kind,
            "seconds": statistics.median(found[kind]),
            "of_eager": statistics.median(ratios[kind]),
            "least": ratios[kind][0],
            "most": ratios[kind][-1],
            "n": options.turns,
        }
        for kind in KINDS
    ]
    environment = host() | {"torch": torch.__version__}
    write_json(options.out, {"environment": environment, "bar": BAR, "rows": rows})
    for row in rows:
        print(f"{row['kind']:<10} {1000 * row['seconds']:.1f} ms, {row['of_eager']:.2f} of eager")


if __name__ == "__main__":
    main()
