"""AdamW on the whole exchangeable quadratic: does unsharing at tau pay once every arm is tuned?

`theory.toys.adam_quadratic` looks at the common mode alone, where a larger learning rate does what
tying does. The differences are what a larger rate pays with: their noise floor grows with it, and
sharing removes it. Here the total loss is measured, every arm at its own best peak rate (linear
decay), for several tau.

At the untie AdamW's second moment is that of the MEAN gradient, noise variance / L, while the
modules' own gradients have L times as much: with moments copied the first steps after the untie are
sqrt(L) times too large, for the memory of beta2. "rescale" multiplies the second moment by L at the
untie, which is right where noise dominates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from theory.models import quadratic
from theory.models.quadratic import Quadratic
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies.quadratic import draw_bias

DEPTH = 16
BIASES = [2.0, 6.0, 20.0]
"""From far below to far above the differences' noise floor at the rates that arms choose."""


def problem_of(bias: float) -> Quadratic:
    """`DEPTH` modules, own curvature 1/2, the mean's 1, noise 10: signal-to-noise 0.1 at 1."""
    return Quadratic(depth=DEPTH, own=0.5, common=0.5, bias=bias, noise=100.0, start=1.0)


def train(
    problem: Quadratic,
    peaks: Array,
    tau: int,
    steps: int,
    replicas: int,
    seed: int,
    *,
    rescale: bool = False,
) -> Array:
    """Loss at T of SWE(tau) under AdamW, (peaks, replicas); one direction, equal start at 1.

    All modules are parameters throughout: given one gradient, the mean, equal modules with equal
    moments stay equal, and at the untie each has a copy of both moments. Arms of one seed see one
    noise. ValueError unless 0 <= tau <= steps and the problem has one direction.
    """
    if not 0 <= tau <= steps:
        raise ValueError("tau must lie in 0..steps")
    if problem.own.size != 1:
        raise ValueError("problem must have one direction")
    L, rate = problem.depth, torch.from_numpy(np.asarray(peaks))[:, None, None]
    a, b = float(problem.own[0]), float(problem.common[0])
    sigma = float(problem.noise[0]) ** 0.5
    delta = torch.from_numpy(draw_bias(np.random.default_rng(seed), problem)[:, 0])
    generator = torch.Generator().manual_seed(seed)
    # AdamW without weight decay moves by rate times a direction: x = 1 + peak * moved, and one
    # optimiser whose rate decays from 1 serves all peaks.
    moved = nn.Parameter(torch.zeros(len(peaks), replicas, L, dtype=torch.float64))
    optimizer = torch.optim.AdamW([moved], lr=1.0, eps=1e-8, weight_decay=0.0, foreach=True)
    for step in range(steps):
        xi = sigma * torch.randn(replicas, L, generator=generator, dtype=torch.float64)
        x = 1.0 + rate * moved.detach()
        gradient = a * (x - delta) + b * x.mean(-1, keepdim=True) + xi
        moved.grad = (
            gradient.mean(-1, keepdim=True).expand_as(x).contiguous() if step < tau else gradient
        )
        if rescale and step == tau and tau > 0:
            optimizer.state[moved]["exp_avg_sq"].mul_(L)
        optimizer.param_groups[0]["lr"] = 1.0 - step / steps
        optimizer.step()
    x = 1.0 + rate * moved.detach()
    loss = 0.5 * a * (x - delta).square().sum(-1) + 0.5 * L * b * x.mean(-1).square()
    return np.asarray(loss.numpy())


def predicted(problem: Quadratic, peak: float, tau: int, steps: int) -> float:
    """Expected loss at T where noise dominates and moments are rescaled: SGD with other steps.

    AdamW divides by the noise's deviation: sigma unshared, sigma / sqrt(L) tied. So it is SGD with
    steps eta_t sqrt(L) / sigma before tau and eta_t / sigma after, whose loss
    `theory.models.quadratic` knows. Neglects momentum and the signal in the second moment (r^2
    against 1).
    """
    rates = quadratic.linear_steps(peak, steps) / float(problem.noise[0]) ** 0.5
    rates[:tau] *= problem.depth**0.5
    return float(quadratic.loss_by_tau(problem, rates)[tau])


