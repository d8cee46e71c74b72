"""When tying first helps: gain against budget in the horizon and the noise regime, and its zeros.

Every gain here is by brute force over tau on the exact expected loss of SGD; every line that it is
held against comes from the closed forms of `theory.models.horizon` and
`theory.models.noise_and_deviations`, which do not look at it.
"""

from typing import Any

import numpy as np

from theory.models import general_schedule, horizon, switching
from theory.models import noise_and_deviations as noisy
from theory.models.general_schedule import Problem
from theory.models.quadratic import linear_steps
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale

LAYERS = 8


def one_stiff(stiff: float, rest: float) -> Array:
    """h = (stiff, rest x 7), (8,)."""
    return np.array([stiff] + [rest] * (LAYERS - 1))


def brute_gain(
    h: Array, steps: Array, common: float, deviation: float, noise: float
) -> tuple[float, float]:
    """log10 of equal start over the best tau's loss at these steps, and that tau / N."""
    found = noisy.losses(h, steps, common, deviation, noise)
    tau = int(np.argmin(found))
    return float(np.log10(found[0] / found[tau])), tau / steps.size


def horizon_curve(
    h: Array, deviation: float, shares: Array, updates: int, floor: float
) -> dict[str, Any]:
    """Gain at budgets `shares` T_c in `updates` constant small steps; the predicted zero.

    "last_without" and "first_with": the budgets, in T_c, between which the gain passes `floor`.
    """
    critical = horizon.critical_horizon(h)
    found = [
        brute_gain(h, np.full(updates, share * critical / updates), 1.0, deviation, 0.0)
        for share in shares
    ]
    gains = np.array([gain for gain, _ in found])
    above = int(np.argmax(gains > floor))
    exact = [horizon.gain(h, float(share * critical)) for share in shares]
    return {
        "curvatures": h.tolist(),
        "deviation": deviation,
        "critical_times_stiffest": critical * float(np.max(h)),
        "budget": shares.tolist(),
        "gain": gains.tolist(),
        "tau": [tau for _, tau in found],
        "closed": exact if deviation == 0.0 else None,
        "zero": horizon.helping_horizon(h, 1.0, deviation, 0.0) / critical,
        "last_without": float(shares[above - 1]),
        "first_with": float(shares[above]),
    }


def one_rate_curve(
    h: Array, peak: float, deviation: float, noise: float, shares: Array
) -> dict[str, Any]:
    """Gain at one peak for both arms, linear decay, at budgets `shares` of the crossing."""
    turn = noisy.crossing_budget(h, peak, 1.0, deviation, noise)
    budgets = np.unique(np.maximum(1, np.round(turn * shares)).astype(int))
    gains = [brute_gain(h, linear_steps(peak, int(n)), 1.0, deviation, noise)[0] for n in budgets]
    return {
        "curvatures": h.tolist(),
        "deviation": deviation,
        "noise": noise,
        "peak": peak,
        "turn": turn,
        "budget": (budgets / turn).tolist(),
        "gain": gains,
        "horizon": 2.0 * horizon.critical_horizon(h) / peak / turn,
        "top": float(budgets[int(np.argmax(gains))] / turn),
    }


def tuned_curve(
    h: Array, deviation: float, noise: float, shares: Array, peaks: int, floor: float
) -> dict[str, Any]:
    """Gain with each arm at its own best peak, at budgets `shares` of the predicted end N_0.

    N_0 is that of the exchangeable twin, all h = hbar. "end": the first budget, in N_0, from which
    the gain stays below `floor`; None where it does not.
    """
    predicted = noisy.noise_horizon(float(np.mean(h)), 1.0, deviation, noise)
    budgets = np.unique(np.maximum(1, np.round(predicted * shares)).astype(int))
    rows = [noisy.tuned(h, int(n), 1.0, deviation, noise, peaks) for n in budgets]
    gains = np.array([row["gain"] for row in rows])
    above = np.flatnonzero(gains >= floor)
    last = int(above[-1]) if above.size else -1
    return {
        "curvatures": h.tolist(),
        "deviation": deviation,
        "noise": noise,
        "scale": noisy.noise_scale(float(np.mean(h)), deviation, noise),
        "predicted": predicted,
        "budget": (budgets / predicted).tolist(),
        "gain": gains.tolist(),
        "tau": [row["tau"] for row in rows],
        "end": float(budgets[last + 1] / predicted) if last + 1 < len(budgets) else None,
    }


def random_optima(seed: int, h: Array, shares: list[float], draws: int) -> list[dict[str, float]]:
    """Share of random optima for which some tau helps, in flow, at budgets `shares` T_c.

    All layers start at 0, each optimum is N(0, 1) of its own: the common part is by chance alone.
    """
    rng = np.random.default_rng([seed, 60])
    optimum = rng.normal(size=(draws, h.size))
    rows = []
    for share in shares:
        T = share * horizon.critical_horizon(h)
        pull = (optimum @ h / np.sum(h))[:, None]
        tau = np.linspace(0.0, T, 201)
        x = pull * -np.expm1(-float(np.mean(h)) * tau)
        decay = h * np.exp(-2.0 * h * (T - tau)[:, None])
        losses = 0.5 * np.einsum("dtl,tl->dt", (x[:, :, None] - optimum[:, None]) ** 2, decay)
        helped = np.min(losses[:, 1:], axis=1) < losses[:, 0] * (1.0 - 1e-9)
        rows.append({"budget": share, "helped": float(np.mean(helped)), "draws": draws})
    return rows


