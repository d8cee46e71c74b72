"""Cells for the forecast: models of many kinds, each with a budget and a rate, and what came of it.

A cell is a family with its numbers, an optimiser, a number of updates and a rate. Its measuring
networks choose the rate (the better of both controls at their best rate of one grid, times the
cell's factor) and are rehearsed: trained for a fraction of the updates, with the rate's whole decay
inside it. Its judging networks, others, say what sharing did over the whole budget. A forecast sees
one measuring network at a time and never a judging one.

Families. `quadratic`: layers with own curvatures and optima, gradient noise; `staircase`: skills
one after the other; `unrolled`: blocks with input injection; `residual`: students of a residual
teacher; `lista`: sparse coding. `drawn` draws the numbers of each cell from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from swe.predict.calibration import TAUS
from swe.predict.measured import FEWEST, LEAST
from swe.probes.curvature import curvature
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, Schedule, SweFixed
from swe.sharing.seeds import derive_seed
from swe.sharing.stack import SharedStack
from swe.sharing.statistics import finite_or_none
from theory.numerics.domain import Array
from theory.toys.lista import lista
from theory.toys.problems import HELD, CoreQuadratic, TeacherStudent, Trained
from theory.toys.staircase import staircase
from theory.toys.together import final_losses, start_of, train_together, untrained_losses
from theory.toys.unrolled import unrolled

FITTED = ("quadratic", "staircase", "unrolled", "residual")
UNSEEN = ("lista",)
WIDTH = 8
CONTROLS: dict[str, Schedule] = {"baseline": NeverShared(), "equal-start": EqualStart()}
TIED: dict[str, Schedule] = {f"swe-f {tau:g}": SweFixed(until=tau) for tau in TAUS}
ARMS: dict[str, Schedule] = CONTROLS | TIED | {"always-shared": AlwaysShared()}
FRACTIONS = (1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Of the updates: the rehearsals' lengths."""
STEPS = (100, 200, 400, 800)
RATES = {
    ("quadratic", "sgd"): (0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    ("quadratic", "adamw"): (0.01, 0.02, 0.04, 0.08, 0.16, 0.32),
    ("staircase", "sgd"): (0.2, 0.4, 0.8, 1.6, 3.2, 6.4),
    ("staircase", "adamw"): (0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
    ("unrolled", "sgd"): (0.4, 0.8, 1.6, 3.2, 6.4, 12.8),
    ("unrolled", "adamw"): (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4),
    ("residual", "sgd"): (0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    ("residual", "adamw"): (0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
    ("lista", "sgd"): (0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
    ("lista", "adamw"): (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08),
}
FACTORS = (0.5, 1.0, 2.0)
"""Of the controls' best rate."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One question; `numbers`: what the family takes, by name."""

    family: str
    optimiser: str
    steps: int
    depth: int
    factor: float
    numbers: dict[str, float]

    def name(self) -> dict[str, Any]:
        """What tells a cell from others, JSON-able."""
        return asdict(self)

    def problem(self, seeds: tuple[int, ...]) -> Trained:
        """One network for each seed."""
        has = self.numbers
        if self.family == "unrolled":
            return unrolled(
                seeds, depth=self.depth, width=WIDTH, gamma=has["gamma"], eps=has["eps"]
            )
        if self.family == "lista":
            return lista(seeds, depth=self.depth, codes=2 * WIDTH, measured=WIDTH)
        if self.family == "staircase":
            return staircase(seeds, depth=self.depth, start=has["start"], spread=has["spread"])
        return self._residual(seeds) if self.family == "residual" else self._quadratic(seeds)

    def _residual(self, seeds: tuple[int, ...]) -> TeacherStudent:
        """As `theory.toys.teacher_student.networks` draws, at any depth, deviation and start."""
        scale, shape = 1 / np.sqrt(WIDTH * self.depth), (self.depth, 2 * WIDTH * WIDTH)
        teachers, starts = [], []
        for seed in seeds:
            rng = np.random.default_rng([seed, 15])
            common, own = rng.standard_normal(shape[1]), rng.standard_normal(shape)
            teachers.append(scale * (common + self.numbers["eps"] * (own - own.mean(axis=0))))
            starts.append(scale * rng.standard_normal(shape))
        return TeacherStudent(
            optimum=np.stack(teachers), draws=np.stack(starts), width=WIDTH, data=seeds[0]
        )

    def _quadratic(self, seeds: tuple[int, ...]) -> CoreQuadratic:
        """Curvatures 1 .. 10^-spread, evenly in the exponent from layer to layer, the same in all
        networks; optima m + eps delta_l.
        """
        has, size = self.numbers, (self.depth, 4)
        own = 10 ** -np.linspace(0.0, has["spread"], self.depth)[:, None]
        drawn = [np.random.default_rng([seed, 17]).standard_normal((3, *size)) for seed in seeds]
        optima = [draw[0, :1] + has["eps"] * draw[1] for draw in drawn]
        return CoreQuadratic(
            optimum=np.stack(optima),
            draws=np.stack([draw[2] for draw in drawn]),
            own=np.broadcast_to(own, size).copy(),
            common=np.full(4, has["common"]),
            noise=has["noise"],
            data=seeds[0],
        )


def drawn(seed: int, families: Sequence[str], each: int) -> list[Cell]:
    """Draw `each` cells of every family; a function of the arguments."""
    cells = []
    for family in families:
        rng = np.random.default_rng([derive_seed("forecast cells", seed, family) % 2**63])
        for _ in range(each):
            optimiser = str(rng.choice(["sgd", "adamw"]))
            steps = int(rng.choice(STEPS[: 3 if family in ("residual", "lista") else 4]))
            depth = int(rng.choice([4, 8, 12]))
            cells.append(
                Cell(
                    family=family,
                    optimiser=optimiser,
                    steps=steps,
                    depth=depth,
                    factor=float(rng.choice(FACTORS)),
                    numbers=_numbers(family, rng),
                )
            )
    return cells


def _numbers(family: str, rng: np.random.Generator) -> dict[str, float]:
    def among(*values: float) -> float:
        return float(rng.choice(values))

    if family == "quadratic":
        return {
            "spread": among(0.0, 1.0, 2.0, 3.0),
            "eps": among(0.0, 0.0, 0.1, 0.3, 1.0),
            "common": among(0.0, 0.0, 1.0),
            "noise": among(0.0, 0.1, 1.0),
        }
    if family == "staircase":
        return {"start": among(0.1, 0.2, 0.4, 0.7), "spread": among(0.0, 0.2, 0.5)}
    if family == "unrolled":
        return {"gamma": among(0.1, 0.3, 0.6, 1.0), "eps": among(0.0, 0.1, 0.3, 1.0, 2.0)}
    if family == "residual":
        return {"eps": among(0.0, 0.1, 0.3, 1.0, 2.0)}
    return {}


def log_losses(
    problem: Trained, cell: Cell, steps: int, runs: Sequence[tuple[Schedule, float]]
) -> Array:
    """log10 of the held-out losses after (schedule, rate) runs of `steps` updates, (runs, n), as
    `together.final_losses`.
    """
    losses = final_losses(problem, runs, cell.optimiser, steps)
    return np.asarray(np.log10(np.maximum(losses, LEAST)))


def rehearsed(steps: int, fraction: float) -> int:
    """Updates of a rehearsal."""
    return max(FEWEST, round(fraction * steps))


def measure(cell: Cell, measuring: tuple[int, ...], judging: tuple[int, ...]) -> dict[str, Any]:
    """Rate, rehearsals and curvature of the measuring networks, outcome of the judging; JSON."""
    problem = cell.problem(measuring)
    grid = RATES[cell.family, cell.optimiser]
    tried = [(schedule, rate) for rate in grid for schedule in CONTROLS.values()]
    means = log_losses(problem, cell, cell.steps, tried).mean(axis=1).reshape(len(grid), -1)
    best = int(np.argmin(means.min(axis=1)))
    rate = grid[best] * cell.factor
    rehearsals = {}
    for fraction in FRACTIONS:
        runs = [(schedule, rate) for schedule in ARMS.values()]
        found = log_losses(problem, cell, rehearsed(cell.steps, fraction), runs)
        rehearsals[f"{fraction:g}"] = dict(zip(ARMS, found.round(4).tolist(), strict=True))
    outcome = log_losses(
        cell.problem(judging), cell, cell.steps, [(schedule, rate) for schedule in ARMS.values()]
    )
    watched = _Watch(problem, cell.steps)
    train_together(
        problem,
        [(ARMS["always-shared"], rate)],
        cell.optimiser,
        cell.steps,
        precision=np.float32,
        seen=watched,
    )
    starts = {
        arm: np.log10(np.maximum(untrained_losses(problem, schedule), LEAST)).round(4).tolist()
        for arm, schedule in CONTROLS.items()
    }
    return cell.name() | {
        "rate": rate,
        "inside": 0 < best < len(grid) - 1,
        "start": starts,
        "rehearsals": rehearsals,
        "tied": watched.found,
        "curvature": [_curvature(cell, seed) for seed in measuring],
        "outcome": dict(zip(ARMS, outcome.round(4).tolist(), strict=True)),
    }


class _Watch:
    """What a schedule that looks at gradients would see of a tied run, at `TAUS` of its updates.

    `found`: for each tau its networks' mean adjacent correlation and alignment (as
    `swe.sharing.statistics`, on the update's own batch) and log10 held-out loss.
    """

    def __init__(self, problem: Trained, steps: int) -> None:
        self.problem, self.at = problem, {round(tau * steps): f"{tau:g}" for tau in TAUS}
        self.found: dict[str, dict[str, list[float | None]]] = {}

    def __call__(self, step: int, stack: SharedStack) -> None:
        if step not in self.at:
            return
        layers = [list(block.parameters()) for block in stack.blocks]
        flat = [parameter for layer in layers for parameter in layer]
        gradients = iter(torch.autograd.grad(self.problem.losses(stack, step).sum(), flat))
        own = torch.stack(
            [torch.cat([next(gradients).flatten(1) for _ in layer], dim=1) for layer in layers], 1
        ).double()
        gram = own @ own.transpose(1, 2)
        squares = gram.diagonal(dim1=1, dim2=2)
        adjacent = gram.diagonal(1, 1, 2) / (squares[:, 1:] * squares[:, :-1]).sqrt()
        alignment = gram.sum((1, 2)) / (gram.shape[1] * squares.sum(1))
        with torch.no_grad():
            held = self.problem.losses(stack, HELD).double().clamp_min(LEAST).log10()
        self.found[self.at[step]] = {
            "correlation": _rounded(adjacent.mean(1)),
            "alignment": _rounded(alignment),
            "loss": _rounded(held),
        }


def _rounded(values: torch.Tensor) -> list[float | None]:
    """To four digits; None for what is not finite."""
    return [finite_or_none(round(value, 4)) for value in values.tolist()]


def _curvature(cell: Cell, seed: int) -> dict[str, float]:
    """Of one measuring network at the equal start, on held-out data."""
    problem = cell.problem((seed,))
    stack = problem.stack(start_of(problem, CONTROLS["equal-start"]))
    found = curvature(stack, lambda: problem.losses(stack, HELD).sum(), seed)
    return {
        "sharpness": found.sharpness,
        "tied_sharpness": found.tied_sharpness,
        "commutator": found.commutator,
    }