def best_of(losses: Array, peaks: Array) -> dict[str, float]:
    """The best peak rate, its mean loss and standard error; losses (peaks, replicas).

    The rate is chosen on one half of the replicas and judged on the other: no flattery.
    """
    half = losses.shape[1] // 2
    best = int(np.argmin(losses[:, :half].mean(axis=1)))
    judged = losses[best, half:]
    return {
        "peak": float(peaks[best]),
        "loss": float(judged.mean()),
        "standard_error": float(judged.std(ddof=1) / judged.size**0.5),
    }


def compare_tau(
    seed: int, fractions: list[float], biases: list[float], replicas: int, steps: int
) -> dict[str, Any]:
    """Best total loss for each bias and tau / T, moments copied and rescaled, beside `predicted`.

    Problems as in `problem_of`. tau = 0 is the equal start that never shares, tau = T never
    unshares. "gain" is the equal start's loss over the best later arm's.
    """
    peaks = 2.0 ** np.arange(2.0, 7.0, 0.5) / steps
    settings = []
    for bias in biases:
        problem = problem_of(bias)
        rows: list[dict[str, Any]] = []
        for fraction in fractions:
            tau = round(fraction * steps)
            forecast = min(predicted(problem, peak, tau, steps) for peak in peaks)
            for rescale in (False, True) if 0 < tau < steps else (True,):
                losses = train(problem, peaks, tau, steps, replicas, seed, rescale=rescale)
                moments = "rescale" if rescale else "copy"
                rows.append(
                    {"tau": fraction, "moments": moments, "predicted": forecast}
                    | best_of(losses, peaks)
                )
        base = rows[0]
        arms = {
            moments: min(
                (row for row in rows[1:] if row["moments"] == moments), key=lambda row: row["loss"]
            )
            for moments in ("copy", "rescale")
        }
        settings.append(
            {
                "bias": bias,
                "rows": rows,
                "best_tau": {moments: row["tau"] for moments, row in arms.items()},
                "gain": {moments: base["loss"] / row["loss"] for moments, row in arms.items()},
                "gain_error": {
                    moments: base["loss"]
                    / row["loss"]
                    * float(
                        np.hypot(
                            base["standard_error"] / base["loss"],
                            row["standard_error"] / row["loss"],
                        )
                    )
                    for moments, row in arms.items()
                },
                "predicted_gain": base["predicted"] / min(row["predicted"] for row in rows[1:]),
                "predicted_best_tau": min(rows[1:], key=lambda row: row["predicted"])["tau"],
                "largest_gap": max(
                    abs(row["loss"] / row["predicted"] - 1.0)
                    for row in rows
                    if row["moments"] == "rescale"
                ),
            }
        )
    return {
        "depth": DEPTH,
        "steps": steps,
        "replicas": replicas,
        "start_snr": 0.1,
        "peaks": peaks.tolist(),
        "settings": settings,
    }


def study(seed: int, scale: str) -> dict[str, Any]:
    """Best total loss against tau for three amounts of bias; JSON-able.

    "small" takes about 12 s on one core.
    """
    size = check_scale(scale)
    fractions = [
        [0.0, 0.3, 0.7, 1.0],
        [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0],
        [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0],
    ][size]
    found = compare_tau(seed, fractions, BIASES, [64, 256, 1024][size], [200, 600, 1000][size])
    settings = found["settings"]
    return {
        "figure": "adam_unshare",
        "seed": seed,
        "scale": scale,
        **found,
        "caption_numbers": {
            "largest_gap": max(s["largest_gap"] for s in settings),
            "gain": {f"{s['bias']:g}": s["gain"]["rescale"] for s in settings},
        },
    }
