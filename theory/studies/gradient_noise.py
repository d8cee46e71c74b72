"""Gradient noise, simulated: noise floors against the closed form, and tuned step sizes.

Full matrices, no linearisation, the same noise for all arms and step sizes. Floors: from a minimum
of each method, averaged over the second half of a long run. Tuned: from each start, the mean loss
over the last tenth of T constant steps; every arm's step size is chosen on one half of the replicas
and its loss taken from the other half, so that the choice flatters no one. What is predicted in
`theory.theorems.gradient_noise` is what is simulated here.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import deep_linear, descent
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.theorems import controls
from theory.theorems.gradient_noise import apart, first_order_floor, noise_floor

DEPTH, WIDTH = 8, 2
KICK = 0.1
"""Size of the perturbed starts, W_l = I + KICK G_l."""

ARMS = {
    "shared": ("identity", True),
    "identity": ("identity", False),
    "zas": ("zas", False),
    "perturbed, shared": ("mean", True),
    "perturbed, equal": ("mean", False),
    "perturbed, own": ("own", False),
}
"""Arm: (its start, whether it is tied). "mean" is the mean of the layers of "own"."""

LOST = 1e3
"""A run with a weight beyond this has diverged; its loss counts as infinite."""


def run(
    targets: ArrayLike,
    starts: ArrayLike,
    etas: ArrayLike,
    noise: float,
    tied: bool,
    steps: int,
    average: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Noisy descent of E x B networks; (mean loss over the last `average` steps, final weights).

    `targets` (d, d), `starts` (B, L, d, d), `etas` (E,), `noise` the sigma of every entry of every
    layer's gradient, drawn per replica and the same at all step sizes. Returns (E, B), infinite
    where a run diverged, and (E, B, L, d, d).
    """
    start = np.asarray(starts, dtype=np.float64)
    rates = np.asarray(etas, dtype=np.float64)[:, None, None, None, None]
    weights = np.broadcast_to(start, (rates.shape[0], *start.shape)).copy()
    total = np.zeros(weights.shape[:2])
    lost = np.zeros(total.shape, dtype=bool)
    for step in range(steps):
        gradients = deep_linear.layer_gradients(weights, targets)
        if noise > 0.0:
            gradients = gradients + noise * rng.normal(size=start.shape)
        if tied:
            gradients = gradients.mean(axis=2, keepdims=True)
        weights = weights - rates * gradients
        gone = np.max(np.abs(weights), axis=(2, 3, 4)) > LOST
        if np.any(gone):
            lost |= gone
            weights = np.where(gone[:, :, None, None, None], start, weights)
        if step >= steps - average:
            total += deep_linear.loss(weights, targets) / average
    return np.where(lost, np.inf, total), weights


def minimum(target: Array, start: str, depth: int) -> Array:
    """Where noiseless descent ends from "identity" (a tied root of a PD target) or "zas"."""
    if start == "identity":
        values, vectors = np.linalg.eigh(target)
        return np.tile((vectors * values ** (1.0 / depth)) @ vectors.T, (depth, 1, 1))
    weights = descent.zas_start(depth, len(target))
    eta = 0.2 / (depth * max(1.0, float(np.linalg.norm(target, 2))) ** 2)
    while float(deep_linear.loss(weights, target)) > 1e-24:
        weights = descent.unshared_step(weights, target, eta)
    return weights


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean and standard error over replicas (B,)."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / values.size**0.5)


