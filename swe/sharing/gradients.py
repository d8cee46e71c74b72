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

    What requires a gradient is looked up at each call: layers may be frozen and thawed meanwhile.

    Build it anew after every change of layout. ``clip_norm`` None leaves the length alone. The
    norm is the untied-equivalent one under ``mean`` (a block used n times counts n times its
    averaged gradient), and the plain one over parameters under ``sum``. Of sharded gradients (FSDP)
    each rank touches its own shard, and the norm is that of all: one number is reduced.
    """

    def __init__(
        self, model: nn.Module, convention: Convention = "mean", clip_norm: float | None = None
    ) -> None:
        uses = parameter_uses(model)
        own = list(named(model))
        self.parameters = [p for _, p in own]
        self.clip_norm = clip_norm
        self._counts = [uses[name] if convention == "mean" else 1 for name, _ in own]

    @property
    def shared(self) -> list[nn.Parameter]:
        """The parameters whose gradients :meth:`apply` divides, each time that it is called."""
        return [p for p, n in zip(self.parameters, self._counts, strict=True) if n > 1]

    @torch.no_grad()
    def apply(self) -> Tensor:
        """Rescale, measure and clip in place; returns the norm before clipping (0-d, on device).

        Parameters that require no gradient now are left out. A sparse gradient (of an Embedding)
        becomes a coalesced one: the norm of its parts is not the norm of their sum.
        """
        held = [
            (gradient, n)
            for p, n in zip(self.parameters, self._counts, strict=True)
            if p.requires_grad and (gradient := _gradient(p)) is not None
        ]
        shared = [(local(gradient), 1.0 / n) for gradient, n in held if n > 1]
        if shared:
            torch._foreach_mul_([g for g, _ in shared], [scale for _, scale in shared])
        norm = _norm_over_ranks([(gradient, math.sqrt(n)) for gradient, n in held])
        gradients = [local(gradient) for gradient, _ in held]
        if self.clip_norm is not None:
            torch._foreach_mul_(gradients, torch.clamp(self.clip_norm / (norm + 1e-12), max=1.0))
        return norm


def _gradient(parameter: nn.Parameter) -> Tensor | None:
    """Return the tensor that holds the gradient's entries: of a sparse one its values."""
    gradient = parameter.grad
    if gradient is None or gradient.layout is not torch.sparse_coo:
        return gradient
    if not gradient.is_coalesced():
        parameter.grad = gradient = gradient.coalesce()
    return gradient._values()


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
