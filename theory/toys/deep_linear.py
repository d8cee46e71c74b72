"""Deep linear networks of distinct modules, trained by the training core itself (torch).

The closed forms of this package need no torch; this toy does, on purpose: the very code that trains
BERT is put where the answer is known. Two questions:

1. Does the core's tied step follow the paper's flow? From the identity start with a PD target, R of
   the tied stack after k steps of size eta is R(t = k eta) of ``theory.linear.shared_flow`` up to
   O(eta).
2. What do sharing, an equal start, and unsharing do when the truth is not shared? The target is
   prod_l (W* + eps Delta_l) with sum Delta_l = 0; eps = 0 is a target that tied layers can reach,
   and the further eps grows the more unsharing has to add.

All seeds of one setting are trained at once: a module holds one matrix a seed, and gradients of
different seeds never mix (plain gradient descent on the sum of their losses, no clipping).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evidence.comparison import compare
from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared, EqualStart, Schedule, SweFixed
from swe.sharing.stack import SharedStack
from theory.linear import shared_flow
from theory.toys.training import Watch, train

ARMS: dict[str, Callable[[], Schedule]] = {
    "equal-start": lambda: EqualStart(),
    "always-shared": lambda: AlwaysShared(),
    "swe-f 5 %": lambda: SweFixed(until=0.05),
    "swe-f 20 %": lambda: SweFixed(until=0.2),
    "swe-f 50 %": lambda: SweFixed(until=0.5),
}
SCALES = {"smoke": (300, 3), "small": (2000, 5), "full": (10000, 20)}


class Matrix(nn.Module):
    """hidden -> weight @ hidden, for n independent networks at once: weight (n, d, d)."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self, hidden: Tensor) -> Tensor:
        """(n, d, k) -> (n, d, k)."""
        return self.weight @ hidden


def descend(
    target: Tensor,
    depth: int,
    schedule: Schedule,
    step_size: float,
    steps: int,
    watch: Watch | None = None,
) -> tuple[np.ndarray, int]:
    """Train n networks from the identity start by gradient descent through the training core.

    ``target``: (n, d, d). Returns losses R, (steps + 1, n), and the number of layouts changes.
    """
    identity = torch.eye(target.shape[-1], dtype=target.dtype).expand_as(target)
    stack = SharedStack([Matrix(identity) for _ in range(depth)], Layout.untied(depth))
    rows: dict[int, Tensor] = {}

    def losses(step: int) -> Tensor:
        residual: Tensor = stack(identity) - target
        found = 0.5 * residual.square().sum((-2, -1))
        rows[step] = found.detach()  # the checks around an untie see the same value again
        return found

    untied = train(stack, losses, schedule, "sgd", [step_size] * steps, watch)
    with torch.no_grad():
        losses(steps)
    return torch.stack([rows[step] for step in range(steps + 1)]).numpy(), len(untied)


def core_against_flow(seed: int, depth: int = 8, size: int = 4) -> dict[str, Any]:
    """Tied descent of the core beside the closed-form flow, for halving step sizes.

    Returns for each step size the largest |R_core - R_flow| / R(0) over the run, and the slope of
    its logarithm against log eta, which is 1 for a first-order method that follows the flow.
    """
    rng = np.random.default_rng([seed, 1])
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    target = (basis * rng.uniform(0.5, 2.0, size)) @ basis.T
    horizon = 0.4
    step_sizes = [1e-2, 5e-3, 2.5e-3, 1.25e-3]
    errors, curve = [], {}
    for step_size in step_sizes:
        steps = round(horizon / step_size)
        measured, _ = descend(
            torch.from_numpy(target)[None], depth, AlwaysShared(), step_size, steps
        )
        time = step_size * np.arange(steps + 1)
        exact = shared_flow.loss(time, target, depth)
        errors.append(float(np.max(np.abs(measured[:, 0] - exact)) / exact[0]))
        curve = {
            "time": time.tolist(),
            "flow": (exact / exact[0]).tolist(),
            "core": (measured[:, 0] / exact[0]).tolist(),
        }
    slope = float(np.polyfit(np.log(step_sizes), np.log(errors), 1)[0])
    return {
        "depth": depth,
        "size": size,
        "step_sizes": step_sizes,
        "errors": errors,
        "slope": slope,
        "curve": curve,
    }


