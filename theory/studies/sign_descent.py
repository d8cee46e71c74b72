"""Noisy sign descent simulated beside its closed forms, and the data of its figure.

The simulation draws every module's noise and takes signs; it knows no error function. Modules see
one gradient, that of a quadratic in their mean (own curvature 0), so the common mode is all there
is; `theory.models.quadratic` has the differences.
"""

from typing import Any

import numpy as np

from theory.models import sign_descent
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale

REACHED = 0.1


def sampled_speeds(
    rng: np.random.Generator, snr: float, depth: int, samples: int
) -> tuple[float, float, float, float]:
    """Mean step over -eta at gradient `snr`, noise 1: tied and its error, unshared and its error.

    One draw of (samples, depth) noises serves both; the pair is correlated, which the errors of
    each do not need to know.
    """
    sums = np.zeros(4)
    done = 0
    while done < samples:
        count = min(samples - done, max(1, 2**20 // depth))
        seen = snr + rng.normal(size=(count, depth))
        tied, own = np.sign(seen.mean(axis=1)), np.sign(seen).mean(axis=1)
        sums += [tied.sum(), (tied**2).sum(), own.sum(), (own**2).sum()]
        done += count
    tied_mean, tied_square, own_mean, own_square = sums / samples
    return (
        float(tied_mean),
        float(np.sqrt((tied_square - tied_mean**2) / (samples - 1))),
        float(own_mean),
        float(np.sqrt((own_square - own_mean**2) / (samples - 1))),
    )


def sampled_gain(
    rng: np.random.Generator, snr: list[float], depth: int, samples: int
) -> dict[str, Any]:
    """Gain of speed at each signal-to-noise, with standard errors and closed form.

    Numerator and denominator are drawn separately, so that their relative errors add in squares.
    """
    gain, error = [], []
    for r in snr:
        tied, tied_error, _, _ = sampled_speeds(rng, r, depth, samples)
        _, _, own, own_error = sampled_speeds(rng, r, depth, samples)
        gain.append(tied / own)
        error.append(tied / own * float(np.hypot(tied_error / tied, own_error / own)))
    return {
        "depth": depth,
        "snr": snr,
        "gain": gain,
        "standard_error": error,
        "predicted": sign_descent.gain_from_snr(snr, depth, "sign").tolist(),
    }


def mean_paths(
    rng: np.random.Generator,
    *,
    start: float,
    eta: float,
    slope: float,
    depth: int,
    tied: bool,
    replicas: int,
    steps: int,
) -> Array:
    """Mean of the modules, (steps + 1, replicas): x <- x - eta sign(x + noise / slope), meaned.

    Gradients in units of the curvature: g = xbar, noise of standard deviation 1 / `slope`.
    """
    x = np.full(replicas, start)
    path = np.empty((steps + 1, replicas))
    path[0] = x
    for step in range(steps):
        seen = x[:, None] + rng.normal(size=(replicas, depth)) / slope
        sign = np.sign(seen.mean(axis=1)) if tied else np.sign(seen).mean(axis=1)
        x = x - eta * sign
        path[step + 1] = x
    return path


def crossing(path: Array, level: float) -> float:
    """Step at which a decreasing mean path (steps,) first falls to `level`, interpolated.

    ValueError if it does not.
    """
    after = int(np.argmax(path <= level))
    if path[after] > level:
        raise ValueError("path does not fall to level")
    before = path[after - 1]
    return after - 1 + float((before - level) / (before - path[after]))


def reach(
    rng: np.random.Generator, slopes: list[float], depth: int, eta: float, replicas: int
) -> list[dict[str, Any]]:
    """Steps in which the mean falls from 1 to `REACHED`: simulated (8 batches) and by the ODE."""
    rows = []
    for slope in slopes:
        row: dict[str, Any] = {"snr": slope, "depth": depth, "eta": eta}
        for name, tied in (("tied", True), ("unshared", False)):
            layers = depth if tied else 1
            predicted = float(sign_descent.steps_to_reach(1.0, REACHED, eta, slope, layers, "sign"))
            path = mean_paths(
                rng,
                start=1.0,
                eta=eta,
                slope=slope,
                depth=depth,
                tied=tied,
                replicas=replicas,
                steps=int(1.3 * predicted) + 20,
            )
            batches = path.reshape(path.shape[0], 8, -1).mean(axis=2)
            times = np.array([crossing(batches[:, j], REACHED) for j in range(8)])
            row |= {
                "batches": times.size,
                f"{name}_steps": float(times.mean()),
                f"{name}_standard_error": float(times.std(ddof=1) / 8**0.5),
                f"{name}_predicted": predicted,
            }
        row["gain"] = row["unshared_steps"] / row["tied_steps"]
        row["gain_standard_error"] = row["gain"] * float(
            np.hypot(
                row["tied_standard_error"] / row["tied_steps"],
                row["unshared_standard_error"] / row["unshared_steps"],
            )
        )
        row["predicted"] = row["unshared_predicted"] / row["tied_predicted"]
        rows.append(row)
    return rows


def floors(rng: np.random.Generator, depth: int, eta: float, replicas: int) -> dict[str, Any]:
    """Stationary E xbar^2 at noise / curvature 1: tied, unshared, unshared at sqrt(L) eta.

    Started at 0, ten of the slowest relaxation times run, second half averaged; errors over
    replicas, which are independent.
    """
    steps = int(10.0 / (eta * np.sqrt(2.0 / np.pi)))
    arms = (
        ("tied", True, eta),
        ("unshared", False, eta),
        ("unshared, sqrt(L) eta", False, eta * depth**0.5),
    )
    out: dict[str, Any] = {"depth": depth, "eta": eta, "replicas": replicas, "arms": {}}
    for name, tied, size in arms:
        path = mean_paths(
            rng,
            start=0.0,
            eta=size,
            slope=1.0,
            depth=depth,
            tied=tied,
            replicas=replicas,
            steps=steps,
        )
        squares = np.mean(path[steps // 2 :] ** 2, axis=0)
        out["arms"][name] = {
            "floor": float(squares.mean()),
            "standard_error": float(squares.std(ddof=1) / replicas**0.5),
            "predicted": float(sign_descent.noise_floor(size, 1.0, depth, tied)),
        }
    return out


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """Gain against signal-to-noise, steps to reach on a quadratic, floors. JSON-able.

    "small" takes about 10 s on one core.
    """
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 30])
    samples = [20_000, 100_000, 1_000_000][size]
    snr = np.geomspace(0.03, 10.0, [5, 9, 17][size]).tolist()
    depths = [[16], [4, 16, 64], [4, 16, 64]][size]
    gains = [sampled_gain(rng, snr, depth, samples) for depth in depths]
    grid = np.geomspace(0.01, 30.0, 120)
    lines = {
        str(depth): sign_descent.gain_from_snr(grid, depth, "sign").tolist() for depth in depths
    }
    slopes = [[0.3, 3.0], [0.1, 0.3, 1.0, 3.0, 10.0], [0.1, 0.3, 1.0, 3.0, 10.0]][size]
    eta = [0.01, 0.004, 0.002][size]
    start_grid = np.geomspace(slopes[0], slopes[-1], 60)
    reach_lines = {
        name: sign_descent.steps_to_reach(1.0, REACHED, eta, start_grid, layers, "sign").tolist()
        for name, layers in (("tied", 16), ("unshared", 1))
    }
    reached = reach(rng, slopes, 16, eta, [160, 320, 800][size])
    still = floors(rng, 16, [0.02, 0.01, 0.004][size], [100, 400, 1000][size])
    z = [
        (g - p) / e
        for curve in gains
        for g, p, e in zip(curve["gain"], curve["predicted"], curve["standard_error"], strict=True)
        if e > 0.0
    ]
    return {
        "figure": "sign_descent",
        "seed": seed,
        "scale": scale,
        "snr": grid.tolist(),
        "lines": lines,
        "gains": gains,
        "reach": reached,
        "start_snr": start_grid.tolist(),
        "reach_lines": reach_lines,
        "floors": still,
        "caption_numbers": {
            "samples": samples,
            "largest_z": float(np.max(np.abs(z))),
            "points": len(z),
            "reach_depth": 16,
            "reached": REACHED,
            "reach_gap": max(abs(row["gain"] / row["predicted"] - 1.0) for row in reached),
            "floor_ratio": still["arms"]["tied"]["floor"] / still["arms"]["unshared"]["floor"],
            "floor_ratio_larger_step": still["arms"]["tied"]["floor"]
            / still["arms"]["unshared, sqrt(L) eta"]["floor"],
        },
    }
