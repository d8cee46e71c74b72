"""Within a context, torch's attention, dropout and linear maps are run as this package has them.

For any model: calls of ``torch.nn.functional`` are met where they are made. What the written-out
form does not cover (a mask, another device, second derivatives by ``torch.func``) goes to torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from swe.run.cast_once import CastWeights
from swe.run.plain_attention import attend, drop

_KINDS = (torch.float32, torch.bfloat16)


class CpuKernels(TorchFunctionMode):
    """Run attention and dropout written out (``products``), linear maps from ``casts``."""

    def __init__(self, products: bool, casts: CastWeights | None) -> None:
        super().__init__()
        self._ways: dict[Any, Callable[..., Tensor | None]] = {}
        if products:
            self._ways[functional.scaled_dot_product_attention] = _attention
            self._ways[functional.dropout] = _dropout
        if casts is not None:
            self.casts = casts
            self._ways[functional.linear] = self._linear

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` in our way if it has one for these arguments, else in torch's."""
        named = kwargs or {}
        way = self._ways.get(func)
        if way is not None and not torch._C._are_functorch_transforms_active():
            out = way(*args, **named)
            if out is not None:
                return out
        return func(*args, **named)

    def _linear(
        self,
        input: Tensor,  # noqa: A002 - torch's name
        weight: Tensor,
        bias: Tensor | None = None,
    ) -> Tensor | None:
        if not _narrowed() or not self.casts.takes(input, weight, bias):
            return None
        return self.casts.linear(input, weight, bias)


def _narrowed() -> bool:
    """Whether autocast to bfloat16 is on here; a model may switch it off for a part of itself."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    given = (query, key, value)
    if (
        attn_mask is not None
        or enable_gqa
        or any(t.ndim != 4 or t.device.type != "cpu" or t.dtype not in _KINDS for t in given)
        or len({t.shape[:2] for t in given}) > 1
    ):
        return None
    if _narrowed():
        query, key, value = (t.to(torch.bfloat16) for t in given)
    elif len({t.dtype for t in given}) > 1:
        return None
    return attend(query, key, value, dropout_p, is_causal, scale)


def _dropout(
    input: Tensor,  # noqa: A002 - torch's name
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor | None:
    if inplace or input.device.type != "cpu" or input.dtype not in _KINDS or not 0.0 <= p <= 1.0:
        return None
    return drop(input, p) if training and p > 0 else input
