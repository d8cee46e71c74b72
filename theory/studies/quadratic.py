"""The exchangeable quadratic simulated beside its closed forms, and the data of its figure.

The simulation knows gradients and tying, nothing of moments: every module has its own weights and
its own noise, tied modules move with the mean of the gradients. All arms of one replica see the
same noise, so that arms may be compared in pairs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.models import quadratic
from theory.models.quadratic import Quadratic
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale

ETA = 0.3
"""Peak step size of all schedules here; curvatures are chosen relative to it."""

HORIZON = 3.0


@dataclass(frozen=True)
class Simulated:
    """Losses at T, (arms, replicas); weights' mean over modules, (arms, replicas, n)."""

    losses: Array
    means: Array


def draw_bias(rng: np.random.Generator, problem: Quadratic) -> Array:
    """delta (L, n): random, columns summing to 0 with square sums `bias`."""
    delta = rng.normal(size=(problem.depth, problem.own.size))
    delta -= delta.mean(axis=0)
    norm = np.sqrt(np.sum(delta**2, axis=0))
    return np.asarray(delta * np.sqrt(problem.bias) / np.where(norm > 0.0, norm, 1.0))


def simulate(
    problem: Quadratic,
    steps: Array,
    taus: list[int],
    replicas: int,
    rng: np.random.Generator,
) -> Simulated:
    """Run SGD on every module. Arms: SWE(tau) for each of `taus`, and last no sharing.

    `steps` (T,). Starts: a common Gaussian of second moment `start`, plus for the last arm
    independent Gaussians of variance `dispersion` re-centred so that all arms start with one mean;
    these have (L - 1) `dispersion` as expected square sum. The noise is Gaussian.
    """
    L, n = problem.depth, problem.own.size
    delta = draw_bias(rng, problem)
    common = rng.normal(size=(replicas, 1, n)) * np.sqrt(problem.start)
    spread = rng.normal(size=(replicas, L, n)) * np.sqrt(problem.dispersion)
    spread -= spread.mean(axis=1, keepdims=True)
    x = np.broadcast_to(common, (len(taus) + 1, replicas, L, n)).copy()
    x[-1] += spread
    for t, eta in enumerate(steps):
        noise = rng.normal(size=(replicas, L, n)) * np.sqrt(problem.noise)
        gradient = problem.own * (x - delta) + noise
        gradient += problem.common * x.mean(axis=2, keepdims=True)
        for arm, tau in enumerate(taus):
            if t < tau:
                gradient[arm] = gradient[arm].mean(axis=1, keepdims=True)
        x -= eta * gradient
    mean = x.mean(axis=2)
    losses = 0.5 * np.sum(problem.own * (x - delta) ** 2, axis=(2, 3))
    losses += 0.5 * L * np.sum(problem.common * mean**2, axis=2)
    return Simulated(losses, mean)


def single(ratio: float, T: int, depth: int = 8, dispersion: float = 0.0) -> Quadratic:
    """One direction, bias 1, whose noise floor at step size `ETA` is `ratio` biases.

    Curvature: `HORIZON` time constants in T steps of linear decay, so that the end still remembers
    when the modules were freed; with many more, every tau but the last ones gives one loss.
    """
    own = HORIZON / (ETA * T / 2.0)
    noise = ratio * own * (2.0 - ETA * own) / (ETA * (depth - 1))
    return Quadratic(
        depth=depth,
        own=own,
        common=own / 2.0,
        bias=1.0,
        noise=noise,
        dispersion=dispersion,
        start=1.0,
    )


def spectrum(T: int, depth: int = 8, dispersion: float = 0.5) -> Quadratic:
    """Five directions with 30 to 0.3 time constants in T steps, bias 1 and one noise in each.

    The noise's floor at the peak step is two biases in the middle direction, so a fifth of that in
    the fast half and many times it in the slow half.
    """
    own = np.geomspace(30.0, 0.3, 5) / (ETA * T / 2.0)
    noise = 2.0 * own[2] * (2.0 - ETA * own[2]) / (ETA * (depth - 1))
    return Quadratic(
        depth=depth,
        own=own,
        common=0.5 * own,
        bias=1.0,
        noise=noise,
        dispersion=dispersion,
        start=1.0,
    )


