"""Which of torch's attention kernels is fastest for this run's shape, by measurement, on CUDA.

Torch picks by a fixed order of preference; the fastest depends on length, head width, dropout and
device. The choice changes the last digits, so a run keeps the one it began with: it is recorded in
``environment.json`` and read back on resume. On the CPU torch's own choice stands.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
CHOICES = ("measured", "default", *KERNELS)
"""What ``SpeedConfig.attention`` may be."""


@dataclass(frozen=True)
class AttentionShape:
    """Shape of one self-attention call without a mask. A task may offer it as ``attention``."""

    rows: int
    heads: int
    length: int
    width: int
    """Of one head."""
    dropout: float
    causal: bool = False
    """Whether a token sees only those before it."""


def choose(
    task: Any, choice: str, precision: str, device: torch.device
) -> tuple[str, dict[str, float | None]]:
    """Set the kernel for this process; returns (its name, milliseconds of each measured kernel).

    "default" with nothing measured where the device is no CUDA device, or the task has no attention
    to speak of. A kernel that cannot do the shape has None.
    """
    shape: AttentionShape | None = getattr(task, "attention", None)
    if device.type != "cuda" or shape is None or choice == "default":
        return "default", {}
    times: dict[str, float | None] = {}
    if choice == "measured":
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        times = measure(shape, kind, device)
        usable = {name: value for name, value in times.items() if value is not None}
        choice = min(usable, key=usable.__getitem__) if usable else "default"
    if choice != "default":
        use(choice)
    return choice, times


def use(name: str) -> None:
    """Let torch choose among kernel ``name`` and the plain products, for this process."""
    torch.backends.cuda.enable_flash_sdp(name == "flash")
    torch.backends.cuda.enable_cudnn_sdp(name == "cudnn")
    torch.backends.cuda.enable_mem_efficient_sdp(name == "efficient")
    torch.backends.cuda.enable_math_sdp(True)  # for shapes that the chosen one refuses


def measure(
    shape: AttentionShape, dtype: torch.dtype, device: torch.device, repeats: int = 5
) -> dict[str, float | None]:
    """Median milliseconds of a forward and backward pass by each kernel; None: cannot do it."""
    draw = torch.Generator(device=device).manual_seed(0)
    size = (shape.rows, shape.heads, shape.length, shape.width)
    query, key, value, pull = (
        torch.randn(size, generator=draw, device=device, dtype=dtype) for _ in range(4)
    )
    inputs = [tensor.requires_grad_() for tensor in (query, key, value)]

    def once() -> None:
        out = scaled_dot_product_attention(
            query, key, value, dropout_p=shape.dropout, is_causal=shape.causal
        )
        torch.autograd.grad(out, inputs, pull)

    times: dict[str, float | None] = {}
    with torch.random.fork_rng(devices=[device]):
        for name, kernel in KERNELS.items():
            try:
                with sdpa_kernel([kernel]):
                    times[name] = _milliseconds(once, repeats)
            except RuntimeError:  # torch's word for "not available" and for "no memory"
                times[name] = None
    torch.cuda.empty_cache()
    return times


def _milliseconds(work: Callable[[], None], repeats: int) -> float:
    for _ in range(3):
        work()
    marks = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        for _ in range(repeats)
    ]
    for begin, end in marks:
        begin.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(begin.elapsed_time(end) for begin, end in marks)
