"""torch.optim.AdamW beside the predictor, and the pieces that measure it."""

import json

import numpy as np
import pytest
import torch

from theory.claims.sign_descent import sign_gain
from theory.models import quadratic, sign_descent
from theory.models.quadratic import Quadratic
from theory.toys import adam_claims
from theory.toys import adam_quadratic as toy
from theory.toys import adam_unshare as unshare


def test_without_averages_adam_is_the_sign_rule() -> None:
    """betas 0: the update is g / |g|, so the gain is erf's, not Adam's."""
    found = toy.speed_gain(0, [0.3, 1.0], 16, 64, 2000, betas=(0.0, 0.0))
    gain, error = np.array(found["gain"]), np.array(found["standard_error"])
    assert np.all(np.abs(gain - found["predicted"]["sign"]) < 4 * error)
    assert np.all(np.abs(gain - found["predicted"]["adam"]) > 4 * error)


def test_usual_averages_follow_the_adam_rule() -> None:
    found = toy.speed_gain(1, [0.3, 1.0], 16, 64, 4000)
    gain, error = np.array(found["gain"]), np.array(found["standard_error"])
    # 0.2 %: noise in the second moment, whose memory is 1000 steps.
    assert np.all(np.abs(gain - found["predicted"]["adam"]) < 4 * error + 2e-3 * gain)
    assert np.all(np.abs(gain - found["predicted"]["sign"]) > 4 * error + 2e-3 * gain)
    speed = sign_descent.drift(found["snr"], "adam")
    np.testing.assert_allclose(found["speed_unshared"], speed, rtol=0.02)


def test_tied_is_one_parameter_with_the_mean_gradient() -> None:
    """Without noise tied and separate layers are one run; with noise, by hand, the first step."""
    start = torch.ones(2, 3, dtype=torch.float64)
    quiet = torch.zeros(2, 1, dtype=torch.float64)
    rates = np.full(20, 0.01)
    runs = [
        toy.run_adamw(start, lambda mean: mean, quiet, 4, rates, tied=tied, seed=0)
        for tied in (True, False)
    ]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-14)
    loud = torch.full((2, 1), 2.0, dtype=torch.float64)
    noise = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    seen = 1.0 + 2.0 * noise
    for tied in (True, False):
        path = toy.run_adamw(start, lambda mean: mean, loud, 4, rates[:1], tied=tied, seed=7)
        sign = seen.mean(-1).sign() if tied else seen.sign().mean(-1)  # Adam's first step
        # eps = 1e-8 beside |g|: relative 1e-8 / |g| of a step of 0.01.
        np.testing.assert_allclose(path[1], 1.0 - 0.01 * sign.numpy(), atol=1e-8)


def test_groups_are_runs_of_their_own() -> None:
    start = torch.ones(2, 1, 3, dtype=torch.float64)
    noise = torch.ones(1, 1, dtype=torch.float64)
    rates = np.stack([np.full(30, 0.01), np.linspace(0.05, 0.0, 30)])
    both = toy.run_adamw(start, lambda mean: mean, noise, 4, rates, tied=False, seed=3)
    for group in range(2):
        alone = toy.run_adamw(
            start[group], lambda mean: mean, noise, 4, rates[group], tied=False, seed=3
        )
        np.testing.assert_array_equal(both[:, group], alone)


def test_ratio_with_error_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    ratio, error = toy.ratio_with_error(
        rng.normal(3.0, 1.0, (400, 100)), rng.normal(2.0, 0.5, (400, 100))
    )
    z = (ratio - 1.5) / error
    assert abs(z.mean()) < 4 / 20  # 400 scores of variance about 1
    assert z.std() == pytest.approx(1.0, abs=0.15)


def test_shorter_memory_comes_closer_to_the_predictor() -> None:
    gaps = []
    for beta2 in (0.999, 0.99):
        found = toy.reach_gain(0, [1.0], 16, 64, 2e-3, beta2)
        gaps.append(abs(found["gain"][0] / found["predicted"][0] - 1))
    assert gaps[1] < gaps[0] < 0.2


