"""What becomes of Adam's moments at the untie: update lengths and losses after tau, on the core.

Students of `DEPTH` residual blocks learn a teacher whose blocks differ a little (as in
`theory.toys.teacher_student`), tied until tau. The arms differ in the optimiser's state at tau:

- "copy", "reset", "rescale": the modes of `swe.sharing.unshare`, gradients by the mean convention;
- "sum copy", "sum rescale": the sum convention, under which the tied moments are those of DEPTH
  times the mean gradient;
- "own": what an optimiser of each layer's own would hold on the same path: moments of the layers'
  own gradients, gathered while the weights move tied. The mark to meet, at twice the cost;
- "untied": an equal start that is never tied, for the length of its updates at the same step;
- "untied reset": the same with its moments reset at tau: what a reset does where nothing is untied.

The length of an update is its root mean square over the stack's weights, in units of the learning
rate. `theory.toys.adam_unshare` has the same question for tau and loss on the quadratic.

All networks (seeds) train at once, one matrix a network in each parameter, as many parameters of a
large model do: they do not mix but for `rescale`, whose one factor a layer is measured over all.
Rates: one grid for all arms; an arm's rate is chosen on half of the networks, the arm is judged on
the other half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evidence.comparison import Interval, compare
from swe.sharing.gradients import Convention
from swe.sharing.layout import Layout
from swe.sharing.schedule import EqualStart, Schedule, ShamUntie, SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import SharedStack
from swe.sharing.unshare import Moments
from theory.numerics.scales import check_scale
from theory.toys.teacher_student import Block

DEPTH, WIDTH, DEVIATION = 12, 8, 0.3
BETAS = (0.9, 0.999)
RATES = (3e-3, 1e-2, 3e-2)
"""At 0.1 every arm's final loss is higher again."""
WINDOWS = ((0, 10), (10, 50), (50, 150))
"""Updates after tau over which lengths are averaged."""
ARMS: dict[str, tuple[Convention, Moments]] = {
    "copy": ("mean", "copy"), "reset": ("mean", "reset"), "rescale": ("mean", "rescale"),
    "sum copy": ("sum", "copy"), "sum rescale": ("sum", "rescale"),
    "own": ("mean", "copy"), "untied": ("mean", "copy"), "untied reset": ("mean", "reset"),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One comparison. tau and the run's length are in updates.

    ``strength``: how much a block adds, relative to 1 / sqrt(DEPTH) of what comes in. Weak blocks
    see almost the same gradient each, strong ones gradients of their own. ``rows`` in a batch: with
    few, gradients are mostly noise.
    """

    strength: float
    rows: int
    tau: int
    steps: int


def draw(seed: int, count: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Teachers and starts, each (count, DEPTH, 2, WIDTH, WIDTH)."""
    rng = np.random.default_rng([seed, 5])
    shape = (count, DEPTH, 2, WIDTH, WIDTH)
    scale = np.sqrt(strength / WIDTH) / DEPTH**0.25  # a block is a product of two matrices
    common = rng.standard_normal((count, 1, *shape[2:])) * scale
    own = rng.standard_normal(shape) * scale
    own -= own.mean(axis=1, keepdims=True)
    return common + DEVIATION * own, rng.standard_normal(shape) * scale


def blocks(draws: np.ndarray) -> list[Block]:
    """The blocks of (count, DEPTH, 2, d, d) as modules for all networks at once."""
    weights = torch.from_numpy(draws)
    return [Block(weights[:, layer, 0], weights[:, layer, 1]) for layer in range(draws.shape[1])]


class Examples:
    """Inputs and a teacher's outputs: a batch for every update, and 512 held-out rows."""

    def __init__(self, teachers: np.ndarray, setting: Setting, seed: int) -> None:
        truth = nn.Sequential(*blocks(teachers)).requires_grad_(requires_grad=False)
        source = torch.Generator().manual_seed(seed + 1)
        sizes = [512] + [setting.rows] * setting.steps
        drawn = [torch.randn(WIDTH, n, generator=source, dtype=torch.float64) for n in sizes]
        inputs = [rows.expand(len(teachers), -1, -1) for rows in drawn]
        self.held, *self.batches = [(rows, truth(rows)) for rows in inputs]


class OwnMoments:
    """Adam's moments of each layer's own gradients, gathered while the layers are tied."""

    def __init__(self, stack: SharedStack) -> None:
        self.stack = stack
        self.moments: list[dict[str, tuple[Tensor, Tensor]]] = [{} for _ in range(DEPTH)]

    def gather(self, loss: Any) -> None:
        """Take in the gradients of one batch."""
        with self.stack.layer_leaves() as leaves:
            names = [(layer, name) for layer, found in enumerate(leaves) for name in found]
            tensors = [leaves[layer][name] for layer, name in names]
            gradients = torch.autograd.grad(loss(), tensors)
        for (layer, name), gradient in zip(names, gradients, strict=True):
            zero = torch.zeros_like(gradient)
            first, second = self.moments[layer].get(name, (zero, zero))
            self.moments[layer][name] = (
                BETAS[0] * first + (1 - BETAS[0]) * gradient,
                BETAS[1] * second + (1 - BETAS[1]) * gradient.square(),
            )

    def install(self, optimizer: torch.optim.Optimizer) -> None:
        """Put them in the place of the moments that the untied layers have."""
        for layer, block in enumerate(self.stack.blocks):
            for name, parameter in block.named_parameters():
                first, second = self.moments[layer][name]
                optimizer.state[parameter] |= {"exp_avg": first, "exp_avg_sq": second}


def fit(
    arm: str, examples: Examples, starts: np.ndarray, setting: Setting, rate: float
) -> dict[str, np.ndarray]:
    """Train all networks by one arm at one rate (linear decay).

    Returns "length" (steps - tau, n), root mean square update over the rate, from tau on;
    "losses" (4, n), on held-out inputs before tau, 10 and 50 updates after, and at the end;
    "alignment" (1,) of the layers' gradients at the untie (NaN without one).
    """
    convention, moments = ARMS[arm]
    schedule: Schedule = SweFixed(until=setting.tau)
    stack = SharedStack(blocks(starts), Layout.untied(DEPTH))
    if arm.startswith("untied"):
        schedule = EqualStart() if arm == "untied" else ShamUntie(until=setting.tau)
        prepare(stack, EqualStart())
    else:
        prepare(stack, schedule)
    optimizer = torch.optim.AdamW(stack.parameters(), lr=rate, betas=BETAS, weight_decay=0.0)
    swe = ShareThenUnshare(
        stack, optimizer, schedule, setting.steps, convention=convention, moments=moments
    )
    own = OwnMoments(stack)

    def losses(example: tuple[Tensor, Tensor]) -> Tensor:
        error: Tensor = stack(example[0]) - example[1]
        return 0.5 * error.square().mean(-1).sum(-1)

    looks = (setting.tau, setting.tau + 10, setting.tau + 50)
    lengths, kept, alignment = [], [], np.nan
    for step, batch in enumerate(examples.batches):
        if step in looks:
            with torch.no_grad():
                kept.append(losses(examples.held).numpy())
        held = lambda example=batch: losses(example).sum()  # noqa: E731
        event = swe.begin_step(step, held, measure=step == setting.tau)
        if event is not None and event.before != event.after and swe.statistics is not None:
            alignment = swe.statistics.alignment
        if arm == "own" and event is not None:
            own.install(optimizer)
        elif arm == "own" and step < setting.tau:
            own.gather(held)
        held().backward()
        swe.finish_gradients()
        now = rate * (setting.steps - step) / setting.steps
        optimizer.param_groups[0]["lr"] = now
        before = [p.detach().clone() for p in stack.parameters()] if step >= setting.tau else []
        optimizer.step()
        optimizer.zero_grad()
        if before:
            pairs = zip(stack.parameters(), before, strict=True)
            squares = torch.stack([(p.detach() - b).square().mean((1, 2)) for p, b in pairs])
            lengths.append((squares.mean(0).sqrt() / now).numpy())
    with torch.no_grad():
        kept.append(losses(examples.held).numpy())
    return {
        "length": np.array(lengths),
        "losses": np.array(kept),
        "alignment": np.array([alignment]),
    }


def _interval(values: np.ndarray) -> dict[str, Any]:
    found = Interval.of([float(value) for value in values])
    return {"n": found.n, "mean": found.mean, "low": found.low, "high": found.high}


def measure(setting: Setting, networks: int, rates: tuple[float, ...], seed: int) -> dict[str, Any]:
    """All arms in one setting, JSON-able.

    "lengths": at one rate, the middle of the grid, log2 of an arm's update length over the untied
    run's and over "own"'s at the same step; 0 is the same length. Means and intervals over the
    networks for each of "windows", and the curves. "best_rate_end": log10 of the final losses, each
    arm at its own best rate, compared within a network; "same_rate": all at that middle rate, on
    the way too.
    """
    teachers, starts = draw(seed, networks, setting.strength)
    examples = Examples(teachers, setting, seed)
    found = {
        (arm, rate): fit(arm, examples, starts, setting, rate) for arm in ARMS for rate in rates
    }
    middle, half = rates[(len(rates) - 1) // 2], networks // 2
    windows = [(a, min(b, setting.steps - setting.tau)) for a, b in WINDOWS]
    lengths: dict[str, Any] = {}
    for arm in ARMS:
        entry: dict[str, Any] = {}
        for reference in ("untied", "own"):
            ratio = np.log2(found[arm, middle]["length"] / found[reference, middle]["length"])
            entry[f"over {reference}"] = [
                _interval(ratio[a:b].mean(0)) for a, b in windows if a < b
            ]
            entry[f"curve over {reference}"] = ratio.mean(1).tolist()
        lengths[arm] = entry
    final = {key: np.log10(run["losses"]) for key, run in found.items()}
    best = {
        arm: min(rates, key=lambda rate: float(final[arm, rate][-1, :half].mean())) for arm in ARMS
    }
    judged = {arm: final[arm, best[arm]][:, half:] for arm in ARMS}
    at = ("before", "after 10", "after 50", "end")
    fixed = {arm: final[arm, middle] for arm in ARMS}
    return {
        "strength": setting.strength,
        "alignment": float(found["copy", middle]["alignment"][0]),
        "rows": setting.rows,
        "tau": setting.tau,
        "steps": setting.steps,
        "rates": list(rates),
        "windows": windows,
        "middle_rate": middle,
        "lengths": lengths,
        "rate": best,
        "by_rate": {
            arm: {f"{rate:g}": float(final[arm, rate][-1].mean()) for rate in rates} for arm in ARMS
        },
        "best_rate_end": {
            reference: compare(
                {arm: dict(enumerate(judged[arm][-1].tolist())) for arm in ARMS}, reference
            )
            for reference in ("copy", "untied")
        },
        "same_rate": {
            look: compare({arm: dict(enumerate(fixed[arm][k].tolist())) for arm in ARMS}, "copy")
            for k, look in enumerate(at)
        },
    }


def study(seed: int, scale: str) -> dict[str, Any]:
    """Update lengths and losses after the untie by mode; JSON-able (see the module's docstring).

    "small" takes about 25 s of one core.
    """
    size = check_scale(scale)
    steps, networks = (80, 240, 1200)[size], (4, 16, 40)[size]
    taus = ((0.3,), (0.3,), (0.1, 0.3, 0.5))[size]
    rates = (RATES[1:2], RATES[1:], RATES)[size]
    settings = [
        measure(Setting(strength, 4, round(tau * steps), steps), networks, rates, seed)
        for strength in (0.3, 3.0)
        for tau in taus
    ]
    return {
        "figure": "moments",
        "seed": seed,
        "scale": scale,
        "depth": DEPTH,
        "width": WIDTH,
        "betas": list(BETAS),
        "deviation": DEVIATION,
        "networks": networks,
        "arms": list(ARMS),
        "settings": settings,
    }
