"""The quadratic about a network's teacher: its Hessian, and what is predicted from whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import toy_hessian
from theory.models.fit_quadratic import general_losses
from theory.models.quadratic import linear_steps
from theory.toys.hessian import (
    CELLS,
    FRACTIONS,
    MIDDLE,
    PARTS,
    SCALES,
    Cell,
    judge,
    models,
    predicted,
    read,
    study,
)
from theory.toys.placed import schedule_of
from theory.toys.probes import hessians
from theory.toys.problems import HELD
from theory.toys.together import final_losses
from theory.toys.unrolled import SAMPLES, Unrolled, own_inputs, unrolled


def gradient(problem: Unrolled, weights: np.ndarray) -> np.ndarray:
    """Of the mean loss over the Jacobian's own inputs, (n, L, k); written out without a stack."""
    w = torch.from_numpy(weights).requires_grad_()
    inputs = own_inputs(problem.seeds, HELD + 1, problem.width)[:, :, :SAMPLES]

    def outputs(parts: torch.Tensor) -> torch.Tensor:
        h, d = inputs, problem.width
        for layer in range(parts.shape[1]):
            matrix = parts[:, layer].reshape(-1, d, d)
            h = h + problem.gamma * (torch.tanh(matrix @ h + inputs) - h)
        return h

    gap = outputs(w) - outputs(torch.from_numpy(problem.optimum))
    [slope] = torch.autograd.grad(0.5 * gap.square().mean(-1).sum(), w)
    return slope.numpy()


def test_hessian_about_the_teacher_by_central_differences() -> None:
    """Along random directions; the error of central differences is their step squared."""
    problem = unrolled((1, 2), depth=3, width=3, gamma=0.7, eps=0.5)
    found = hessians(problem, problem.optimum)
    rng = np.random.default_rng(0)
    for _ in range(3):
        v = rng.normal(size=problem.optimum.shape)
        up, down = (gradient(problem, problem.optimum + s * 1e-4 * v) for s in (1, -1))
        np.testing.assert_allclose(
            np.einsum("nlimj,nmj->nli", found, v), (up - down) / 2e-4, rtol=1e-5, atol=1e-7
        )


def test_under_sgd_the_prediction_is_the_general_quadratic() -> None:
    problem = Cell(optimiser="sgd", gamma=1.0, eps=0.3, depth=3, width=4).problem((5,))
    H = hessians(problem, problem.optimum)
    said = predicted(problem, models(problem, "sgd", H), 50, 0.5)
    plain = general_losses(
        H[0],
        problem.optimum[0],
        problem.draws[0, 0],
        linear_steps(0.5, 50),
        [round(f * 50) for f in FRACTIONS],
    )
    np.testing.assert_allclose(said["full"][1:, 0], np.log10(plain), atol=1e-9)
    for part in ("commuting", "exchangeable"):  # never below the equal start, to rounding
        assert np.diff(said[part][1:, 0]).min() > -1e-9


def test_near_its_teacher_a_network_follows_the_model() -> None:
    """Drawn together, it is its quadratic: the full Hessian's curve is the run's, no other part's.

    Curvature and loss have draws of their own: 512 against 128 inputs of a fourth moment or so,
    some 10 % of the loss, 0.04 decades; the bound is twice that and a little.
    """
    far = Cell(optimiser="sgd", gamma=1.0, eps=1.0, depth=4, width=4).problem((1, 2))
    mean = far.optimum.mean(axis=1, keepdims=True)
    near = Unrolled(
        optimum=mean + 0.02 * (far.optimum - mean),
        draws=mean + 0.02 * (far.draws - mean),
        width=far.width,
        gamma=far.gamma,
        seeds=far.seeds,
    )
    steps, rate = 100, 0.5
    said = predicted(near, models(near, "sgd", hessians(near, near.optimum)), steps, rate)
    arms = [schedule_of(round(f * steps), steps) for f in FRACTIONS]
    found = np.log10(final_losses(near, [(arm, rate) for arm in arms], "sgd", steps))
    gaps = {part: np.abs(logs[1:] - found).max() for part, logs in said.items()}
    assert gaps["full"] < 0.1 < 0.3 < min(gaps["commuting"], gaps["exchangeable"])


def test_a_small_predicted_change_is_none() -> None:
    logs = np.array([[0.0, 0.0]] + [[-0.01 * i, -0.0101 * i] for i in range(len(FRACTIONS))])
    words = read(logs)["against_baseline"]["verdict"]
    assert words[:2] == ["no gain", "helps"]
    assert read(logs, 0.02)["against_baseline"]["verdict"][:3] == ["no gain", "no gain", "helps"]
    assert read(logs)["verdict"] == ["no gain"] + ["helps"] * (len(FRACTIONS) - 1)
    logs[0] -= 1.0  # the baseline far below
    assert read(logs)["verdict"] == ["hurts"] * len(FRACTIONS)
    assert read(logs)["best_tau"] == FRACTIONS[-1]


def test_rate_by_the_tuning_networks_rest_by_the_judging() -> None:
    cell = Cell(optimiser="sgd", gamma=1.0, eps=0.3, depth=3, width=4)
    one, other = (judge(cell, (12,), (1, 2), judging, (0.1, 1.0)) for judging in ((3, 4), (5, 6)))
    assert one[0]["rate"] == other[0]["rate"]
    assert one[0]["measured"] != other[0]["measured"]
    assert one[0]["parts"] != other[0]["parts"]


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_the_default_run_has_what_the_claims_read(optimiser: str) -> None:
    result = study(0, "smoke")
    settings = [entry for entry in result["settings"] if entry["optimiser"] == optimiser]
    assert len(settings) == sum(cell.optimiser == optimiser for cell in CELLS)
    for entry in settings:
        assert list(entry["parts"]) == list(PARTS)
        for found in (entry["measured"], *entry["parts"].values()):
            for control in ("against_baseline", "against_equal_start"):
                assert len(found[control]["verdict"]) == len(FRACTIONS)
            assert found["against_equal_start"]["mean"][0] == 0.0
        assert entry["measured"]["best_tau"] in entry["measured"]["best_tau_set"]
    assert result["judging"] == SCALES["smoke"][2]


def test_the_grid_names_each_cell_once() -> None:
    assert len(set(toy_hessian.grid())) == len(toy_hessian.grid()) == 2 * 2 * 4
    assert set(CELLS) <= set(toy_hessian.grid())
    assert {(cell.optimiser, cell.gamma) for cell in CELLS} <= set(MIDDLE)
