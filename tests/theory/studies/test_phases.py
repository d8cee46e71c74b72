"""The maps are what an ensemble of noisy runs gives, and the line parts their signs."""

from __future__ import annotations

import numpy as np
import pytest

from theory.studies.phases import PHASES, TIED, phase


def ensemble_gain(kind: str, value: float, budget: float, updates: int, runs: int) -> float:
    """Gain in decades by running SGD, many times over random optima and noise."""
    h, deviation, temperature = PHASES[kind][0](value)
    eta = budget / float(np.max(h)) / updates
    rng = np.random.default_rng(0)
    optimum = 1.0 + np.sqrt(deviation) * rng.normal(size=(runs, h.size))
    ends = []
    for tied in (0, updates // TIED):
        w = np.zeros((runs, h.size))
        draws = np.random.default_rng(1)
        for step in range(updates):
            noise = np.sqrt(temperature / eta) * draws.normal(size=w.shape)
            gradient = h * (w - optimum) + noise
            if step < tied:
                gradient = np.broadcast_to(gradient.mean(1, keepdims=True), w.shape)
            w = w - eta * gradient
        ends.append(np.mean(0.5 * ((w - optimum) ** 2 @ h)))
    return float(np.log10(ends[0] / ends[1]))


@pytest.mark.parametrize("kind", PHASES)
def test_the_map_is_that_of_an_ensemble(kind: str) -> None:
    """Common random numbers: differences of two means over 20,000 runs, some 1 % of their size."""
    found = phase(kind, 3, 64)
    for row in (0, 2):
        value, budget = found["values"][row], found["budgets"][1]
        measured = ensemble_gain(kind, value, budget, 64, 20_000)
        assert measured == pytest.approx(found["gain"][row][1], rel=0.1, abs=2e-3)


@pytest.mark.parametrize("kind", PHASES)
def test_the_line_parts_the_signs(kind: str) -> None:
    """But for cells that it crosses: a sixteenth is no first moment."""
    found = phase(kind, 8, 128)
    assert found["agree"] > 0.9
    assert 0.3 < found["helps"] < 0.9
