"""Runs trained together: the core's own numbers, step by step, whatever lies beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from swe.base.errors import ConfigError
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    Schedule,
    SweAdaptive,
    SweFixed,
)
from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys.lista import lista
from theory.toys.problems import HELD, CoreQuadratic, DeepLinear, TeacherStudent, Trained
from theory.toys.teacher_student import networks
from theory.toys.together import start_of, tied_until, train_together
from theory.toys.training import layer_weights, train
from theory.toys.unrolled import unrolled

STEPS = 9
SCHEDULES = (NeverShared(), EqualStart(), SweFixed(until=4), SweFixed(until=1), AlwaysShared())
SEEDS = (5, 8)


def students() -> TeacherStudent:
    teachers, starts = networks(0, 2)
    flat = (2, teachers.shape[1], -1)
    return TeacherStudent(
        optimum=teachers[-2:].reshape(flat), draws=starts[-2:].reshape(flat), width=8, data=3
    )


def linear() -> DeepLinear:
    rng = np.random.default_rng(1)
    weights = np.eye(3).reshape(-1) + 0.2 * rng.normal(size=(2, 2, 4, 9))
    return DeepLinear(optimum=weights[0], draws=weights[1], width=3)


def quadratic() -> CoreQuadratic:
    weights = np.random.default_rng(2).normal(size=(2, 2, 4, 3))
    own = np.array([1.0, 0.5, 0.1])
    return CoreQuadratic(
        optimum=weights[0], draws=weights[1], own=own, common=own / 2, noise=1.0, data=1
    )


def injected(seeds: tuple[int, ...] = SEEDS, gamma: float = 1.0) -> Trained:
    return unrolled(seeds, depth=4, width=5, gamma=gamma, eps=0.3)


def shrinking(seeds: tuple[int, ...] = SEEDS) -> Trained:
    return lista(seeds, depth=4, codes=6, measured=4)


def core_path(
    problem: Trained, schedule: Schedule, optimiser: str, rate: float
) -> tuple[list[Array], Array]:
    """Weights (n, L, k) before every update and after the last, and held-out losses: the core's."""
    stack = problem.stack(problem.draws)
    path: list[Array] = []
    train(
        stack,
        lambda step: problem.losses(stack, step),
        schedule,
        optimiser,
        [rate * (STEPS - step) / STEPS for step in range(STEPS)],
        lambda step, stack, swe, losses: path.append(layer_weights(stack).numpy().copy()),
    )
    with torch.no_grad():
        return path, problem.losses(stack, HELD).numpy()


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "problem",
    [injected(), injected(gamma=0.3), shrinking(), students(), linear(), quadratic()],
    ids=["unrolled", "damped", "lista", "residual", "deep linear", "quadratic"],
)
def test_runs_together_are_the_core_s_step_by_step(problem: Trained, optimiser: str) -> None:
    """All schedules at two rates, untie included.

    Sums of L numbers in another order differ by 1e-16; AdamW divides by the gradient's size, which
    magnifies that where a gradient has nearly cancelled, and nine updates add up.
    """
    runs = [(schedule, rate) for schedule in SCHEDULES for rate in (0.02, 0.05)]
    path: list[Array] = []
    found = train_together(
        problem,
        runs,
        optimiser,
        STEPS,
        seen=lambda step, stack: path.append(layer_weights(stack).numpy().copy()),
    )
    assert [len(path), found.shape] == [STEPS + 1, (len(runs), 2)]
    for index, (schedule, rate) in enumerate(runs):
        expected, losses = core_path(problem, schedule, optimiser, rate)
        part = slice(2 * index, 2 * index + 2)
        np.testing.assert_allclose([w[part] for w in path], expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found[index], losses, rtol=1e-10)


@pytest.mark.parametrize("problem", [injected, shrinking])
def test_a_network_alone_and_in_chunks_is_the_same(problem: type) -> None:
    """Its data are its own: no seed beside it, no schedule and no chunk moves it."""
    runs = [(schedule, 0.05) for schedule in SCHEDULES]
    together = train_together(problem(), runs, "adamw", STEPS)
    np.testing.assert_allclose(
        train_together(problem(), runs, "adamw", STEPS, chunk=3), together, rtol=1e-10
    )
    for column, seed in enumerate(SEEDS):
        alone = train_together(problem((seed,)), runs, "adamw", STEPS)
        np.testing.assert_allclose(alone[:, 0], together[:, column], rtol=1e-10)


def test_a_run_that_diverges_disturbs_no_other() -> None:
    calm = train_together(shrinking(), [(SweFixed(until=2), 0.02)], "sgd", STEPS)
    runs: list[tuple[Schedule, float]] = [(NeverShared(), 1e60), (SweFixed(until=2), 0.02)]
    found = train_together(shrinking(), runs, "sgd", STEPS)
    assert not np.isfinite(found[0]).any()
    np.testing.assert_allclose(found[1], calm[0], rtol=1e-10)


def test_single_precision_is_single_precision() -> None:
    """Nine updates of 1e-7 each, magnified as above: the same losses to 1e-3, and not to 1e-12."""
    runs: list[tuple[Schedule, float]] = [(s, 0.02) for s in SCHEDULES]
    kinds: set[torch.dtype] = set()

    def seen(step: int, stack: SharedStack) -> None:
        kinds.update(parameter.dtype for parameter in stack.parameters())

    single = train_together(injected(), runs, "adamw", STEPS, precision=np.float32, seen=seen)
    double = train_together(injected(), runs, "adamw", STEPS)
    assert kinds == {torch.float32}
    gap = np.abs(single / double - 1)
    assert gap.max() < 1e-3
    assert gap.min() > 1e-12


def test_starts_and_unties_are_the_schedule_s() -> None:
    problem = injected()
    assert [tied_until(s, STEPS) for s in SCHEDULES] == [0, 0, 4, 1, STEPS]
    assert tied_until(SweFixed(until=0.25), 8) == 2
    assert start_of(problem, NeverShared()) is problem.draws
    for schedule in SCHEDULES[1:]:
        start = start_of(problem, schedule)
        assert np.all(start == problem.draws[:, :1])


@pytest.mark.parametrize("schedule", [SweAdaptive(interval=2), SweFixed(unit=2, until=4)])
def test_other_schedules_are_refused_by_name(schedule: Schedule) -> None:
    with pytest.raises(ConfigError, match=f"schedule {type(schedule).__name__}.*training.train"):
        train_together(injected(), [(schedule, 0.1)], "sgd", STEPS)


def test_a_schedule_outside_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="until"):
        train_together(injected(), [(SweFixed(until=STEPS), 0.1)], "sgd", STEPS)


def test_problems_give_each_run_its_network_s_data() -> None:
    """A stack that holds the networks twice has their losses twice, in the same order."""
    for problem in (injected(), shrinking(), students(), linear(), quadratic()):
        once = problem.losses(problem.stack(problem.draws), 3)
        twice = problem.losses(problem.stack(np.concatenate([problem.draws] * 2)), 3)
        np.testing.assert_allclose(twice.detach(), once.detach().repeat(2), rtol=1e-12)
    short = replace(students(), full=True)
    once = short.losses(short.stack(short.draws), 3)
    assert once.shape == (2,)
