"""Teacher and student of residual modules: SWE on the training core where the truth is known.

Teacher and student are stacks of L blocks h + V tanh(U h). The teacher's blocks are
(U*, V*) + eps (Delta_l, Delta'_l) with sum_l Delta_l = 0: eps = 0 is a truth that one shared block
reaches, and eps measures how far the truth is from sharing. The student sees fresh Gaussian inputs
at every update and the teacher's outputs, and minimises half the mean squared error.

All networks of one arm that untie together (every seed and every eps) are trained at once: a
parameter holds one matrix a network, gradients of different networks never mix, and neither plain
SGD nor AdamW couples them. SWE-A and SWE-M decide for each network alone: those that untie are run
again, one by one.

Rates: the same grid for every arm; per (optimiser, eps, arm) the rate with the least mean final
loss is kept, and all of them are in the result. Arms are compared by the difference of
log10 final loss within a seed, against the equal start (tying's own gain) and the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evidence.comparison import compare
from swe.sharing.layout import Layout
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    Schedule,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.stack import SharedStack
from theory.toys.training import Watch, network_correlations, train

DEPTH, WIDTH, ROWS = 6, 8, 16
DEVIATIONS = (0.0, 0.1, 0.3, 1.0)
RATES = {"sgd": (0.2, 0.3, 0.4, 0.5, 0.6), "adamw": (0.02, 0.03, 0.06, 0.1)}
"""Grids that reach beyond the best rate of every arm; at 0.5 SGD diverges on most networks."""
FIXED = {f"swe-f {percent} %": percent / 100 for percent in (2, 5, 10, 20, 40)}
ARMS: dict[str, Callable[[], Schedule]] = {
    "baseline": lambda: NeverShared(),
    "equal-start": lambda: EqualStart(),
    **{name: partial(SweFixed, until=tau) for name, tau in FIXED.items()},
    "swe-f 10 %, 2x3": lambda: SweFixed(unit=2, until=0.1),
    "always-shared": lambda: AlwaysShared(),
    "swe-a": lambda: SweAdaptive(interval=10),
    "swe-m": lambda: SweMultistage(interval=10),
}
ADAPTIVE = ("swe-a", "swe-m")
SCALES = {"smoke": (40, 2), "small": (300, 5), "full": (4000, 20)}
"""Updates and seeds."""


class Block(nn.Module):
    """h + V tanh(U h) for n networks at once: U, V (n, d, d)."""

    def __init__(self, inner: Tensor, outer: Tensor) -> None:
        super().__init__()
        self.inner, self.outer = nn.Parameter(inner.clone()), nn.Parameter(outer.clone())

    def forward(self, hidden: Tensor) -> Tensor:
        """(n, d, rows) -> (n, d, rows)."""
        return hidden + self.outer @ torch.tanh(self.inner @ hidden)


def _blocks(draws: np.ndarray) -> list[Block]:
    """Blocks from (n, depth, 2, d, d)."""
    weights = torch.from_numpy(draws)
    return [Block(weights[:, layer, 0], weights[:, layer, 1]) for layer in range(draws.shape[1])]


def networks(seed: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw teachers and starts: each (len(DEVIATIONS) * seeds, DEPTH, 2, d, d), eps-major.

    One seed has the same U*, V*, Delta and start at every eps, so comparisons over eps are paired.
    """
    rng = np.random.default_rng([seed, 3])
    shape = (seeds, DEPTH, 2, WIDTH, WIDTH)
    scale = 1 / np.sqrt(WIDTH * DEPTH)
    common = rng.standard_normal((seeds, 1, *shape[2:])) * scale
    own = rng.standard_normal(shape) * scale
    own -= own.mean(axis=1, keepdims=True)
    start = rng.standard_normal(shape) * scale
    teachers = np.concatenate([common + eps * own for eps in DEVIATIONS])
    return teachers, np.concatenate([start] * len(DEVIATIONS))


