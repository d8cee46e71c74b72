"""Where torch.compile goes: into each block, or around the whole loss; and where it stays out.

- ``blocks`` (regional): every layer runs through ONE compiled function whose inputs include the
  block's parameters, so tied layers, their clones after an untie and a probe's leaves all use the
  same code. What surrounds the stack (embeddings, head, loss) is compiled in pieces of its own.
  No change of layout compiles anything.
- ``model``: one graph of the whole loss. Faster where fusing across layers matters; each layout is
  compiled anew, a stall at every untie.

Only training steps and, with ``blocks``, probes run compiled code. The check that an untie changes
nothing must compare like with like, bit for bit, and two layouts compiled whole are two programs;
so it runs eagerly (``swe.sharing.eager``), as evaluation does.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any, Literal

import torch

from swe.base.errors import ConfigError
from swe.sharing.blocks import run_block
from swe.sharing.stack import SharedStack, Stack

CompileMode = Literal["none", "blocks", "model"]

# Torch's limit of 8 falls back to eager code in silence; a stack of 24 layers split one by one has
# 24 layouts. A run that passes this limit is told, not slowed down.
_LIMIT = 64

Loss = Callable[..., torch.Tensor]


def compile_loss(
    loss: Loss, stack: Stack, mode: CompileMode, backend: str = "inductor", *, around: bool = True
) -> Loss:
    """Return ``loss`` compiled by ``mode``; with ``blocks`` the stack is set up in place too.

    Compilation itself happens at the first call. ``backend`` is torch.compile's. ``around`` False:
    with ``blocks``, nothing but the blocks; what wraps a model for several ranks goes and comes
    with the layout, and code that holds it would be compiled anew. Raises ConfigError for
    ``blocks`` with layers adopted in a foreign model: nothing of ours runs those.
    """
    if mode == "none":
        return loss
    if mode == "blocks" and not isinstance(stack, SharedStack):
        raise ConfigError("compile = 'blocks': the model's layers must be in a SharedStack")
    import torch._dynamo

    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _LIMIT)
    config.fail_on_recompile_limit_hit = True
    if isinstance(stack, SharedStack) and mode == "blocks":
        stack.run_layer = torch.compile(run_block, backend=backend, dynamic=False)
        if not around:
            return loss
        # Drawn into the surrounding graph, the stack would make it hold the layout, and every
        # layout would compile that graph anew.
        stack.run_apart = torch.compiler.disable(_call)
    compiled: Loss = torch.compile(_with_own_code(loss), backend=backend, dynamic=False)
    return compiled


def _with_own_code(function: Loss) -> Loss:
    """Return a function that calls ``function`` and shares its code object with no other.

    Compiled code is kept by code object, and torch's guards did not tell a stack set up for
    ``blocks`` from one that is not: the second run of a process, whole, was handed the first one's.
    """

    def call(*args: Any) -> torch.Tensor:
        return function(*args)

    return types.FunctionType(call.__code__.replace(), call.__globals__, closure=call.__closure__)


def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def graph_count() -> int:
    """Graphs that this process has compiled so far; a recompilation is one more."""
    if "torch._dynamo" not in sys.modules:
        return 0
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
