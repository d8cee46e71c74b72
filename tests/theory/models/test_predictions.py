"""The carried table: energies from logged rows are the gradients' own, verdicts follow numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swe.sharing.schedule import AlwaysShared, EqualStart
from swe.sharing.statistics import GradientStatistics
from theory.models import predictions as carried
from theory.models import quadratic
from theory.models.predictions import Split
from theory.models.sign_descent import descent_ratio
from theory.toys.carried import log_run, toy_table
from theory.toys.problems import CoreQuadratic

L, K = 6, 40


def row(gradients: np.ndarray, step: int = 0) -> dict[str, Any]:
    """What the core logs for these layers' gradients, (L, k)."""
    gram = tuple(tuple(r) for r in (gradients @ gradients.T).tolist())
    return {"step": step, **GradientStatistics(gram).to_json()}


def test_energies_are_those_of_the_gradients() -> None:
    gradients = np.random.default_rng(0).normal(size=(L, K))
    squares, total = carried.energies(row(gradients))
    np.testing.assert_allclose(squares, np.sum(gradients**2, axis=1), rtol=1e-12)
    assert total == pytest.approx(np.sum(gradients.sum(axis=0) ** 2), rel=1e-10)
    with pytest.raises(ValueError, match="step 7: has no finite norms"):
        carried.energies(row(np.zeros((L, K)), step=7))


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_split_recovers_signal_noise_and_their_correlation(correlation: float) -> None:
    """Mean over 400 splits within 4.5 standard errors of the truth."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=(L, K)) + 1.0
    sigma = 2.0
    found: list[list[float]] = []
    for _ in range(400):
        noise = sigma * (
            np.sqrt(1 - correlation) * rng.normal(size=(2, L, K))
            + np.sqrt(correlation) * rng.normal(size=(2, 1, K))
        )
        one, two = signal + noise[0], signal + noise[1]
        split = Split.of(row(one), row(two), row((one + two) / 2))
        found.append([split.noise.mean(), split.signal.mean(), split.mean_noise, split.mean_signal])
    mean_noise = sigma**2 * K * (1 + (L - 1) * correlation) / L
    truth = [sigma**2 * K, np.sum(signal**2) / L, mean_noise, np.sum(signal.mean(0) ** 2)]
    values = np.array(found)
    error = values.std(axis=0, ddof=1) / 20.0
    assert np.all(np.abs(values.mean(axis=0) - truth) < 4.5 * error)
    assert np.all(error < 0.05 * np.array(truth))
    average = Split(0, np.full(L, truth[1]), np.full(L, truth[0]), truth[3], truth[2])
    assert average.noise_correlation == pytest.approx(correlation, abs=1e-12)
    np.testing.assert_allclose(average.signal_to_noise**2, truth[1] / truth[0])


def test_descent_ratio_agrees_with_the_one_by_coordinates() -> None:
    """One signal-to-noise for all: gain between 1 and sqrt(L); plain descent: the alignment."""
    for snr in (1e-3, 0.3, 30.0):
        signal, noise = np.full((L, K), snr), np.ones((L, K))
        split = Split(0, np.full(L, snr**2 * K), np.full(L, float(K)), snr**2 * K, K / L)
        exact, _ = descent_ratio(signal, signal, noise, np.full(K, L**-0.5), "adam")
        assert split.descent_ratio("adam") == pytest.approx(exact, rel=1e-12)
        assert 1.0 <= exact <= np.sqrt(L) * (1 + 1e-12)
        assert split.descent_ratio(None) == pytest.approx(1.0)
    apart = Split(0, np.ones(L), np.zeros(L), 0.25, 0.0)
    assert apart.descent_ratio(None) == pytest.approx(0.25), "A = L |gbar|^2 / sum |g|^2"
    assert apart.descent_ratio("adam") == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no gradient signal"):
        Split(3, np.zeros(L), np.ones(L), 0.0, 1.0).descent_ratio("adam")


def test_best_tau_is_the_first_probe_where_tying_stops_paying() -> None:
    pays = [Split(s, np.full(L, 0.1), np.ones(L), 0.1, 1.0 / L) for s in (0, 10)]
    costs = [Split(s, np.ones(L), np.zeros(L), 0.25, 0.0) for s in (20, 30)]
    assert carried.best_tau([*costs, *pays], 40, "adam") == 20
    assert carried.best_tau(pays, 40, "adam") == 40
    assert carried.best_tau([*costs, *pays], 40, None) == 0, "plain descent never gains"


def problem(noise: float) -> CoreQuadratic:
    rng = np.random.default_rng(3)
    delta = 0.02 * rng.normal(size=(3, L, K))
    delta -= delta.mean(axis=1, keepdims=True)
    draws = np.tile(1.0 + rng.normal(size=(3, 1, K)), (1, L, 1))
    return CoreQuadratic(
        optimum=delta, draws=draws, own=np.full(K, 0.2), common=np.full(K, 0.1), noise=noise, data=5
    )


def test_a_split_in_which_no_signal_is_heard_tells_nothing() -> None:
    """Estimates may come out 0 at every layer; the first probe's descent is then not had."""
    silent = [Split(s, np.zeros(L), np.ones(L), 0.0, 1.0) for s in (0, 5)]
    heard = Split(10, np.ones(L), np.zeros(L), 0.25, 0.0)
    assert [split.heard for split in (*silent, heard)] == [False, False, True]
    assert carried.best_tau([*silent, heard], 100, "adam") == 10
    for splits, tau in (([*silent, heard], 0.1), (silent, None)):
        found = {
            entry["quantity"]: entry
            for entry in carried.table(
                steps=100, unshared=(), shared=(), splits=splits, rule="adam",
                best_taus=(10,), first_descent=1.0,
            )
        }  # fmt: skip
        descent = found["descent in the first updates, tied over untied"]
        assert (descent["predicted"], descent["verdict"]) == (None, "not measured")
        assert found["best tau / T"]["predicted"] == tau


