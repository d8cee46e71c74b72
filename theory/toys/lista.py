"""LISTA, the textbook unrolled network: sparse codes from their measurements.

h_0 = 0, h <- soft(W_l u + S_l h, theta_l) for l = 1..L, soft(z, theta) = sign(z) max(|z| - theta,
0), after Gregor and LeCun, ICML 2010 (their encoder ties all layers). u = A x: A (m, p) has
Gaussian columns of length 1, p > m, and each entry of the code x is standard Gaussian with
probability `DENSITY`, else 0. With W = A^T / c, S = I - A^T A / c and theta = alpha / c, c the
largest eigenvalue of A^T A, in every layer the network is ISTA itself, which is the sense in which
one shared module is near the truth; the least error for finite L is no such network, and is not 0.
The loss is half the squared error of h_L against x. Starts: W and S Gaussian of standard deviation
1 / sqrt(m) and 0.9 / sqrt(p), theta = 0.1, independent over layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys.problems import HELD, for_each_run, untied
from theory.toys.unrolled import HELD_ROWS, ROWS

DENSITY = 0.125
THRESHOLD = 0.1
"""theta at the start."""


class Soft(torch.autograd.Function):
    """soft(z, theta): z (n, p, rows), theta (n, p). Half the time of autograd's six operations."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor) -> Tensor:
        """See the class."""
        out = (z.abs() - threshold[..., None]).clamp_min_(0.0).copysign_(z)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """d soft / dz = [soft != 0], d soft / d theta = -sign(soft)."""
        (out,) = ctx.saved_tensors
        sign = out.sgn()
        signed = gradients[0] * sign
        return signed * sign, -signed.sum(-1)


class Shrinking(nn.Module):
    """soft(W u + S h, theta) for n networks: W (n, p, m), S (n, p, p), theta (n, p)."""

    def __init__(self, read: Tensor, mix: Tensor, threshold: Tensor) -> None:
        super().__init__()
        self.read, self.mix = nn.Parameter(read.clone()), nn.Parameter(mix.clone())
        self.threshold = nn.Parameter(threshold.clone())

    def forward(self, hidden: Tensor, inputs: Tensor) -> Tensor:
        """Hidden (n, p, rows) and inputs (n, m, rows) -> (n, p, rows)."""
        z = torch.baddbmm(self.read @ inputs, self.mix, hidden)
        out: Tensor = Soft.apply(z, self.threshold)
        return out


@dataclass(frozen=True, kw_only=True)
class Lista:
    """Sparse codes x from u = A x, see the module's docstring.

    `matrices`: A of each network, (n, m, p). `draws`: independent starts, (n, L, k) with
    k = p m + p p + p (W, S, theta). `seeds`: of each network's codes.
    """

    matrices: Array
    draws: Array
    seeds: tuple[int, ...]

    def stack(self, weights: Array) -> SharedStack:
        """See `theory.toys.problems.Trained`."""
        n, L, _ = weights.shape
        m, p = self.matrices.shape[1:]
        read, mix, threshold = torch.from_numpy(weights).split([p * m, p * p, p], dim=-1)
        return untied(
            [
                Shrinking(
                    read[:, layer].reshape(n, p, m),
                    mix[:, layer].reshape(n, p, p),
                    threshold[:, layer],
                )
                for layer in range(L)
            ]
        )

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """See `theory.toys.problems.Trained`."""
        codes = torch.stack([_codes(seed, step, self.matrices.shape[2]) for seed in self.seeds])
        inputs = torch.from_numpy(self.matrices) @ codes
        codes, inputs = for_each_run(stack, codes), for_each_run(stack, inputs)
        found: Tensor = stack(torch.zeros_like(codes), inputs)
        return 0.5 * (found - codes).square().mean(-1).sum(-1)


def _codes(seed: int, step: int, p: int) -> Tensor:
    """Codes of one update, (p, rows)."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + step)
    rows = HELD_ROWS if step >= HELD else ROWS
    values = torch.randn(p, rows, generator=source, dtype=torch.float64)
    chosen = torch.rand(p, rows, generator=source, dtype=torch.float64) < DENSITY
    return values * chosen


def lista(seeds: tuple[int, ...], *, depth: int, codes: int, measured: int) -> Lista:
    """Draw one network for each seed; `codes` = p, `measured` = m."""
    matrices, starts = [], []
    for seed in seeds:
        rng = np.random.default_rng([seed, 13])
        A = rng.standard_normal((measured, codes))
        matrices.append(A / np.linalg.norm(A, axis=0))
        read = rng.standard_normal((depth, codes * measured)) / np.sqrt(measured)
        mix = rng.standard_normal((depth, codes * codes)) * 0.9 / np.sqrt(codes)
        threshold = np.full((depth, codes), THRESHOLD)
        starts.append(np.concatenate([read, mix, threshold], axis=1))
    return Lista(matrices=np.stack(matrices), draws=np.stack(starts), seeds=seeds)
