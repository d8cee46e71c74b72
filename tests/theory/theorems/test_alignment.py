"""Alignment: the two factors as a theorem, bounds from adjacent cosines, SWE-A's two failures."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.linear import deep_linear, descent, integrate
from theory.studies import alignment as alignment_study
from theory.theorems import alignment as al
from theory.theorems import controls

ROUNDING = 1e-12
seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 12), st.integers(1, 4), st.floats(0.0, 2.0), seeds)
@settings(deadline=None, max_examples=100)
def test_sharing_never_descends_faster_at_one_point(
    depth: int, d: int, kick: float, seed: int
) -> None:
    """The theorem at any weights: R' by a central difference of R along either movement."""
    rng = np.random.default_rng(seed)
    weights = controls.perturbed_start(rng, depth, d, kick)
    target = rng.normal(size=(d, d))
    gradients = deep_linear.layer_gradients(weights, target)
    own, mean = al.descent_rates(gradients)
    assert 0.0 <= mean <= own * (1 + ROUNDING)
    np.testing.assert_allclose(mean, al.alignment(gradients) * own, rtol=1e-9, atol=1e-300)
    size = max(1.0, float(np.max(np.abs(gradients))))
    h = 1e-6 / size
    for rate, move in ((own, gradients), (mean, np.broadcast_to(gradients.mean(0), weights.shape))):
        slope = (
            deep_linear.loss(weights + h * move, target)
            - deep_linear.loss(weights - h * move, target)
        ) / (2 * h)
        # Rounding of R over h, and h^2 times third derivatives.
        room = 1e-9 * size * (1.0 + float(deep_linear.loss(weights, target))) + 1e-5 * float(own)
        assert abs(float(slope) - float(rate)) < room


def test_orthogonal_gradients_lose_the_factor_l() -> None:
    for depth in (1, 3, 24):
        gradients = np.eye(depth)[:, :, None] * np.linspace(1.0, 2.0, depth)[:, None, None]
        assert al.alignment(gradients) == pytest.approx(1.0 / depth, rel=1e-14)
        assert al.alignment(np.ones((depth, 2, 2))) == pytest.approx(1.0, rel=1e-14)


def test_independent_gradients_lose_it_on_average() -> None:
    draws = np.random.default_rng(0).normal(size=(4000, 8, 3, 3))
    aligned = al.alignment(draws)
    error = np.std(aligned) / len(draws) ** 0.5
    assert abs(np.mean(aligned) - 1.0 / 8) < 4.0 * error  # four standard errors
    assert abs(np.mean(aligned) - 1.01 / 8) > 0.5 * error


def test_the_two_starts() -> None:
    """A = 1 and S = L ||I - Phi||^2 at the identity; A = 1 / L and S = ||Phi||^2 at ZAS."""
    target = np.random.default_rng(1).normal(size=(3, 3))
    for depth in (2, 9):
        one = deep_linear.layer_gradients(descent.identity_start(depth, 3), target)
        zas = deep_linear.layer_gradients(descent.zas_start(depth, 3), target)
        assert al.alignment(one) == pytest.approx(1.0)
        assert al.alignment(zas) == pytest.approx(1.0 / depth)
        assert al.descent_rates(one)[0] == pytest.approx(depth * np.sum((np.eye(3) - target) ** 2))
        assert al.descent_rates(zas)[0] == pytest.approx(np.sum(target**2))


@given(st.integers(1, 9), st.integers(1, 4), seeds)
@settings(deadline=None, max_examples=100)
def test_bounds_from_adjacent_cosines_hold(depth: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(depth, d, 2)), axis=0) + rng.normal(size=(1, d, 2))
    norms = np.linalg.norm(walk, axis=(-2, -1))
    low, high = al.alignment_bounds(al.adjacent_cosines(walk), norms)
    assert low - 1e-7 <= al.alignment(walk) <= high + 1e-7  # arccos next to 1 rounds to 1e-8


def test_bounds_are_attained() -> None:
    """A turn in one plane below pi attains the lower bound, two vectors to and fro the upper."""
    angle = np.arange(5) * 0.6
    turn = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, :, None]
    low, _ = al.alignment_bounds(al.adjacent_cosines(turn), np.ones(5))
    assert al.alignment(turn) == pytest.approx(low, rel=1e-12)
    fro = turn[[0, 1, 0, 1, 0]]
    cosines = al.adjacent_cosines(fro)
    _, high = al.alignment_bounds(cosines[:3], np.ones(4))
    assert high == pytest.approx((1 + np.cos(0.6)) / 2, rel=1e-12)
    assert al.alignment(fro[:4]) == pytest.approx(high, rel=1e-12)
    assert al.alignment(fro) <= al.alignment_bounds(cosines, np.ones(5))[1]
    low2, high2 = al.alignment_bounds(al.adjacent_cosines(turn[:2]), np.array([1.0, 3.0]))
    assert low2 == pytest.approx(high2, rel=1e-12)  # L = 2: the cosine says everything


