"""The table of `theory.models.predictions` on the toys' own probes, logged by the training core.

All networks of one setting are one model to the core's probe: its norms and its alignment are those
of all seeds together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from swe.sharing.schedule import AlwaysShared, EqualStart, Schedule
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.stack import SharedStack
from swe.sharing.statistics import probe, weight_energies
from theory.models import predictions as carried
from theory.models.sign_descent import Rule
from theory.numerics.domain import Array
from theory.toys.probes import PROBE_DATA, held_losses
from theory.toys.problems import Problem
from theory.toys.training import train


@dataclass(frozen=True)
class Logged:
    """Probe rows of one run, the rows of its splits by threes, and its early held-out losses."""

    rows: list[dict[str, Any]]
    splits: list[carried.Split]
    first_descent: float


def log_run(
    problem: Problem, schedule: Schedule, optimiser: str, rates: Array, every: int, early: int
) -> Logged:
    """Train and probe at every `every` updates, as the training loop logs it.

    `first_descent`: what the held-out losses, summed, lost in the first `early` updates.
    """
    rows: list[dict[str, Any]] = []
    splits: list[carried.Split] = []
    held: list[float] = []

    def watch(
        step: int, stack: SharedStack, swe: ShareThenUnshare, losses: Callable[[], Tensor]
    ) -> None:
        if step in (0, early):
            held.append(float(held_losses(problem, stack).sum()))
        if step % every:
            return
        statistics = swe.measure(lambda: losses().sum(), step)
        rows.append(
            {"kind": "probe", "step": step, **statistics.to_json()}
            | {"weights": weight_energies(stack)}
        )
        batches = (
            lambda: problem.losses(stack, PROBE_DATA + 2 * step).sum(),
            lambda: problem.losses(stack, PROBE_DATA + 2 * step + 1).sum(),
        )
        three = (*batches, lambda: (batches[0]() + batches[1]()) / 2.0)
        found = [{"step": step, **probe(stack, batch).to_json()} for batch in three]
        splits.append(carried.Split.of(*found))

    stack = problem.stack(problem.draws)
    train(
        stack, lambda step: problem.losses(stack, step), schedule, optimiser, rates.tolist(), watch
    )
    return Logged(rows, splits, held[0] - held[1])


def toy_table(
    problem: Problem, optimiser: str, rates: Array, best_taus: list[int], every: int, early: int
) -> list[dict[str, Any]]:
    """The table for one setting; `best_taus` are steps not worse than the best measured."""
    rule: Rule | None = "adam" if optimiser == "adamw" else None
    equal, tied = (
        log_run(problem, schedule, optimiser, rates, every, early)
        for schedule in (EqualStart(), AlwaysShared())
    )
    return carried.table(
        steps=len(rates),
        unshared=equal.rows,
        shared=tied.rows,
        splits=equal.splits,
        rule=rule,
        best_taus=best_taus,
        first_descent=tied.first_descent / equal.first_descent,
    )
