"""Probes of the toys along a run that never shares: gradients, noise, curvature, and premises.

Everything that a prediction may use is here, and nothing of it has seen a run that shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swe.sharing.schedule import Schedule
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys.problems import HELD, Problem, Trained
from theory.toys.training import layer_weights, train

PROBE_DATA = 10**5
"""Updates from here on are data of the probes: not trained on, not the held-out ones."""


@dataclass(frozen=True)
class Run:
    """`losses` (n,) held out at the end; `kept` {step: weights (n, L, k)}."""

    losses: Array
    kept: dict[int, Array]


def run(
    problem: Trained, schedule: Schedule, optimiser: str, rates: Array, keep: tuple[int, ...] = ()
) -> Run:
    """Train all networks of the problem from its draws; `rates` (T,). Keep weights at `keep`."""
    stack = problem.stack(problem.draws)
    kept: dict[int, Array] = {}

    def watch(
        step: int, stack: SharedStack, swe: ShareThenUnshare, losses: Callable[[], Tensor]
    ) -> None:
        if step in keep:
            kept[step] = layer_weights(stack).numpy()

    train(
        stack, lambda step: problem.losses(stack, step), schedule, optimiser, rates.tolist(), watch
    )
    return Run(held_losses(problem, stack), kept)


def held_losses(problem: Trained, stack: SharedStack) -> Array:
    """Losses on the held-out data, (n,)."""
    with torch.no_grad():
        return np.asarray(problem.losses(stack, HELD).numpy())


def sample_gradients(problem: Problem, weights: Array, samples: int, first: int = 0) -> Array:
    """Each layer's own gradient on `samples` independent batches, (n, samples, L, k)."""
    stack = problem.stack(weights)
    wanted = [list(block.parameters()) for block in stack.blocks]
    flat = [p for block in wanted for p in block]
    rows = []
    for sample in range(samples):
        loss = problem.losses(stack, PROBE_DATA + first + sample).sum()
        gradients = iter(torch.autograd.grad(loss, flat))
        rows.append(
            torch.stack([torch.cat([next(gradients).flatten(1) for _ in b], 1) for b in wanted], 1)
        )
    return torch.stack(rows, 1).numpy()


def hessians(problem: Problem, weights: Array) -> Array:
    """J^T J on held-out data, (n, L, k, L, k); see `Problem.jacobian`."""
    J = problem.jacobian(weights)
    n, _, L, k = J.shape
    flat = J.reshape(n, -1, L * k)
    return np.asarray((flat.transpose(0, 2, 1) @ flat).reshape(n, L, k, L, k))


def force_ratios(hessian: Array, optimum: Array, weights: Array, gradients: Array) -> Array:
    """Is the loss quadratic about the known optimum? (n, 2).

    Cosine of the mean gradient, (n, L, k), with H (w - w*), and |g| / |H (w - w*)|: both 1 where it
    is.
    """
    n = len(weights)
    apart = (weights - optimum).reshape(n, -1, 1)
    force = (hessian.reshape(n, apart.shape[1], -1) @ apart)[..., 0]
    g = gradients.reshape(n, -1)
    sizes = np.linalg.norm(g, axis=1), np.linalg.norm(force, axis=1)
    return np.stack([np.sum(g * force, axis=1) / (sizes[0] * sizes[1]), sizes[0] / sizes[1]], 1)