def batch_of(seed: int, step: int) -> Tensor:
    """Inputs of one update, (1, WIDTH, ROWS): a function of (seed, update)."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + step)
    return torch.randn(1, WIDTH, ROWS, generator=source, dtype=torch.float64)


def fit(
    teacher: np.ndarray,
    start: np.ndarray,
    schedule: Schedule,
    optimiser: str,
    rate: float,
    steps: int,
    seed: int,
    watch: Watch | None = None,
) -> tuple[np.ndarray, int]:
    """Train n students; returns their final losses on held-out inputs, (n,), and the first untie.

    The inputs are a function of (seed, update) and the same for every network. Rate decays linearly
    to zero. The untie is -1 when there was none. `watch`: see `theory.toys.training.train`.
    """
    truth = nn.Sequential(*_blocks(teacher)).requires_grad_(requires_grad=False)
    stack = SharedStack(_blocks(start), Layout.untied(DEPTH))

    def losses(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = truth(inputs.expand(len(teacher), -1, -1))
        found: Tensor = stack(inputs.expand(len(teacher), -1, -1))
        return 0.5 * (found - wanted).square().mean(-1).sum(-1)

    rates = [rate * (steps - step) / steps for step in range(steps)]
    untied = train(
        stack, lambda step: losses(batch_of(seed, step)), schedule, optimiser, rates, watch
    )
    held = torch.randn(
        1, WIDTH, 512, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    )
    with torch.no_grad():
        return losses(held).numpy(), untied[0] if untied else -1


def run_arm(
    arm: str,
    optimiser: str,
    rate: float,
    teachers: np.ndarray,
    starts: np.ndarray,
    steps: int,
    seed: int,
) -> tuple[np.ndarray, list[int]]:
    """Final losses (n,) and first unties of one arm at one rate.

    An adaptive arm is the tied run until it unties: networks whose rule never fires take the tied
    run's loss, the others run one by one.
    """
    schedule = ARMS[arm]()
    if arm not in ADAPTIVE:
        losses, untied = fit(teachers, starts, schedule, optimiser, rate, steps, seed)
        return losses, [untied] * len(teachers)
    assert isinstance(schedule, (SweAdaptive, SweMultistage))
    losses, fires = tied_with_rule(teachers, starts, schedule, optimiser, rate, steps, seed)
    unties = [-1] * len(teachers)
    for i in np.flatnonzero(fires):
        alone = slice(i, i + 1)
        losses[alone], unties[i] = fit(
            teachers[alone], starts[alone], schedule, optimiser, rate, steps, seed
        )
    return losses, unties


def tied_with_rule(
    teachers: np.ndarray,
    starts: np.ndarray,
    schedule: SweAdaptive | SweMultistage,
    optimiser: str,
    rate: float,
    steps: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Run every network tied to the end; its loss, and whether the rule would have untied it."""
    states = [schedule.start(DEPTH)] * len(teachers)
    fires = np.zeros(len(teachers), dtype=bool)

    def watch(
        step: int, stack: SharedStack, swe: ShareThenUnshare, losses: Callable[[], Tensor]
    ) -> None:
        if step == steps or not schedule.wants_correlations(swe.state, step):
            return
        for i, cosines in enumerate(network_correlations(stack, losses).tolist()):
            if not fires[i]:
                states[i] = schedule.decide(states[i], step, steps, cosines)
                fires[i] = states[i].layout != swe.state.layout

    losses, _ = fit(teachers, starts, AlwaysShared(), optimiser, rate, steps, seed, watch)
    return losses, fires


def study(seed: int, scale: str) -> dict[str, Any]:
    """All arms, optimisers, deviations and rates; JSON-able (see the module's docstring)."""
    steps, seeds = SCALES[scale]
    return compare_arms(seed, steps, seeds, RATES)


def compare_arms(
    seed: int, steps: int, seeds: int, grid: Mapping[str, tuple[float, ...]]
) -> dict[str, Any]:
    """As `study`, with the updates, the number of seeds and each optimiser's grid of rates."""
    teachers, starts = networks(seed, seeds)
    settings = []
    for optimiser, rates in grid.items():
        tried: dict[str, list[np.ndarray]] = {}
        unties: dict[str, list[list[int]]] = {}
        for arm in ARMS:
            runs = [run_arm(arm, optimiser, rate, teachers, starts, steps, seed) for rate in rates]
            tried[arm] = [np.log10(losses).reshape(-1, seeds) for losses, _ in runs]
            unties[arm] = [untied for _, untied in runs]
        for index, eps in enumerate(DEVIATIONS):
            final: dict[str, dict[int, float]] = {}
            chosen: dict[str, Any] = {}
            for arm in ARMS:
                means = [float(values[index].mean()) for values in tried[arm]]
                best = int(np.nanargmin(means))  # a rate that diverged is never the best
                final[arm] = dict(enumerate(tried[arm][best][index].tolist()))
                chosen[arm] = {
                    "rate": rates[best],
                    "mean_by_rate": {
                        str(rate): mean if np.isfinite(mean) else None
                        for rate, mean in zip(rates, means, strict=True)
                    },
                    "untied_at": unties[arm][best][index * seeds : (index + 1) * seeds],
                }
            settings.append(
                {
                    "optimiser": optimiser,
                    "eps": eps,
                    "chosen": chosen,
                    "against_equal_start": compare(final, "equal-start"),
                    "against_baseline": compare(final, "baseline"),
                }
            )
    return {
        "depth": DEPTH,
        "width": WIDTH,
        "rows": ROWS,
        "steps": steps,
        "seeds": seeds,
        "arms": list(ARMS),
        "settings": settings,
    }
