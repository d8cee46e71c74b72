"""A run's arithmetic: its precision, and on the CPU its kernels, within a context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch

from swe.run.attention import PRODUCTS, within
from swe.run.cast_once import CastWeights
from swe.run.cpu_kernels import CpuKernels

Precision = Literal["float32", "bfloat16"]


@contextmanager
def arithmetic(
    device: str, precision: str, attention: str, casts: CastWeights | None
) -> Iterator[None]:
    """Compute in ``precision``; on the CPU by the kernel ``attention``, with weights of ``casts``.

    ``casts`` None: autocast casts a weight at each of its uses.
    """
    with ExitStack() as stack:
        # With the weight cache a tied block would sum its uses' gradients in bfloat16.
        enabled = precision == "bfloat16"
        stack.enter_context(
            torch.autocast(device, torch.bfloat16, enabled=enabled, cache_enabled=False)
        )
        if device == "cpu":
            stack.enter_context(within(attention))
            products = attention == PRODUCTS
            if products or casts is not None:
                stack.enter_context(CpuKernels(products, casts))
        yield


def has_bfloat16_units() -> bool:
    """Whether this processor multiplies bfloat16 numbers by itself; others are slower at it."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
