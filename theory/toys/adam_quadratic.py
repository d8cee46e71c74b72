"""AdamW itself on the exchangeable quadratic's common mode, tied and not, beside the predictor.

`theory.models.sign_descent` predicts how much faster tying L layers moves what they have in
common. Here torch.optim.AdamW (usual betas 0.9 and 0.999, eps 1e-8, no weight decay) is run: L
parameters with independent gradient noise, or one parameter that is given the mean of the L
gradients, as the training core ties. Replicas and noise levels are entries of one tensor; AdamW
works elementwise, so they never mix. Three questions:

1. Constant gradient: the gain of speed at equal learning rate, against signal-to-noise.
2. Quadratic: the ratio of the steps to bring the mean from 1 to `REACHED`.
3. Is it more than a larger learning rate? The common mode's final loss under linear decay, each
   method at its own best learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from theory.models import sign_descent
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies.sign_descent import crossing

DEPTH = 16
REACHED = 0.3
RULES: tuple[sign_descent.Rule, ...] = ("adam", "sign")
Gradient = Callable[[Tensor], Tensor]


def run_adamw(
    start: Tensor,
    gradient: Gradient,
    noise: Tensor,
    depth: int,
    learning_rates: Array,
    *,
    tied: bool,
    seed: int,
    betas: tuple[float, float] = (0.9, 0.999),
    record_every: int = 1,
) -> Array:
    """Mean of the modules along a run, (records, ..., replicas); float64.

    `start`: (..., replicas), the value that all modules start from; `gradient` maps the modules'
    mean to the gradient that each of them sees; `noise`: (..., 1) standard deviations per module;
    `learning_rates`: one a step, shape (T,) or (groups, T) with start's first axis the groups.
    """
    generator = torch.Generator().manual_seed(seed)
    rates = np.atleast_2d(learning_rates)
    parts = [start] if rates.shape[0] == 1 else list(start.unbind(0))
    modules = 1 if tied else depth
    weights = [nn.Parameter(part[..., None].expand(*part.shape, modules).clone()) for part in parts]
    optimizer = torch.optim.AdamW(
        [{"params": [w], "lr": float(r[0])} for w, r in zip(weights, rates, strict=True)],
        betas=betas,
        eps=1e-8,
        weight_decay=0.0,
        foreach=True,
    )
    shape = (*parts[0].shape, depth)
    history = []
    for step in range(rates.shape[1]):
        means = [w.detach().mean(-1) for w in weights]
        if step % record_every == 0:
            history.append(torch.stack(means).clone())
        xi = torch.randn(shape, generator=generator, dtype=torch.float64) * noise[..., None]
        for w, mean, group, rate in zip(
            weights, means, optimizer.param_groups, rates[:, step], strict=True
        ):
            seen = gradient(mean)[..., None] + xi  # groups see one noise: paired
            w.grad = seen.mean(-1, keepdim=True) if tied else seen
            group["lr"] = float(rate)
        optimizer.step()
    history.append(torch.stack([w.detach().mean(-1) for w in weights]))
    out = torch.stack(history)
    return np.asarray((out[:, 0] if len(parts) == 1 else out).numpy())


def ratio_with_error(numerator: Array, denominator: Array) -> tuple[Array, Array]:
    """Ratio of means over the last axis and its standard error (independent samples, first order).

    Relative errors add in squares; good while they are small against one.
    """
    top, bottom = numerator.mean(-1), denominator.mean(-1)
    relative = (
        numerator.var(-1, ddof=1) / numerator.shape[-1] / top**2
        + denominator.var(-1, ddof=1) / denominator.shape[-1] / bottom**2
    )
    ratio = top / bottom
    return ratio, np.abs(ratio) * np.sqrt(relative)


def speed_gain(
    seed: int,
    snr: list[float],
    depth: int,
    replicas: int,
    steps: int,
    betas: tuple[float, float] = (0.9, 0.999),
) -> dict[str, Any]:
    """Gain of the mean's speed under a constant gradient 1 and noise 1 / snr, with standard errors.

    Displacement over the second half of the run: the first fills the averages.
    """
    noise = torch.tensor([[1.0 / r] for r in snr], dtype=torch.float64)
    start = torch.zeros(len(snr), replicas, dtype=torch.float64)
    rates = np.full(steps, 1e-3)
    moved = {}
    for tied in (True, False):
        path = run_adamw(
            start,
            torch.ones_like,
            noise,
            depth,
            rates,
            tied=tied,
            seed=seed + tied,
            betas=betas,
            record_every=steps // 2,
        )
        moved[tied] = path[1] - path[-1]
    gain, error = ratio_with_error(moved[True], moved[False])
    speed = moved[False].mean(-1) / (1e-3 * (steps - steps // 2))
    return {
        "snr": snr,
        "depth": depth,
        "gain": gain.tolist(),
        "standard_error": error.tolist(),
        "speed_unshared": speed.tolist(),
        "predicted": {
            rule: sign_descent.gain_from_snr(snr, depth, rule).tolist() for rule in RULES
        },
    }


def reach_gain(
    seed: int, snr: list[float], depth: int, replicas: int, eta: float, beta2: float = 0.999
) -> dict[str, Any]:
    """Steps unshared over steps tied to take the mean from 1 to `REACHED`, curvature 1.

    `snr` is that at the start, 1 / noise. Runs last 1.6 times the slowest predicted time (momentum
    and the averages' memory delay them); standard errors from 8 batches of replicas.
    """
    noise = torch.tensor([[1.0 / r] for r in snr], dtype=torch.float64)
    start = torch.ones(len(snr), replicas, dtype=torch.float64)
    counts, predicted = {}, {}
    for tied in (True, False):
        layers = depth if tied else 1
        predicted[tied] = sign_descent.steps_to_reach(1.0, REACHED, eta, snr, layers, "adam")
        steps = int(1.6 * np.max(predicted[tied])) + 400
        path = run_adamw(
            start,
            lambda mean: mean,
            noise,
            depth,
            np.full(steps, eta),
            tied=tied,
            seed=seed + tied,
            betas=(0.9, beta2),
        )
        batches = path.reshape(steps + 1, len(snr), 8, -1).mean(-1)
        counts[tied] = np.array(
            [[crossing(batches[:, i, j], REACHED) for j in range(8)] for i in range(len(snr))]
        )
    gain, error = ratio_with_error(counts[False], counts[True])
    return {
        "snr": snr,
        "depth": depth,
        "eta": eta,
        "beta2": beta2,
        "steps_unshared": counts[False].mean(-1).tolist(),
        "steps_tied": counts[True].mean(-1).tolist(),
        "predicted_unshared": predicted[False].tolist(),
        "predicted_tied": predicted[True].tolist(),
        "gain": gain.tolist(),
        "standard_error": error.tolist(),
        "predicted": (predicted[False] / predicted[True]).tolist(),
    }


def tuned(seed: int, snr: list[float], depth: int, replicas: int, steps: int) -> dict[str, Any]:
    """E xbar_T^2 from 1 under linear decay for a grid of peak rates; each method's best rate.

    `snr` as in `reach_gain`. "best_gain" is the ratio of the best losses, unshared over tied; the
    best rate is chosen on the same replicas, which flatters both methods alike. It is the common
    mode's loss alone: the differences' floor, which sharing removes, grows with the rate.
    """
    peaks = 2.0 ** np.arange(0.0, 9.5, 0.5) / steps
    rates = peaks[:, None] * (1.0 - np.arange(steps) / steps)
    noise = torch.tensor([[1.0 / r] for r in snr], dtype=torch.float64)
    start = torch.ones(peaks.size, len(snr), replicas, dtype=torch.float64)
    losses = {}
    for tied in (True, False):
        path = run_adamw(
            start,
            lambda mean: mean,
            noise,
            depth,
            rates,
            tied=tied,
            seed=seed + tied,
            record_every=steps,
        )
        losses[tied] = path[-1] ** 2
    rows = []
    for i, r in enumerate(snr):
        mean = {tied: losses[tied][:, i].mean(-1) for tied in losses}
        best = {tied: int(np.argmin(mean[tied])) for tied in losses}
        gain, error = ratio_with_error(losses[False][best[False], i], losses[True][best[True], i])
        # At the rate that is best without sharing, sharing moves the common mode too fast or not?
        same, _ = ratio_with_error(losses[False][best[False], i], losses[True][best[False], i])
        rows.append(
            {
                "snr": r,
                "loss_tied": mean[True].tolist(),
                "loss_unshared": mean[False].tolist(),
                "best_peak_tied": float(peaks[best[True]]),
                "best_peak_unshared": float(peaks[best[False]]),
                "best_gain": float(gain),
                "standard_error": float(error),
                "gain_at_unshared_best": float(same),
            }
        )
    return {
        "depth": depth,
        "steps": steps,
        "replicas": replicas,
        "peaks": peaks.tolist(),
        "rows": rows,
    }


def study(seed: int, scale: str) -> dict[str, Any]:
    """All three questions; JSON-able. "small" takes about 20 s on one core."""
    size = check_scale(scale)
    replicas = [32, 64, 512][size]
    snr = [[0.3, 1.0], [0.03, 0.1, 0.3, 1.0, 3.0], [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]][size]
    speeds = [
        speed_gain(seed + 10 * i, snr, depth, replicas, [2000, 4000, 8000][size])
        for i, depth in enumerate([[16], [4, 16], [4, 16, 64]][size])
    ]
    start_snr = [0.1, 0.3, 1.0, 3.0][[2, 0, 0][size] :]
    reach = [
        reach_gain(seed + 100, start_snr, DEPTH, replicas, 2e-3, beta2) for beta2 in (0.999, 0.99)
    ]
    line = np.geomspace(snr[0], snr[-1], 60)
    start_line = np.geomspace(start_snr[0], start_snr[-1], 60)
    times = [
        sign_descent.steps_to_reach(1.0, REACHED, 1.0, start_line, layers, "adam")
        for layers in (1, DEPTH)
    ]
    lines: dict[str, Any] = {
        "snr": line.tolist(),
        "start_snr": start_line.tolist(),
        "reach": (times[0] / times[1]).tolist(),
        "speed": {
            rule: {
                str(speed["depth"]): sign_descent.gain_from_snr(line, speed["depth"], rule).tolist()
                for speed in speeds
            }
            for rule in RULES
        },
    }
    final = tuned(seed + 200, [0.1, 0.3, 1.0], DEPTH, 4 * replicas, [250, 1000, 1000][size])
    gaps = {
        rule: max(
            abs(g / p - 1.0)
            for s in speeds
            for g, p in zip(s["gain"], s["predicted"][rule], strict=True)
        )
        for rule in RULES
    }
    return {
        "figure": "adam_quadratic",
        "seed": seed,
        "scale": scale,
        "speeds": speeds,
        "reach": reach,
        "tuned": final,
        "lines": lines,
        "caption_numbers": {
            "replicas": replicas,
            "depth": DEPTH,
            "reached": REACHED,
            "largest_gap_adam": gaps["adam"],
            "largest_gap_sign": gaps["sign"],
            "largest_relative_error": max(
                e / g for s in speeds for g, e in zip(s["gain"], s["standard_error"], strict=True)
            ),
            "reach_gap": {
                f"{r['beta2']:g}": max(
                    abs(g / p - 1.0) for g, p in zip(r["gain"], r["predicted"], strict=True)
                )
                for r in reach
            },
            "tuned_gain": {f"{row['snr']:g}": row["best_gain"] for row in final["rows"]},
            "tuned_gain_error": {f"{row['snr']:g}": row["standard_error"] for row in final["rows"]},
        },
    }