def random_layers(rng: np.random.Generator, layers: int = 4, width: int = 2) -> Problem:
    """Coupled layers whose curvatures spread over 1.7 decades, lmax 1; one optimum, or deviations.

    Optima N(0, 1) in common plus 0, 0.1 or 0.3 times their own; the start is 0.
    """
    n = layers * width
    scales = np.exp(rng.uniform(np.log(0.02), 0.0, (layers, 1, 1)))
    half = (rng.normal(size=(layers, width, 4 * width)) * np.sqrt(scales)).reshape(n, -1)
    H = half @ half.T
    H /= np.linalg.eigvalsh(H)[-1]
    own = float(rng.choice([0.0, 0.1, 0.3])) * rng.normal(size=(layers, width))
    optimum = rng.normal(size=(1, width)) + own
    return Problem(H.reshape(layers, width, layers, width), optimum, np.zeros(width))


def stages(seed: int, problems: int, updates: int, points: int) -> dict[str, Array]:
    """log10 final losses, (problems,), of five arms at one peak rate; and the checks of SWE-A.

    "equal" start, "single" best tau and best "stages" (both on a grid of `points` times), "swe-m",
    "swe-a". "low" and "hurts", (problems x checks,): whether the check says untie, and whether
    sigma > 0 (tying that update raises the final loss), along the always tied run.
    """
    rng = np.random.default_rng([seed, 68])
    steps, interval = linear_steps(1.8, updates), 3
    rows, low, hurts = [], [], []
    for _ in range(problems):
        problem = random_layers(rng)
        L = problem.optimum.shape[0]
        _, best, single = general_schedule.best_stages(problem, steps, points)
        chains = [np.zeros(L - 1, dtype=int)]
        for rule in ("swe-m", "swe-a"):
            chains.append(general_schedule.cosine_stages(problem, steps, rule, interval))
        equal, swe_m, swe_a = general_schedule.stage_losses(problem, steps, np.array(chains))
        rows.append(np.log10([equal, single, best, swe_m, swe_a]))
        model = _model(problem)
        start = np.tile(problem.start, (L, 1))
        sigma = switching.switching(model, start, steps)
        tied = switching.trajectory(model, start, steps, np.ones(updates))
        for t in range(interval, updates, interval):
            cosines = general_schedule.adjacent_cosines(problem.gradient(tied[t]))
            low.append(2 * int(np.sum(cosines < 0.5)) > L - 1)
            hurts.append(bool(sigma[t] > 0.0))
    losses = dict(
        zip(("equal", "single", "stages", "swe-m", "swe-a"), np.array(rows).T, strict=True)
    )
    return losses | {"low": np.array(low), "hurts": np.array(hurts)}


def _model(problem: Problem) -> switching.Model:
    H = problem.hessian
    return switching.Model(
        lambda _, w: problem.gradient(w), lambda _, w, v: np.einsum("limj,mj->li", H, v)
    )


FLOOR = 1e-3
"""Decades; a gain below is called none (0.2 % of the loss)."""


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """Horizon, one rate and tuned rates; random optima. "small" takes under 30 s on one core."""
    size = check_scale(scale)
    points, updates, peaks = [9, 17, 33][size], [300, 800, 2000][size], [24, 60, 120][size]
    shares = np.geomspace(0.25, 8.0, points)
    horizons = [
        horizon_curve(one_stiff(64.0, 1.0), 0.0, shares, updates, FLOOR),
        horizon_curve(one_stiff(64.0, 0.1), 0.0, shares, updates, FLOOR),
        horizon_curve(one_stiff(64.0, 1.0), 1.0, shares, updates, FLOOR),
    ]
    rates = [
        one_rate_curve(one_stiff(8.0, 1.0), 0.125, v, s2, np.geomspace(1.0 / 64.0, 4.0, points))
        for v, s2 in ((0.001, 0.01), (0.01, 1.0))
    ]
    budgets = np.geomspace(1.0 / 16.0, 4.0, points)
    tuned = [
        tuned_curve(np.ones(LAYERS), 0.02, 1.0, budgets, peaks, FLOOR),
        tuned_curve(np.ones(LAYERS), 0.1, 1.0, budgets, peaks, FLOOR),
        tuned_curve(one_stiff(4.0, 1.0), 0.1, 1.0, budgets, peaks, FLOOR),
    ]
    return {
        "figure": "when",
        "seed": seed,
        "scale": scale,
        "horizon": horizons,
        "one_rate": rates,
        "tuned": tuned,
        "random_optima": random_optima(
            seed, one_stiff(64.0, 1.0), [0.5, 1.0, 3.0, 10.0], [200, 1000, 5000][size]
        ),
        "caption_numbers": {
            "depth": LAYERS,
            "updates": updates,
            "floor": FLOOR,
            "closed_gap": max(
                float(np.max(np.abs(np.subtract(curve["gain"], curve["closed"]))))
                for curve in horizons[:2]
            ),
            "largest_gain": max(max(curve["gain"]) for curve in horizons),
        },
    }
