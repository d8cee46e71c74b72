"""Master weights cast to bfloat16 once an update, and gradients that still add up in float32.

Autocast casts a weight at every use, a tied block's L times in the forward pass. Its own cache
casts once, but then the uses' gradients are added in bfloat16, which loses 5e-3 of their sum at 12
layers. Here the cast copy is kept and each use returns its gradient in float32, computed by the
same products in the same order as autocast's: the results are those, bit for bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_PLAIN = (Tensor, nn.Parameter)


class CastWeights:
    """Copies of weights in bfloat16, each as long as the weight stays what it was."""

    def __init__(self) -> None:
        self._copies: dict[int, tuple[Tensor, int, Tensor]] = {}
        self.casts = 0
        """Casts so far."""

    def clear(self) -> None:
        """Forget all: to be called when weights changed, or were replaced."""
        self._copies.clear()

    def takes(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether :meth:`linear` does these; others are left to autocast."""
        leaves = [weight] if bias is None else [weight, bias]
        return (
            values.device.type == "cpu"
            and values.dtype in (torch.float32, torch.bfloat16)
            and all(
                type(leaf) in _PLAIN and leaf.is_leaf and leaf.dtype == torch.float32
                for leaf in leaves
            )
        )

    def linear(self, values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``functional.linear`` in bfloat16: values (..., I), weight (O, I), bias (O,)."""
        cast = self._cast(weight), None if bias is None else self._cast(bias)
        out: Tensor = _Linear.apply(values, weight, bias, *cast)
        return out

    def _cast(self, weight: Tensor) -> Tensor:
        found = self._copies.get(id(weight))
        # The weight itself is held, so its id is no other's; its version counts changes in place.
        if found is None or found[1] != weight._version:
            self.casts += 1
            found = (weight, weight._version, weight.detach().to(torch.bfloat16))
            self._copies[id(weight)] = found
        return found[2]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        cast_weight: Tensor,
        cast_bias: Tensor | None,
    ) -> Tensor:
        narrow = values.to(torch.bfloat16)
        ctx.save_for_backward(narrow, cast_weight)
        ctx.kind = values.dtype
        return functional.linear(narrow, cast_weight, cast_bias)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, pull: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        narrow, weight = ctx.saved_tensors
        rows = pull.reshape(-1, pull.shape[-1])
        of_values = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_values = (rows @ weight).view(narrow.shape).to(ctx.kind)
        if ctx.needs_input_grad[1]:
            of_weight = (rows.t() @ narrow.reshape(-1, narrow.shape[-1])).float()
        if ctx.needs_input_grad[2]:
            of_bias = rows.sum(0).float()
        return of_values, of_weight, of_bias, None, None
