"""How much faster are the toy models trained all at once than one by one?

Teacher and student, SWE-F: every seed and deviation in one batch of matrices, beside a plain loop
over the same networks. Then unrolled blocks and LISTA: networks, schedules and rates in one tensor
program (`theory.toys.together`), in double and in single precision, beside a loop of single runs of
the training core in the same precision. At the largest rates training magnifies rounding, which
is what the largest relative difference shows; `tests/theory/toys/test_together.py` compares step by
step at rates at which it does not. Process time, interleaved, medians. Writes a JSON record.

    python -m benchmarks.batched_toys --out records/batched_toys.json
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser
from swe.sharing.schedule import SweFixed
from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys import teacher_student
from theory.toys.judged import ARMS, Setting, settings
from theory.toys.probes import run
from theory.toys.problems import Trained
from theory.toys.together import train_together


def compared(what: str, repeats: int, ways: dict[str, Callable[[], Array]]) -> dict[str, Any]:
    """Time each way in turn; each is held against "loop", or "single loop" if its name says so."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, Array] = {}
    for _ in range(repeats):
        for name, work in ways.items():
            begin = time.process_time()
            losses[name] = work()
            seconds[name].append(time.process_time() - begin)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    others = {
        name: "single loop" if name.startswith("single") else "loop"
        for name in ways
        if not name.endswith("loop")
    }
    return {
        "what": what,
        "process_seconds": seconds,
        "ratio": {name: median[loop] / median[name] for name, loop in others.items()},
        "largest_relative_difference": {
            name: float(np.max(np.abs(losses[name] / losses[loop] - 1)))
            for name, loop in others.items()
        },
    }


def students(seeds: int, steps: int, repeats: int) -> dict[str, Any]:
    """Teacher and student: all networks of one arm at one rate, beside one by one."""
    teachers, starts = teacher_student.networks(0, seeds)
    schedule = SweFixed(until=0.1)

    def fit(part: slice) -> Array:
        losses, _ = teacher_student.fit(
            teachers[part], starts[part], schedule, "adamw", 0.03, steps, 0
        )
        return losses

    return compared(
        f"{len(teachers)} teacher-student networks, {steps} updates of AdamW",
        repeats,
        {
            "batched": lambda: fit(slice(None)),
            "loop": lambda: np.concatenate([fit(slice(i, i + 1)) for i in range(len(teachers))]),
        },
    )


@dataclass(frozen=True)
class Single:
    """A problem that starts in single precision, which a run on the core then keeps."""

    problem: Trained

    @property
    def draws(self) -> Array:
        """The starts, rounded."""
        return self.problem.draws.astype(np.float32)

    def stack(self, weights: Array) -> SharedStack:
        """See Trained."""
        return self.problem.stack(weights)

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """See Trained."""
        return self.problem.losses(stack, step)


def family(setting: Setting, networks: int, repeats: int) -> dict[str, Any]:
    """All arms at the setting's rates on so many networks, beside single runs of the core."""
    runs = [(schedule, rate) for schedule in ARMS.values() for rate in setting.rates]
    seeds = tuple(range(networks))
    problem, alone = setting.problem(seeds), [setting.problem((seed,)) for seed in seeds]
    single = [Single(one) for one in alone]
    decay = (setting.steps - np.arange(setting.steps)) / setting.steps

    def together(precision: type) -> Array:
        return train_together(problem, runs, setting.optimiser, setting.steps, precision=precision)

    def loop(problems: Sequence[Trained]) -> Array:
        return np.array(
            [
                [run(one, s, setting.optimiser, rate * decay).losses[0] for one in problems]
                for s, rate in runs
            ]
        )

    return compared(
        f"{setting.family}: {networks} networks, {len(ARMS)} arms, {len(setting.rates)} rates, "
        f"{setting.steps} updates of {setting.optimiser}",
        repeats,
        {
            "double": lambda: together(np.float64),
            "single": lambda: together(np.float32),
            "loop": lambda: loop(alone),
            "single loop": lambda: loop(single),
        },
    )


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--networks", type=int, default=6)
    parser.add_argument("--updates", type=int, default=40, help="of the unrolled families")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    of_default = settings(options.updates, 5)
    by_family = {setting.family: setting for setting in reversed(of_default)}
    found = [students(options.seeds, options.steps, options.repeats)] + [
        family(by_family[name], options.networks, options.repeats) for name in ("unrolled", "lista")
    ]
    write_json(
        options.out,
        {"compared": found, "torch": torch.__version__, "environment": host()},
    )
    for entry in found:
        ratios = ", ".join(f"{ratio:.1f} ({name})" for name, ratio in entry["ratio"].items())
        print(f"{entry['what']}: the loop takes so many times as long: {ratios}")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
