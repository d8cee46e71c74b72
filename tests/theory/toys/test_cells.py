"""The forecast's cells: drawn from a seed, measured by the engine, judged on other networks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from swe.predict.calibration import TAUS
from swe.sharing.stack import SharedStack
from theory.models import staircase as solved
from theory.toys import cells
from theory.toys.cells import ARMS, FITTED, FRACTIONS, RATES, UNSEEN, drawn, measure
from theory.toys.problems import HELD
from theory.toys.staircase import staircase
from theory.toys.together import start_of, train_together


def weights_of(stack: SharedStack) -> list[torch.Tensor]:
    """Every layer's one parameter."""
    return [weight for block in stack.blocks for weight in block.parameters()]


def test_staircase_is_the_solved_model() -> None:
    """Held-out loss and its gradient at the draws are those of `theory.models.staircase`; an
    update's loss is the same with random shares, so its mean over many is the held-out one.
    """
    problem = staircase((3, 4), depth=5, start=0.6, spread=0.4)
    stack = problem.stack(problem.draws)
    losses = problem.losses(stack, HELD)
    np.testing.assert_allclose(losses.detach(), solved.loss(problem.draws[..., 0]), rtol=1e-13)
    losses.sum().backward()
    gradients = [weight.grad for weight in weights_of(stack)]
    found = torch.stack([grad[:, 0] for grad in gradients if grad is not None], dim=1)
    np.testing.assert_allclose(found, solved.gradient(problem.draws[..., 0]), rtol=1e-12)
    with torch.no_grad():
        drawn_losses = torch.stack([problem.losses(stack, step) for step in range(400)])
    error = drawn_losses.std(0) / 400**0.5
    assert bool(((drawn_losses.mean(0) - losses).abs() < 4 * error).all())
    assert float(drawn_losses[0, 0]) == float(problem.losses(stack, 0)[0].detach())


def test_cells_are_drawn_from_their_seed() -> None:
    """Adding families or cells changes none of those before; all values come from the lists."""
    few, more = drawn(7, ("unrolled",), 3), drawn(7, FITTED + UNSEEN, 6)
    assert few == [cell for cell in more if cell.family == "unrolled"][:3]
    assert drawn(8, ("unrolled",), 3) != few
    assert {cell.family for cell in more} == {*FITTED, *UNSEEN}
    assert all((cell.family, cell.optimiser) in RATES for cell in more)


@pytest.mark.parametrize("family", FITTED + UNSEEN)
def test_a_cell_is_measured_and_judged(family: str) -> None:
    """The outcome is the engine's own, on judging networks; the rehearsals' on the others."""
    cell = replace(drawn(1, (family,), 1)[0], steps=12, depth=3)
    found = measure(cell, (1, 2), (3, 4, 5))
    grid = RATES[family, cell.optimiser]
    assert found["rate"] in [rate * cell.factor for rate in grid]
    assert set(found["outcome"]) == set(ARMS)
    assert list(found["rehearsals"]) == [f"{fraction:g}" for fraction in FRACTIONS]
    assert set(found["tied"]) == {f"{tau:g}" for tau in TAUS}
    assert len(found["curvature"]) == 2
    problem = cell.problem((3, 4, 5))
    runs = [(ARMS["swe-f 0.4"], found["rate"])]
    alone = train_together(problem, runs, cell.optimiser, 12, precision=np.float32)[0]
    if np.isfinite(alone).all():
        np.testing.assert_allclose(found["outcome"]["swe-f 0.4"], np.log10(alone), atol=2e-3)


def test_what_a_tied_run_shows_is_the_layers_own_gradients() -> None:
    cell = replace(drawn(1, ("unrolled",), 1)[0], steps=10, depth=3, optimiser="sgd")
    problem = cell.problem((1, 2))
    seen = cells._Watch(problem, 10)
    stack = problem.stack(start_of(problem, ARMS["equal-start"]))
    seen(1, stack)
    losses = problem.losses(stack, 1)
    weights = weights_of(stack)
    for network in range(2):
        own = [
            g[network].flatten()
            for g in torch.autograd.grad(losses[network], weights, retain_graph=True)
        ]
        cosines = [torch.cosine_similarity(a, b, dim=0) for a, b in pairwise(own)]
        expected = float(torch.stack(cosines).mean())
        assert seen.found["0.1"]["correlation"][network] == pytest.approx(expected, abs=1e-4)
        total = torch.stack(own)
        aligned = float(total.sum(0).square().sum() / (3 * total.square().sum()))
        assert seen.found["0.1"]["alignment"][network] == pytest.approx(aligned, abs=1e-4)