def distinct_targets(
    seed: int,
    seeds: int,
    depth: int,
    size: int,
    deviations: tuple[float, ...],
    common_scale: float = 0.2,
) -> np.ndarray:
    """Draw the targets' modules W* + eps Delta_l, (len(deviations) * seeds, depth, size, size).

    Deviation-major; one seed has the same W* = I + `common_scale` G and Delta at every eps.
    """
    rng = np.random.default_rng([seed, 2])
    common = rng.standard_normal((seeds, 1, size, size)) / np.sqrt(size)
    own = rng.standard_normal((seeds, depth, size, size)) / np.sqrt(size)
    own -= own.mean(axis=1, keepdims=True)
    base = np.eye(size) + common_scale * common
    return np.concatenate([base + eps * own for eps in deviations])


def product(modules: np.ndarray) -> np.ndarray:
    """W_L .. W_1 of (n, depth, d, d): (n, d, d)."""
    target = modules[:, 0]
    for layer in range(1, modules.shape[1]):
        target = modules[:, layer] @ target
    return target


def stable_step(target: np.ndarray, depth: int, share: float = 0.3) -> float:
    """A step inside stability for every target, (n, d, d).

    Near a balanced solution the largest curvature is about L ||Phi||^(2 - 2/L), each of the L
    layers having spectral norm ||Phi||^(1/L); `share` of its inverse is returned.
    """
    largest = max(1.0, float(np.max(np.linalg.norm(target, 2, (1, 2)))))
    return float(share / (depth * largest ** (2 - 2 / depth)))


def distinct_modules(
    seed: int,
    scale: str,
    depth: int = 6,
    size: int = 4,
    *,
    common_scale: float = 0.2,
    share: float = 0.3,
) -> dict[str, Any]:
    """Arms of SWE and controls on targets prod_l (W* + eps Delta_l), for several eps.

    W* = I + `common_scale` G; step size: `share` of 1 / (largest curvature near a balanced
    solution). That no verdict hangs on these two is on record (`benchmarks.toy_sensitivity`).

    Returns for each eps the arms' final log10 R by seed with the paired comparison against the
    equal start, and the median loss curve of each arm.
    """
    steps, seeds = SCALES[scale]
    out = []
    deviations = (0.0, 0.1, 0.3)
    targets = product(distinct_targets(seed, seeds, depth, size, deviations, common_scale))
    for eps, target in zip(deviations, targets.reshape(-1, seeds, size, size), strict=True):
        step_size = stable_step(target, depth, share)
        final: dict[str, dict[int, float]] = {}
        curves: dict[str, list[float]] = {}
        for arm, schedule in ARMS.items():
            losses, _ = descend(torch.from_numpy(target), depth, schedule(), step_size, steps)
            logs = np.log10(np.maximum(losses, 1e-300) / losses[0])
            final[arm] = dict(enumerate(logs[-1].tolist()))
            curves[arm] = np.median(logs, axis=1)[:: max(1, steps // 200)].tolist()
        out.append(
            {
                "eps": eps,
                "step_size": step_size,
                "curves": curves,
                "arms": compare(final, "equal-start"),
            }
        )
    return {
        "depth": depth,
        "size": size,
        "steps": steps,
        "seeds": seeds,
        "curve_every": max(1, steps // 200),
        "settings": out,
    }


def study(seed: int, scale: str) -> dict[str, Any]:
    """Both questions; JSON-able."""
    return {
        "core_against_flow": core_against_flow(seed),
        "distinct_modules": distinct_modules(seed, scale),
    }