def test_the_cores_own_rows_end_to_end() -> None:
    """A true quadratic, SGD: every line of the table that the theory fixes comes out."""
    steps = quadratic.linear_steps(0.3, 40)
    table = toy_table(problem(0.0), "sgd", steps, [0], 8, 1)
    verdict = {entry["quantity"]: entry["verdict"] for entry in table}
    assert verdict["dispersion of the layers while tied"] == "holds"
    assert verdict["common energy, tied over never tied, last probe"] == "holds"
    assert verdict["descent in the first updates, tied over untied"] == "holds"
    assert verdict["best tau / T"] == "holds"
    worse = {e["quantity"]: e["verdict"] for e in toy_table(problem(0.0), "sgd", steps, [40], 8, 1)}
    assert worse["best tau / T"] == "differs"


def test_signal_to_noise_of_the_cores_probes() -> None:
    """Noise of 0.5 in each coordinate of three networks: its energy, within 4.5 deviations."""
    rates = quadratic.linear_steps(0.1, 20)
    logged = log_run(problem(0.5), EqualStart(), "sgd", rates, 1, 1)
    energy = np.array([split.noise.mean() for split in logged.splits])
    truth = 3 * K * 0.5**2
    assert abs(energy.mean() - truth) < 4.5 * energy.std(ddof=1) / energy.size**0.5
    tied = log_run(problem(0.5), AlwaysShared(), "sgd", rates, 5, 1)
    assert [r["step"] for r in tied.rows] == [0, 5, 10, 15, 20]
    assert all(r["weights"]["deviation"] == 0.0 for r in tied.rows)


def test_what_was_not_logged_is_not_judged() -> None:
    table = carried.table(steps=10, unshared=[], shared=[], splits=[], rule="adam")
    assert {entry["verdict"] for entry in table} == {"not measured"}
