"""The moments study: its own-moments mark is an untied optimiser's, its lengths are lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from theory.toys.moments import ARMS, DEPTH, Examples, Setting, draw, fit, study

SETTING = Setting(strength=1.0, rows=4, tau=6, steps=14)


@pytest.fixture(scope="module")
def problem() -> tuple[Examples, np.ndarray]:
    teachers, starts = draw(0, 3, SETTING.strength)
    return Examples(teachers, SETTING, 0), starts


def test_before_the_untie_arms_of_one_convention_are_one_run(
    problem: tuple[Examples, np.ndarray],
) -> None:
    """Same loss at tau to the last bit: what differs later comes from the moments alone."""
    examples, starts = problem
    runs = {arm: fit(arm, examples, starts, SETTING, 1e-2) for arm in ARMS}
    mean = [runs[arm]["losses"][0] for arm in ("copy", "reset", "rescale", "own")]
    assert all(np.array_equal(mean[0], other) for other in mean)
    assert np.array_equal(runs["sum copy"]["losses"][0], runs["sum rescale"]["losses"][0])
    assert np.array_equal(runs["untied"]["losses"][0], runs["untied reset"]["losses"][0])
    ends = [tuple(runs[arm]["losses"][-1]) for arm in ARMS if arm != "sum rescale"]
    assert len(set(ends)) == len(ends)


def test_own_moments_are_those_of_an_untied_adam(problem: tuple[Examples, np.ndarray]) -> None:
    """With one update before the untie, all weights equal, the mark is the untied run itself."""
    examples, starts = problem
    early = Setting(strength=1.0, rows=4, tau=1, steps=2)
    pair = Examples.__new__(Examples)
    pair.held, pair.batches = examples.held, [examples.batches[0]] * 2
    own, untied = (fit(arm, pair, starts, early, 1e-9) for arm in ("own", "untied"))
    # At a rate of 1e-9 the weights stay where they were: both see one gradient twice.
    np.testing.assert_allclose(own["length"], untied["length"], rtol=1e-5)


def test_a_first_update_after_a_reset_has_length_one(problem: tuple[Examples, np.ndarray]) -> None:
    """Adam's first step moves every weight by the rate: the unit of the lengths."""
    examples, starts = problem
    run = fit("reset", examples, starts, SETTING, 1e-2)
    np.testing.assert_allclose(run["length"][0], 1.0, rtol=1e-4)
    assert run["length"].shape == (SETTING.steps - SETTING.tau, 3)


def test_sum_rescaled_is_mean_rescaled(problem: tuple[Examples, np.ndarray]) -> None:
    """The factor taken out at the untie: one path from there on, but for Adam's epsilon."""
    examples, starts = problem
    one, other = (fit(a, examples, starts, SETTING, 1e-2) for a in ("rescale", "sum rescale"))
    np.testing.assert_allclose(one["losses"], other["losses"], rtol=1e-3)
    # The sum's moments are n and n^2 times the mean's. Their quotient is right at tau; as the first
    # moment forgets, by 0.9 an update, the second one, which remembers, leaves the updates short:
    # about 0.9^k + (1 - 0.9^k) / n of what they should be.
    short = fit("sum copy", examples, starts, SETTING, 1e-2)
    ratio = short["length"] / one["length"]
    assert np.all(np.diff(ratio[1:], axis=0) < 0)
    assert np.all((ratio[-1] > 1 / DEPTH) & (ratio[-1] < 0.75))


def test_study_compares_within_networks_and_keeps_every_rate() -> None:
    torch.manual_seed(0)
    result = study(0, "smoke")
    assert result["depth"] == DEPTH
    aligned, own = result["settings"]
    assert aligned["alignment"] > own["alignment"] > 1 / DEPTH
    for setting in result["settings"]:
        assert setting["lengths"]["own"]["curve over own"] == [0.0] * (
            setting["steps"] - setting["tau"]
        )
        for arm in ARMS:
            assert list(setting["by_rate"][arm]) == [f"{rate:g}" for rate in setting["rates"]]
            judged = setting["best_rate_end"]["copy"][arm]
            assert judged["loss"]["n"] == result["networks"] // 2