@pytest.mark.parametrize("depth", [7, 12, 24, 96])
def test_the_rule_is_wrong_either_way(depth: int) -> None:
    kept, untied = al.kept_in_vain(depth), al.untied_in_vain(depth)
    assert not al.rule_unties(al.adjacent_cosines(kept))
    assert np.min(al.adjacent_cosines(kept)) == pytest.approx(np.cos(2 * np.pi / depth))
    assert al.alignment(kept) < 1e-25
    assert al.rule_unties(al.adjacent_cosines(untied))
    m = -(-depth // 4) / depth
    assert al.alignment(untied) == pytest.approx(1 - 2 * m * (1 - m) * 0.51, rel=1e-12)
    assert al.alignment(untied) > 0.75


@given(st.integers(2, 12), st.integers(1, 3), st.floats(0.0, 2.0), seeds)
@settings(deadline=None, max_examples=200)
def test_what_untying_says(depth: int, d: int, common: float, seed: int) -> None:
    gradients = np.random.default_rng(seed).normal(size=(depth, d, 1)) + common
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
    if al.rule_unties(al.adjacent_cosines(gradients)):
        assert al.alignment(gradients) <= al.untie_bound(depth) + 1e-12


def test_untie_bound_written_out() -> None:
    # L = 2: one pair below rho = 0.5, A < (1 + 0.5) / 2, attained in the limit.
    assert al.untie_bound(2) == pytest.approx(0.75)
    assert al.untie_bound(24) == pytest.approx(((12 + 6 * 3**0.5) / 24) ** 2)
    assert al.alignment(al.untied_in_vain(24)) < al.untie_bound(24)
    assert al.untie_bound(24) < 1.01 * ((12 + 6 * 3**0.5) / 24) ** 2


def test_rule_counts_more_than_half() -> None:
    assert al.rule_unties([0.4, 0.4, 0.6])
    assert not al.rule_unties([0.4, 0.6])
    assert not al.rule_unties([0.5, 0.5])  # not below
    np.testing.assert_array_equal(al.rule_unties([[0.4, 0.4], [0.6, 0.4]]), [True, False])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("depth", [2, 6, 16])
def test_early_misalignment(depth: int, tied: bool) -> None:
    target = controls.draw_target(np.random.default_rng(depth), "triangular", 3)
    times = np.array([2e-3, 4e-3]) / depth
    path = integrate.weight_flow(times, target, descent.identity_start(depth, 3), tied=tied)
    lost = (1.0 - al.alignment(deep_linear.layer_gradients(path, target))) / times**2
    found = 2.0 * lost[0] - lost[1]
    assert found == pytest.approx(
        al.early_misalignment(target, depth), rel=3e-3
    )  # O(t^2), 1e-16/t^2
    assert found != pytest.approx(1.01 * al.early_misalignment(target, depth), rel=3e-3)


def test_early_misalignment_vanishes_for_normal_targets() -> None:
    target = controls.draw_target(np.random.default_rng(0), "rotation", 4)
    assert al.early_misalignment(target, 9) < 1e-25


def test_study() -> None:
    data = alignment_study.study(0, "smoke")
    json.dumps(data, allow_nan=False)
    assert data["caption_numbers"]["early_measured_over_predicted"] == pytest.approx(1, abs=0.02)
    for row in data["flows"]:
        normal = row["family"] in ("symmetric", "rotation")
        if row["flow"] in ("shared", "identity"):
            assert (row["least_alignment"] > 1 - 1e-9) == normal
    assert data["drift"][-1]["least_cosine"] > data["drift"][0]["least_cosine"]
    assert data["drift"][-1]["least_alignment"] < 0.9
    assert [case["unties"] for case in data["cases"]] == [False, True]


def test_bad_arguments_are_named() -> None:
    for wrong in (np.ones(3), np.full((2, 1, 1), np.nan)):
        with pytest.raises(ValueError, match="gradients"):
            al.alignment(wrong)
    with pytest.raises(ValueError, match="rho"):
        al.rule_unties([0.1], 2.0)
    for cosines, norms, name in (([0.1], [1.0], "cosines"), ([2.0], [1.0, 1.0], "cosines"),
                                 ([0.0], [0.0, 0.0], "norms")):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            al.alignment_bounds(cosines, norms)
    with pytest.raises(ValueError, match="depth"):
        al.kept_in_vain(6)
    with pytest.raises(ValueError, match="depth"):
        al.untie_bound(1)
    with pytest.raises(ValueError, match="rho"):
        al.untie_bound(4, -2.0)
    with pytest.raises(ValueError, match="depth"):
        al.untied_in_vain(4)
    with pytest.raises(ValueError, match="cosine"):
        al.untied_in_vain(8, 0.5)
    with pytest.raises(ValueError, match="target"):
        al.early_misalignment(np.eye(2), 3)
