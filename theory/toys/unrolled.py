"""Unrolled blocks with input injection: a network whose layers have a use for one common module.

h_0 = u, h <- h + gamma (tanh(W_l h + u) - h) for l = 1..L, output h_L. At gamma = 1 this is a
recurrent network unrolled over L steps with a constant input; at small gamma it is a damped
iteration towards the fixed point of h = tanh(W h + u). The teacher's modules are
W*_l = 0.9 / sqrt(d) (G + eps G_l) with independent standard Gaussian matrices: at eps = 0 one
shared module is the truth, and every module but the last feeds the same nonlinear map. Starts are
0.9 / sqrt(d) N(0, 1), independent over layers; inputs u are standard Gaussian, fresh at every
update, each network's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys.problems import HELD, derivatives, for_each_run, untied

SCALE = 0.9
"""Of a module's entries, times sqrt(d): its spectral radius without deviations."""
ROWS, HELD_ROWS = 64, 512
"""Inputs of an update, and those that are held out."""
SAMPLES = 128
"""Held-out inputs of the Jacobian, of a draw of their own: two residuals for every parameter of a
network of 8 modules of width 8."""


class Injected(nn.Module):
    """h + gamma (tanh(W h + u) - h) for n networks at once: W (n, d, d)."""

    def __init__(self, weight: Tensor, gamma: float) -> None:
        super().__init__()
        self.weight, self.gamma = nn.Parameter(weight.clone()), gamma

    def forward(self, hidden: Tensor, inputs: Tensor) -> Tensor:
        """(n, d, rows) -> (n, d, rows)."""
        new = torch.tanh(torch.baddbmm(inputs, self.weight, hidden))
        return new if self.gamma == 1.0 else torch.lerp(hidden, new, self.gamma)


@dataclass(frozen=True, kw_only=True)
class Unrolled:
    """Blocks with input injection after a teacher of such blocks, see the module's docstring.

    `optimum`, `draws`: the teacher's modules and the independent starts, (n, L, d * d). `seeds`:
    of each network's inputs. Loss: half the squared error, in mean over the inputs.
    """

    optimum: Array
    draws: Array
    width: int
    gamma: float
    seeds: tuple[int, ...]

    @cached_property
    def _truth(self) -> SharedStack:
        return self.stack(self.optimum).requires_grad_(requires_grad=False)

    def stack(self, weights: Array) -> SharedStack:
        """See `theory.toys.problems.Trained`."""
        n, L, _ = weights.shape
        parts = torch.from_numpy(weights).reshape(n, L, self.width, self.width)
        return untied([Injected(parts[:, layer], self.gamma) for layer in range(L)])

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """See `theory.toys.problems.Trained`."""
        inputs = own_inputs(self.seeds, step, self.width)
        with torch.no_grad():
            wanted = self._truth(inputs, inputs)
        inputs, wanted = for_each_run(stack, inputs), for_each_run(stack, wanted)
        found: Tensor = stack(inputs, inputs)
        return 0.5 * (found - wanted).square().mean(-1).sum(-1)

    def jacobian(self, weights: Array) -> Array:
        """See `theory.toys.problems.Problem`; inputs: the first `SAMPLES` of `HELD` + 1."""
        n, L, k = weights.shape
        inputs = own_inputs(self.seeds, HELD + 1, self.width)[:, :, :SAMPLES]
        inputs = inputs.transpose(1, 2).reshape(n * SAMPLES, self.width, 1)
        stack = self.stack(weights.repeat(SAMPLES, axis=0))  # one network an input
        found: Tensor = stack(inputs, inputs)
        rows = derivatives(stack, found[..., 0]).reshape(n, -1, L, k)
        return (rows / SAMPLES**0.5).numpy()


def own_inputs(seeds: tuple[int, ...], step: int, width: int) -> Tensor:
    """Standard Gaussian inputs of one update, (n, width, rows): a function of (seed, update).

    Updates from `theory.toys.problems.HELD` on have `HELD_ROWS` inputs, all others `ROWS`.
    """
    return torch.stack([_gaussian(seed, step, width) for seed in seeds])


def _gaussian(seed: int, step: int, width: int) -> Tensor:
    source = torch.Generator().manual_seed(seed * 1_000_003 + step)
    return torch.randn(
        width, HELD_ROWS if step >= HELD else ROWS, generator=source, dtype=torch.float64
    )


def unrolled(
    seeds: tuple[int, ...], *, depth: int, width: int, gamma: float, eps: float
) -> Unrolled:
    """Draw one network for each seed; the same G, G_l, start and inputs at every gamma and eps."""
    teachers, starts = [], []
    for seed in seeds:
        rng = np.random.default_rng([seed, 12])
        common = rng.standard_normal((1, width * width))
        own = rng.standard_normal((depth, width * width))
        teachers.append(common + eps * own)
        starts.append(rng.standard_normal((depth, width * width)))
    scale = SCALE / np.sqrt(width)
    return Unrolled(
        optimum=scale * np.stack(teachers),
        draws=scale * np.stack(starts),
        width=width,
        gamma=gamma,
        seeds=seeds,
    )
