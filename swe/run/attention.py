"""Which attention kernel is fastest for this run's shape, by measurement.

Torch picks by a fixed order of preference; the fastest depends on length, head width, dropout and
device. The choice changes the last digits (and "products" the dropout masks), so a run keeps the
one it began with: it is recorded in ``environment.json`` before update 0 and read back on resume.
Runs that are compared share one by ``SpeedConfig.measured_in``. On the CPU in float32 nothing is
measured unless asked for, and torch's own choice stands: such a run is the same on every machine of
its kind.
"""

from __future__ import annotations

import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from swe.run.cpu_kernels import CpuKernels
from swe.run.measured import begun_beside, first_written

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
PRODUCTS = "products"
"""On a CPU: attention in plain products, and dropout of 16 bits (swe.run.plain_attention)."""
ON_CPU = ("flash", "math", PRODUCTS)
CHOICES = ("auto", "measured", "default", *KERNELS, PRODUCTS)
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

    def __str__(self) -> str:
        causal = "-causal" if self.causal else ""
        return f"{self.rows}x{self.heads}x{self.length}x{self.width}-{self.dropout:g}{causal}"


def choose(
    task: Any,
    choice: str,
    precision: str,
    device: torch.device,
    folder: Path | None = None,
) -> tuple[str, dict[str, float | None]]:
    """Return (name of this run's kernel, milliseconds of each measured one).

    "auto" is "measured" on CUDA and, in bfloat16, on the CPU; else "default", as it is where the
    task has no attention to speak of. A kernel that cannot do the shape has None. With ``folder``
    the first run that names it measures, and the others of the same shape take what it found; where
    nothing was kept, but a run of this task lies there, what that one has.
    """
    shape: AttentionShape | None = getattr(task, "attention", None)
    if choice == "auto":
        measured = device.type == "cuda" or precision == "bfloat16"
        choice = "measured" if measured else "default"
    if shape is None or (choice != "measured" and not _known(choice, device)):
        return "default", {}
    if choice != "measured":
        return choice, {}
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    known = ("default", *(KERNELS if device.type == "cuda" else ON_CPU))

    def find() -> dict[str, Any]:
        for run in begun_beside(folder, task):
            if (run.device, run.precision) == (device.type, precision) and run.kernel in known:
                return {"kernel": run.kernel, "milliseconds": run.milliseconds}
        times = measure(shape, kind, device)
        usable = {name: value for name, value in times.items() if value is not None}
        best = min(usable, key=usable.__getitem__) if usable else "default"
        return {"kernel": best, "milliseconds": times}

    if folder is None:
        found = find()
    else:
        path = folder / "measured" / f"attention-{device.type}-{precision}-{shape}.json"
        found = first_written(path, find, "kernel", known)
    return found["kernel"], found.get("milliseconds", {})


def _known(name: str, device: torch.device) -> bool:
    return name != "default" and name in ((*KERNELS,) if device.type == "cuda" else ON_CPU)


def use(name: str) -> None:
    """Let torch choose among CUDA kernel ``name`` and the plain products, for this process."""
    torch.backends.cuda.enable_flash_sdp(name == "flash")
    torch.backends.cuda.enable_cudnn_sdp(name == "cudnn")
    torch.backends.cuda.enable_mem_efficient_sdp(name == "efficient")
    torch.backends.cuda.enable_math_sdp(True)  # for shapes that the chosen one refuses


def within(name: str) -> AbstractContextManager[Any]:
    """Return a context in which torch's attention on a CPU is kernel ``name``.

    PRODUCTS is none of torch's: CpuKernels has it, and a call it leaves to torch gets torch's own.
    """
    if name not in KERNELS:
        return nullcontext()
    context: AbstractContextManager[Any] = sdpa_kernel([KERNELS[name], SDPBackend.MATH])
    return context


def measure(
    shape: AttentionShape, dtype: torch.dtype, device: torch.device, repeats: int = 5
) -> dict[str, float | None]:
    """Median milliseconds of a forward and backward pass by each kernel; None: cannot do it.

    Of the device on CUDA, of this process on the CPU, where other processes do not lengthen them.
    """
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

    cuda = device.type == "cuda"
    times: dict[str, float | None] = {}
    with torch.random.fork_rng(devices=[device] if cuda else []), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells at length why a kernel cannot do it
        for name in KERNELS if cuda else ON_CPU:
            only = CpuKernels(True, None) if name == PRODUCTS else sdpa_kernel([KERNELS[name]])
            try:
                with only:
                    times[name] = (_device_time if cuda else _process_time)(once, repeats)
            except RuntimeError:  # torch's word for "not available" and for "no memory"
                times[name] = None
    if cuda:
        torch.cuda.empty_cache()
    return times


def _process_time(work: Callable[[], None], repeats: int) -> float:
    work()
    marks = [time.process_time()]
    for _ in range(repeats):
        work()
        marks.append(time.process_time())
    return 1e3 * statistics.median(b - a for a, b in itertools.pairwise(marks))


def _device_time(work: Callable[[], None], repeats: int) -> float:
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
