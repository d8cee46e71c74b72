"""The estimators recover a true quadratic that the training core runs, and predict its best tau."""

from __future__ import annotations

import numpy as np
import pytest

from swe.sharing.schedule import NeverShared, SweFixed
from theory.models import quadratic
from theory.models.fit_quadratic import Curvature, Estimate, Noise, general_losses
from theory.toys.placed import Measured, Probed, not_worse, place
from theory.toys.probes import force_ratios, hessians, run, sample_gradients
from theory.toys.problems import CoreQuadratic, DeepLinear, TeacherStudent

L, K, T, ETA = 5, 4, 60, 0.3
OWN, COMMON = np.array([0.4, 0.2, 0.1, 0.05]), np.array([0.3, 0.0, 0.1, 0.2])


def problem(networks: int, noise: float, *, seed: int = 0, bias: float = 1.0) -> CoreQuadratic:
    rng = np.random.default_rng(seed)
    delta = rng.normal(size=(L, K))
    delta *= bias / np.linalg.norm(delta)
    delta -= delta.mean(axis=0)
    draws = 1.0 + rng.normal(size=(networks, L, K))
    draws[:, 0] = 2.0  # one equal start for all networks
    optimum = np.broadcast_to(delta + 0.5, draws.shape).copy()
    return CoreQuadratic(
        optimum=optimum, draws=draws, own=OWN, common=COMMON, noise=noise, data=seed
    )


def exchangeable(own: np.ndarray, common: np.ndarray, depth: int) -> np.ndarray:
    eye, ones = np.eye(depth), np.full((depth, depth), 1.0 / depth)
    return np.einsum("lm,ij->limj", eye, own) + np.einsum("lm,ij->limj", ones, common)


def test_curvature_is_read_off_the_cores_gradients_exactly() -> None:
    found = Curvature.of(hessians(problem(1, 0.0), np.zeros((1, L, K)))[0])
    np.testing.assert_allclose(found.own, np.diag(OWN), atol=1e-12)
    np.testing.assert_allclose(found.mean, np.diag(OWN + COMMON), atol=1e-12)
    assert found.defect < 1e-12


def test_projection_leaves_what_no_exchangeable_hessian_has() -> None:
    """Least squares: the residual has no component along any exchangeable direction."""
    rng = np.random.default_rng(1)
    half = rng.normal(size=(L * K, L * K))
    H = (half @ half.T).reshape(L, K, L, K)
    found = Curvature.of(H)
    left = H - exchangeable(found.own, found.mean - found.own, L)
    for _ in range(5):
        other = exchangeable(rng.normal(size=(K, K)), rng.normal(size=(K, K)), L)
        assert abs(np.sum(left * other)) < 1e-9 * np.linalg.norm(H) * np.linalg.norm(other)
    assert found.defect == pytest.approx(np.linalg.norm(left) / np.linalg.norm(H), rel=1e-12)
    assert found.defect > 0.1, "a random Hessian is far from exchangeable"


def test_noise_is_recovered_within_its_standard_error() -> None:
    sigma, samples = 0.7, 400
    gradients = sample_gradients(problem(2, sigma), np.ones((2, L, K)), samples)
    for one in gradients:
        noise = Noise.of(one)
        for found, free in (
            (noise.differences, (L - 1) * (samples - 1)),
            (noise.mean, samples - 1),
        ):
            error = np.sqrt(2.0 / free)  # of a variance, relative, Gaussian noise
            z = (np.diag(found) / sigma**2 - 1.0) / error
            assert np.max(np.abs(z)) < 4.5
            assert np.max(np.abs(found - np.diag(np.diag(found)))) < 4.5 * sigma**2 / free**0.5


def test_prediction_is_the_mean_over_runs_of_the_core() -> None:
    """Closed forms from estimated parameters against 80 runs: shared to tau, and never shared."""
    toy = problem(80, 0.8)
    steps = quadratic.linear_steps(ETA, T)
    noise = Noise.of(sample_gradients(problem(1, 0.8), np.ones((1, L, K)), 200)[0])
    curvature = Curvature.of(hessians(problem(1, 0.0), np.zeros((1, L, K)))[0])
    estimate = Estimate.of(curvature, noise, toy.optimum[0], toy.draws[0], ETA)
    curve = estimate.loss_by_tau(steps)
    for tau in (6, 30):
        losses = run(toy, SweFixed(until=tau), "sgd", steps).losses
        error = losses.std(ddof=1) / losses.size**0.5
        # The noise itself is known to 2 %, from 200 samples: at most as much of the loss.
        assert abs(losses.mean() - curve[tau]) < 4.5 * error + 0.02 * curve[tau]
        assert abs(losses.mean() - 1.3 * curve[tau]) > 4.5 * error + 0.02 * curve[tau]
    never = run(toy, NeverShared(), "sgd", steps).losses
    unshared = np.mean(
        [
            Estimate.of(curvature, noise, toy.optimum[i], toy.draws[i], ETA).loss_unshared(steps)
            for i in range(len(never))
        ]
    )
    assert never.mean() == pytest.approx(unshared, rel=0.1)


