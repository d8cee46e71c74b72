"""The mean convention of shared gradients, and clipping that means the same tied and untied.

Autograd gives a tied parameter the SUM of its uses' gradients; the paper's update takes the MEAN.
Adam mostly hides the factor, SGD, clipping and Adam's epsilon do not. With ``mean`` a tied model
moves exactly as an untied one whose layers all step along the averaged gradient; ``sum`` is what
plain weight tying does (as in ALBERT code).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from swe.sharing.local import is_sharded, local
from swe.sharing.stack import all_stacks, block_of_parameters
from swe.sharing.weights import named

Convention = Literal["mean", "sum"]


def parameter_uses(model: nn.Module) -> dict[str, int]:
    """How many logical layers run each parameter: {name: uses}, 1 outside the stack."""
    uses = {name: 1 for name, _ in named(model)}
    for prefix, stack in all_stacks(model):
        for name, block in block_of_parameters(prefix, stack).items():
            if name in uses:
                uses[name] = stack.layout.uses[block]
    return uses


class GradientRule:
    """Scale and clip the gradients of one model in its present layout, without a device sync.

    Build it anew after every change of layout. ``clip_norm`` None leaves the length alone. The
    norm is the untied-equivalent one under ``mean`` (a block used n times counts n times its
    averaged gradient), and the plain one over parameters under ``sum``. Of sharded gradients (FSDP)
    each rank touches its own shard, and the norm is that of all: one number is reduced.
    """

    def __init__(
        self, model: nn.Module, convention: Convention = "mean", clip_norm: float | None = None
    ) -> None:
        uses = parameter_uses(model)
        self.parameters = [p for _, p in named(model) if p.requires_grad]
        counts = [uses[name] for name, p in named(model) if p.requires_grad]
        self.clip_norm = clip_norm
        mean = convention == "mean"
        self._shared = [p for p, n in zip(self.parameters, counts, strict=True) if mean and n > 1]
        self._scales = [1.0 / n for n in counts if mean and n > 1]
        self._weights = [math.sqrt(n) if mean else 1.0 for n in counts]

    @torch.no_grad()
    def apply(self) -> Tensor:
        """Rescale, measure and clip in place; returns the norm before clipping (0-d, on device)."""
        shared = [
            (local(p.grad), scale)
            for p, scale in zip(self._shared, self._scales, strict=True)
            if p.grad is not None
        ]
        if shared:
            torch._foreach_mul_([g for g, _ in shared], [scale for _, scale in shared])
        held = [
            (p.grad, w)
            for p, w in zip(self.parameters, self._weights, strict=True)
            if p.grad is not None
        ]
        norm = _norm_over_ranks(held)
        gradients = [local(gradient) for gradient, _ in held]
        if self.clip_norm is not None:
            torch._foreach_mul_(gradients, torch.clamp(self.clip_norm / (norm + 1e-12), max=1.0))
        return norm


def _norm_over_ranks(held: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Return the weighted norm of whole and sharded gradients, the same on every rank."""
    whole = [(g, w) for g, w in held if not is_sharded(g)]
    shards = [(local(g), w) for g, w in held if is_sharded(g)]
    norm = weighted_norm([g for g, _ in whole], [w for _, w in whole])
    if not shards:
        return norm
    square = weighted_norm([g for g, _ in shards], [w for _, w in shards]).square()
    dist.all_reduce(square)
    return torch.sqrt(norm.to(square.device).square() + square)


def weighted_norm(gradients: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return sqrt(sum_i (weights[i] * ||gradients[i]||)^2) as a 0-d tensor."""
    if not gradients:
        return torch.zeros(())
    norms = torch.stack(torch._foreach_norm(list(gradients)))
    return torch.linalg.vector_norm(norms * _constant(tuple(weights), norms.dtype, norms.device))


@functools.lru_cache(maxsize=16)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return ``values`` as a tensor; it is copied to the device once, not at every step."""
    return torch.tensor(values, dtype=dtype, device=device)