def test_tuned_rates_leave_no_gain_of_the_common_mode() -> None:
    row = toy.tuned(0, [0.1], 16, 256, 500)["rows"][0]
    assert row["best_gain"] < 1 + 4 * row["standard_error"]
    assert row["best_peak_unshared"] > 1.9 * row["best_peak_tied"]
    # At one rate, before either floor, tied is far ahead: the gain that tuning takes back.
    assert row["loss_unshared"][5] > 1.5 * row["loss_tied"][5]


def test_a_wrong_predictor_differs() -> None:
    found = adam_claims.check_adam(0, "smoke", sign_gain)
    assert found.verdict == "fails"
    found = adam_claims.check_adam(0, "smoke", lambda r, n: 1.01 * adam_claims.adam_gain(r, n))
    assert found.verdict == "fails"


def test_study_is_json() -> None:
    data = toy.study(0, "smoke")
    json.dumps(data, allow_nan=False)
    assert data["caption_numbers"]["largest_gap_adam"] < data["caption_numbers"]["largest_gap_sign"]
    with pytest.raises(ValueError, match="scale"):
        toy.study(0, "tiny")


def test_separate_parameters_with_mean_gradients_are_one_tied() -> None:
    problem = unshare.problem_of(2.0)
    peaks = np.array([0.02, 0.05])
    losses = unshare.train(problem, peaks, 30, 30, 3, seed=4)
    # By hand: one parameter per replica and rate, AdamW on the mean gradient. The mean of the
    # deltas is 0, so the tied gradient is (a + b) x plus the mean noise.
    generator = torch.Generator().manual_seed(4)
    x = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = torch.optim.AdamW([x], weight_decay=0.0)
    for step in range(30):
        xi = 10.0 * torch.randn(3, 16, generator=generator, dtype=torch.float64)
        x.grad = x.detach() + xi.mean(-1)
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 30)
        optimizer.step()
    mean = 0.5 * 16 * x.detach().numpy() ** 2
    # eps stands beside gradients of size 1: 1e-8 relative in a step.
    np.testing.assert_allclose(losses[1], mean + 0.5 * 0.5 * 2.0, rtol=1e-6)


def test_copied_second_moments_are_too_small_at_the_untie() -> None:
    """Paired on one noise: with copied moments the steps after the untie are too large."""
    problem, peaks = unshare.problem_of(2.0), np.array([0.1])
    copied, rescaled = (
        unshare.train(problem, peaks, 150, 200, 200, seed=5, rescale=rescale)[0]
        for rescale in (False, True)
    )
    gap = copied - rescaled
    assert gap.mean() > 4 * gap.std(ddof=1) / 200**0.5
    never = [unshare.train(problem, peaks, 20, 20, 3, seed=5, rescale=r) for r in (False, True)]
    np.testing.assert_array_equal(never[0], never[1])


def test_unsharing_refuses_bad_arguments() -> None:
    problem, peaks = unshare.problem_of(2.0), np.array([0.02])
    with pytest.raises(ValueError, match="tau"):
        unshare.train(problem, peaks, 21, 20, 3, seed=5)
    two = Quadratic(depth=2, own=[1.0, 2.0])
    with pytest.raises(ValueError, match="one direction"):
        unshare.train(two, peaks, 1, 2, 3, seed=5)


def test_best_rate_is_judged_on_other_replicas() -> None:
    losses = np.array([[1.0, 1.0, 5.0, 7.0], [2.0, 2.0, 0.0, 0.0]])
    found = unshare.best_of(losses, np.array([0.1, 0.2]))
    assert found == {"peak": 0.1, "loss": 6.0, "standard_error": 1.0}


def test_prediction_of_the_unsharing_run_can_fail() -> None:
    assert adam_claims.check_unshare(0, "smoke").verdict == "holds"

    def untied_steps(problem: Quadratic, peak: float, tau: int, steps: int) -> float:
        rates = quadratic.linear_steps(peak, steps) / 10.0  # without sqrt(L) while shared
        return float(quadratic.loss_by_tau(problem, rates)[tau])

    assert adam_claims.check_unshare(0, "smoke", untied_steps).verdict == "fails"
    data = unshare.study(0, "smoke")
    json.dumps(data, allow_nan=False)
    assert data["settings"][0]["gain"]["rescale"] > 1.3, "little bias: sharing pays, tuned"
    assert data["settings"][-1]["best_tau"]["rescale"] < 1.0