def test_predicted_best_tau_is_the_measured_one() -> None:
    """One direction, much and little noise: the best tau on a grid, and the set that is left."""
    fractions = np.linspace(0.0, 1.0, 6)
    steps = quadratic.linear_steps(ETA, T)
    for noise, inside in ((0.9, True), (1e-3, False)):
        toy = problem(50, noise, bias=2.0)
        measured = Measured(toy, "sgd", steps, fractions)
        placed = place(measured, Probed(measured, 20, curved=True), range(50))
        assert placed["best_tau_inside"]
        assert (0.0 < placed["predicted_best_tau"] < 1.0) == inside
        assert abs(placed["best_tau"] - placed["predicted_best_tau"]) <= 0.2
        assert len(placed["best_tau_set"]) < len(fractions), "the measurement decides something"
        np.testing.assert_allclose(
            placed["predicted"], [gap["mean"] for gap in placed["measured"]], atol=0.08
        )


def test_without_noise_the_general_quadratic_is_the_run_itself() -> None:
    toy = problem(1, 0.0)
    steps = quadratic.linear_steps(ETA, T)
    taus = [1, 20, 45]
    measured = [float(run(toy, SweFixed(until=t), "sgd", steps).losses[0]) for t in taus]
    H = hessians(toy, toy.draws)[0]
    np.testing.assert_allclose(
        general_losses(H, toy.optimum[0], toy.draws[0, 0], steps, taus), measured, rtol=1e-9
    )


@pytest.mark.parametrize("kind", ["students", "deep linear"])
def test_hessian_of_the_toys_is_the_slope_of_the_cores_gradients(kind: str) -> None:
    """At the optimum J^T J is the Hessian: central differences of the loss that is trained."""
    rng = np.random.default_rng(2)
    toy: TeacherStudent | DeepLinear
    if kind == "students":
        optimum = 0.3 * rng.normal(size=(2, 3, 2 * 3 * 3))
        toy = TeacherStudent(optimum=optimum, draws=optimum, width=3, data=1, samples=5, full=True)
    else:
        optimum = np.eye(3).reshape(-1) + 0.1 * rng.normal(size=(2, 3, 9))
        toy = DeepLinear(optimum=optimum, draws=optimum, width=3)
    H = hessians(toy, optimum)
    shift = 1e-5 * rng.normal(size=optimum.shape)
    slope = (sample_gradients(toy, optimum + shift, 1) - sample_gradients(toy, optimum - shift, 1))[
        :, 0
    ] / 2.0
    expected = np.einsum("nlimj,nmj->nli", H, shift)
    np.testing.assert_allclose(slope, expected, atol=1e-7 * np.abs(expected).max())
    cosine, ratio = force_ratios(
        H, optimum, optimum + shift, sample_gradients(toy, optimum + shift, 1)[:, 0]
    ).T
    np.testing.assert_allclose(cosine, 1.0, atol=1e-3)
    np.testing.assert_allclose(ratio, 1.0, atol=1e-3)


def test_the_set_of_taus_is_the_best_and_what_a_test_leaves() -> None:
    seeds = np.array([0.0, 1.0, 2.0, 3.0])
    jitter = np.array([0.1, -0.1, 0.1, -0.1])
    losses = np.stack([seeds, seeds + jitter + 0.01, seeds + 0.5 + 0.1 * jitter])
    assert not_worse(losses) == (0, [0, 1])
    assert not_worse(losses[:, :1]) == (0, [0, 1, 2]), "one seed decides nothing"


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="hessian must have shape"):
        Curvature.of(np.zeros((2, 3, 2, 4)))
    with pytest.raises(ValueError, match="gradients must have shape"):
        Noise.of(np.zeros((1, 3, 4)))