def floors(
    seed: int, target: Array, etas: list[float], sigma: float, replicas: int, steps: int
) -> list[dict[str, Any]]:
    """Measured and predicted floor and spread of the layers, per arm and step size."""
    rows = []
    for arm in ("shared", "identity", "zas"):
        start, tied = ARMS[arm]
        begin = minimum(target, start, DEPTH)
        starts = np.broadcast_to(begin, (replicas, *begin.shape))
        rng = np.random.default_rng([seed, 60])
        found, weights = run(target, starts, etas, sigma, tied, steps, steps // 2, rng)
        moved = weights - begin
        spread = np.sum((moved - moved.mean(axis=2, keepdims=True)) ** 2, axis=(2, 3, 4))
        for k, eta in enumerate(etas):
            floor, error = mean_and_error(found[k])
            wide, wide_error = mean_and_error(spread[k])
            rows.append(
                {
                    "arm": arm,
                    "eta": eta,
                    "floor": floor,
                    "standard_error": error,
                    "predicted": noise_floor(begin, eta, sigma, tied=tied),
                    "first_order": first_order_floor(WIDTH, eta, sigma),
                    "apart": wide,
                    "apart_error": wide_error,
                    "apart_predicted": 0.0 if tied else float(apart(steps, begin, eta, sigma)),
                }
            )
    return rows


def tuned(
    seed: int, target: Array, etas: list[float], sigma: float, replicas: int, steps: int
) -> dict[str, dict[str, Any]]:
    """Every arm's mean loss at every eta, its best eta and its losses there (other replicas).

    "predicted": noiseless loss plus the floor at the arm's minimum, for identity and ZAS starts.
    """
    draw = np.random.default_rng([seed, 61])
    own = np.stack([controls.perturbed_start(draw, DEPTH, WIDTH, KICK) for _ in range(replicas)])
    starts = {
        "identity": np.broadcast_to(descent.identity_start(DEPTH, WIDTH), own.shape),
        "zas": np.broadcast_to(descent.zas_start(DEPTH, WIDTH), own.shape),
        "own": own,
        "mean": controls.tied(own),
    }
    half, average = replicas // 2, max(1, steps // 10)
    out: dict[str, dict[str, Any]] = {}
    for arm, (start, tied) in ARMS.items():
        rng = np.random.default_rng([seed, 62])
        found, _ = run(target, starts[start], etas, sigma, tied, steps, average, rng)
        best = int(np.argmin(np.mean(found[:, :half], axis=1)))
        entry: dict[str, Any] = {
            "loss": [_finite(v) for v in np.mean(found, axis=1)],
            "standard_error": [_finite(v) for v in _errors(found)],
            "best_eta": etas[best],
            "best": found[best, half:],
        }
        if start in ("identity", "zas"):
            quiet, _ = run(target, starts[start][:1], etas, 0.0, tied, steps, average, rng)
            end = minimum(target, start, DEPTH)
            entry["predicted"] = [
                _finite(float(quiet[k, 0]) + noise_floor(end, eta, sigma, tied=tied))
                for k, eta in enumerate(etas)
            ]
        out[arm] = entry
    return out


def gain(slow: Array, fast: Array) -> dict[str, float]:
    """Mean of `slow` over mean of `fast`, paired replicas (n,), with its standard error."""
    quotient = float(np.mean(slow) / np.mean(fast))
    apart_ = slow / np.mean(slow) - fast / np.mean(fast)
    error = quotient * float(np.std(apart_, ddof=1)) / apart_.size**0.5
    return {"gain": quotient, "standard_error": error}


GAINS = {
    "tying": ("identity", "shared"),
    "tying, perturbed": ("perturbed, equal", "perturbed, shared"),
    "averaging, perturbed": ("perturbed, own", "perturbed, equal"),
    "start": ("zas", "identity"),
}
"""What is credited: (the arm without, the arm with)."""


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """Floors, losses against the step size, tuned gains over sigma; one symmetric target."""
    size = check_scale(scale)
    replicas = [64, 128, 1024][size]
    steps = [100, 200, 600][size]
    sigmas = [[0.3, 3.0], [0.1, 1.0, 3.0], [0.1, 0.3, 1.0, 3.0]][size]
    points = [5, 8, 12][size]
    target = controls.draw_target(np.random.default_rng([seed, 63]), "symmetric", WIDTH)
    top = 1.6 / (DEPTH * max(1.0, float(np.linalg.norm(target, 2))) ** (2.0 - 2.0 / DEPTH))
    still = floors(
        seed, target, [top / 16.0, top / 8.0, top / 4.0, top / 2.0], 0.1, replicas // 2, 4 * steps
    )
    etas = [float(v) for v in np.geomspace(top / 64.0, top, points)]
    rows: list[dict[str, Any]] = []
    for sigma in sigmas:
        found = tuned(seed, target, etas, sigma, replicas, steps)
        gains = {name: gain(found[a]["best"], found[b]["best"]) for name, (a, b) in GAINS.items()}
        noisy = zip(found["identity"]["loss"], found["shared"]["loss"], strict=True)
        fixed = [None if one is None or two is None else one / two for one, two in noisy]
        for entry in found.values():
            values = entry.pop("best")
            entry["best_loss"], entry["best_error"] = mean_and_error(values)
        rows.append({"sigma": sigma, "arms": found, "gains": gains, "fixed": fixed})
    # Tied floors are stationary; without sharing the walk along the valley adds its second order.
    scores = [
        (r["floor"] - r["predicted"]) / r["standard_error"] for r in still if r["arm"] == "shared"
    ]
    gaps = [abs(r["floor"] / r["predicted"] - 1.0) for r in still]
    between = [
        (r["floor"], q["floor"])
        for r in still
        for q in still
        if (r["arm"], q["arm"], r["eta"]) == ("shared", "identity", q["eta"])
    ]
    return {
        "figure": "gradient_noise",
        "seed": seed,
        "scale": scale,
        "depth": DEPTH,
        "d": WIDTH,
        "eigenvalues": np.linalg.eigvalsh(target).tolist(),
        "kick": KICK,
        "steps": steps,
        "replicas": replicas,
        "etas": etas,
        "floor_sigma": 0.1,
        "floors": still,
        "tuned": rows,
        "caption_numbers": {
            "largest_z": float(np.max(np.abs(scores))),
            "largest_floor_gap": max(gaps),
            "points": len(still),
            "deepest_fixed": rows[-1]["fixed"][-2:],
            "largest_floor_saved": max(1.0 - one / two for one, two in between),
            "largest_apart_gap": max(
                abs(r["apart"] / r["apart_predicted"] - 1.0) for r in still if r["apart_predicted"]
            ),
            "gains": {name: [r["gains"][name] for r in rows] for name in GAINS},
            "largest_predicted_gap": max(
                abs(r["arms"][arm]["loss"][k] / r["arms"][arm]["predicted"][k] - 1.0)
                for r in rows
                for arm in ("shared", "identity")
                for k in [etas.index(r["arms"][arm]["best_eta"])]
            ),
        },
    }


def _errors(found: Array) -> Array:
    with np.errstate(invalid="ignore"):  # inf - inf of a run that diverged
        return np.asarray(np.std(found, axis=1, ddof=1) / found.shape[1] ** 0.5)


def _finite(value: float) -> float | None:
    """JSON has no infinity: None for a diverged mean."""
    return float(value) if np.isfinite(value) else None