def tau_curve(
    problem: Quadratic, steps: Array, points: int, replicas: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Loss at T against tau: exact at every tau (thinned to 200), simulated at `points` of them.

    "relative" is the loss over that of the equal start (tau = 0).
    """
    T = steps.size
    exact = quadratic.loss_by_tau(problem, steps)
    taus = np.unique(np.round(np.linspace(0, T, points)).astype(int))
    best = quadratic.best_tau(problem, steps)
    arms = sorted({*taus.tolist(), best})
    run = simulate(problem, steps, arms, replicas, rng)
    mean = run.losses.mean(axis=1)
    error = run.losses.std(axis=1, ddof=1) / replicas**0.5
    predicted = np.append(exact[arms], quadratic.loss_unshared(problem, steps))
    picked = np.unique(np.round(np.linspace(0, T, 200)).astype(int))
    return {
        "tau": (picked / T).tolist(),
        "relative": (exact[picked] / exact[0]).tolist(),
        "simulated_tau": (np.array(arms) / T).tolist(),
        "simulated": (mean[:-1] / exact[0]).tolist(),
        "standard_error": (error[:-1] / exact[0]).tolist(),
        "unshared": float(predicted[-1] / exact[0]),
        "simulated_unshared": float(mean[-1] / exact[0]),
        "best_tau": best / T,
        "best_relative": float(exact[best] / exact[0]),
        "z": ((mean - predicted) / error).tolist(),
        "simulated_best_tau": arms[int(np.argmin(mean[:-1]))] / T,
    }


def mean_gap(seed: int) -> float:
    """Largest difference between the arms' means of modules at T, over their size: rounding.

    Ten arms, tau from 0 to T and no sharing, one noise.
    """
    rng = np.random.default_rng([seed, 21])
    steps = quadratic.linear_steps(ETA, 200)
    problem = spectrum(200)
    taus = [0, 1, 5, 20, 50, 100, 150, 199, 200]
    means = simulate(problem, steps, taus, 20, rng).means
    return float(np.max(np.abs(means - means[-1])) / np.max(np.abs(means)))


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """Loss against tau under linear decay, under constant steps, and for a spectrum; best tau.

    "small" takes under 25 s on one core.
    """
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 20])
    T = [60, 300, 1000][size]
    replicas = [300, 2000, 10_000][size]
    points = [5, 11, 21][size]
    ratios = [0.5, 2.0, 8.0]
    schedules = {
        "linear": quadratic.linear_steps(ETA, T),
        "constant": quadratic.constant_steps(ETA, T),
    }
    curves = []
    for name, steps in schedules.items():
        for ratio in ratios:
            problem = single(ratio, T)
            curve = tau_curve(problem, steps, points, replicas, rng)
            critical = float(quadratic.critical_step(problem)[0]) / ETA
            curves.append(
                {"schedule": name, "ratio": ratio, "critical_over_peak": critical, **curve}
            )
    mixed = tau_curve(spectrum(T), schedules["linear"], points, replicas, rng)
    own = np.maximum(0.0, 1.0 - quadratic.critical_step(spectrum(T)) / ETA)
    grid = np.geomspace(0.5, 100.0, 40)
    problems = [single(ratio, 4 * T) for ratio in grid]
    rule = {
        "ratio": grid.tolist(),
        "tau": [
            quadratic.best_tau(problem, quadratic.linear_steps(ETA, 4 * T)) / (4 * T)
            for problem in problems
        ],
        "formula": [
            max(0.0, 1.0 - float(quadratic.critical_step(problem)[0]) / ETA) for problem in problems
        ],
    }
    scores = np.concatenate([np.array(c["z"]) for c in [*curves, mixed]])
    return {
        "figure": "quadratic",
        "seed": seed,
        "scale": scale,
        "curves": curves,
        "spectrum": mixed | {"own_best_tau": own.tolist()},
        "rule": rule,
        "caption_numbers": {
            "steps": T,
            "replicas": replicas,
            "depth": 8,
            "eta": ETA,
            "mean_gap": mean_gap(seed),
            "rule_gap": float(np.max(np.abs(np.subtract(rule["tau"], rule["formula"])))),
            "rule_steps": 4 * T,
            "largest_z": float(np.max(np.abs(scores))),
            "points": int(scores.size),
            "spectrum_best_tau": mixed["best_tau"],
            "spectrum_gain": 1.0 - mixed["best_relative"],
            "spectrum_gain_over_unshared": 1.0 - mixed["best_relative"] / mixed["unshared"],
        },
    }
