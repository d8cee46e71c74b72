"""The staircase as a network: skills that have to be learnt one after the other.

L modules of one number w_l each. Skill k needs the first k: P_k = prod_{l<=k} w_l^2, and its loss
is (1 - P_k)^2 / 2, k uniform in 1..L. An update sees `ROWS` skills drawn at random, so there is
gradient noise; held out are all of them, each once. The least loss is 0, at w_l = 1 for every l:
one shared module is a solution, but its first skill is diluted by the mean over all modules. Flow
and sign descent of this loss are solved in `theory.models.staircase`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys.problems import HELD, for_each_run, untied
from theory.toys.unrolled import ROWS


class Step(nn.Module):
    """Append the next skill's product, w^2 times the last one, to those before: (n, k) -> k + 1."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, products: Tensor) -> Tensor:
        """See the class; `weight` is (n, 1)."""
        return torch.cat([products, products[:, -1:] * self.weight.square()], dim=1)


@dataclass(frozen=True, kw_only=True)
class Staircase:
    """n staircases; `draws`: independent starts, (n, L, 1); `seeds`: of each network's skills."""

    draws: Array
    seeds: tuple[int, ...]

    def stack(self, weights: Array) -> SharedStack:
        """See `theory.toys.problems.Trained`."""
        return untied([Step(torch.from_numpy(part)) for part in weights.transpose(1, 0, 2)])

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """See `theory.toys.problems.Trained`."""
        L = self.draws.shape[1]
        products: Tensor = stack(for_each_run(stack, torch.ones(len(self.draws), 1)))
        each = 0.5 * (1 - products[:, 1:]).square()
        if step >= HELD:
            return each.mean(1)
        shares = torch.stack([_shares(seed, step, L) for seed in self.seeds])
        return (each * for_each_run(stack, shares)).sum(1)


def _shares(seed: int, step: int, skills: int) -> Tensor:
    """Share of each skill in one update's rows, (skills,)."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + step)
    drawn = torch.randint(skills, (ROWS,), generator=source)
    return torch.bincount(drawn, minlength=skills).double() / ROWS


def staircase(seeds: tuple[int, ...], *, depth: int, start: float, spread: float) -> Staircase:
    """Draw one network for each seed: w_l(0) = start exp(spread z), z standard Gaussian."""
    draws = [
        start * np.exp(spread * np.random.default_rng([seed, 14]).standard_normal((depth, 1)))
        for seed in seeds
    ]
    return Staircase(draws=np.stack(draws), seeds=seeds)
