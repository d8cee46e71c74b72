"""A stack whose layers run as a sampler says: left out, run, or run with a scaled update.

A layer that is left out passes the hidden state h on unchanged; one that runs with scale s gives
h + s (f(h) - h), which is f(h) itself, not computed anew, where s = 1. That is all that a layer
may do, so what it computes must be one tensor of its input's shape: a layer that returns more (a
cache, attention weights) has nothing to return when it is left out, and is refused by
:meth:`Gates.check`, before anything is trained.

Tied layers are gated one by one, each use of a block by itself, and a block's gradient stays the
mean over ALL layers that share it, those left out included, whose gradient is zero: so a tied block
moves exactly as untied layers that step along their averaged gradients (``swe.sharing.gradients``).
The mean over those that ran would give an update of one layer as much weight as one of all.
A block none of whose layers ran has no gradient: AdamW leaves it alone, moments, weight decay and
count of steps too.

A layer may also run frozen, without a graph of its backward pass; the layer above the frozen ones
is then given a hidden state that passes no gradient on. So nothing of the parameters changes, and
what an update trains is drawn anew each time: no compiler, wrapper or optimiser holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.sharing.stack import SharedStack, Stack, find_stack

Run = Callable[..., Any]
Gate = Callable[..., Any]
"""(layer, run, hidden, *args, **kwargs) -> what ``run(hidden, *args, **kwargs)`` would return."""


class Gates:
    """Runs one model's layers as a sampler says, after a look at what they return."""

    def __init__(self) -> None:
        self._wrapped: bool | None = None
        """Whether layers return their hidden state as a tuple of one; None before the check."""

    def check(self, model: nn.Module, forward: Callable[[], object]) -> None:
        """Run ``forward`` once, at the first call; ConfigError for a model that cannot be gated.

        That is one with nothing to train but its layers (an update may leave out all), or whose
        layers do not map one tensor, their first argument, to one of its shape.
        """
        if self._wrapped is not None:
            return
        stack = find_stack(model)[1]
        inside = {id(parameter) for parameter in stack.parameters()}
        if all(id(p) in inside for p in model.parameters() if p.requires_grad):
            raise ConfigError(
                "dropping: the model trains nothing but its layers, so an update may have no "
                "gradient; leave it out, or train what is around them too"
            )
        seen: set[bool] = set()
        with _gated(stack, partial(_look, seen)):
            forward()
        if len(seen) != 1:
            what = "no layer ran" if not seen else "some layers return a tuple, others a tensor"
            raise ConfigError(f"dropping: {what}; leave it out for this model")
        [self._wrapped] = seen

    @contextmanager
    def within(
        self, stack: Stack, active: Mapping[int, float], cut: int | None = None
    ) -> Iterator[None]:
        """Run the layers of ``active``, scaled as it says, and no others within the context.

        Those below layer ``cut`` run frozen: no gradient passes its input. The backward pass
        belongs inside, too: checkpointed layers run in it once more.
        """
        assert self._wrapped is not None, "check comes first"
        with _gated(stack, partial(_pass, active, cut, self._wrapped)):
            yield


def _pass(
    active: Mapping[int, float],
    cut: int | None,
    wrapped: bool,
    layer: int,
    run: Run,
    hidden: Tensor,
    *args: Any,
    **kwargs: Any,
) -> Any:
    scale = active.get(layer)
    if scale is None:
        return (hidden,) if wrapped else hidden
    frozen = cut is not None and layer < cut
    if frozen or layer == cut:
        hidden = hidden.detach()  # frozen ones as well: compiled, all of them are one program
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        out = run(hidden, *args, **kwargs)
        if scale == 1.0:
            return out
        mixed = hidden + scale * ((out[0] if wrapped else out) - hidden)
        return (mixed,) if wrapped else mixed


def _look(seen: set[bool], layer: int, run: Run, *args: Any, **kwargs: Any) -> Any:
    """Run a layer and note how it returns its hidden state. ConfigError where it cannot be gated"""
    hidden = args[0] if args else None
    if not isinstance(hidden, Tensor):
        raise ConfigError(
            f"dropping: layer {layer} is not given its hidden state, a tensor, as its first "
            "argument, so nothing could pass it by; leave it out for this model"
        )
    version = hidden._version
    out = run(*args, **kwargs)
    new = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    if not isinstance(new, Tensor) or new.shape != hidden.shape:
        got = list(new.shape) if isinstance(new, Tensor) else type(new).__name__
        got = f"{len(new)} values" if isinstance(new, tuple) else got
        raise ConfigError(
            f"dropping: layer {layer} returns {got}, not its hidden state {list(hidden.shape)} "
            "alone, which one that is left out has not; switch off caches and attention weights, "
            "or leave it out for this model"
        )
    if hidden._version != version:
        raise ConfigError(
            f"dropping: layer {layer} writes into its input, so nothing could pass it by; leave "
            "it out for this model"
        )
    seen.add(isinstance(out, tuple))
    return out


@contextmanager
def _gated(stack: Stack, gate: Gate) -> Iterator[None]:
    """Run every layer through ``gate`` within the context."""
    with ExitStack() as undo:
        if isinstance(stack, SharedStack):
            _gate_own(stack, gate, undo)
        else:
            for layer, module in enumerate(stack.layer_modules()):
                _gate_foreign(module, partial(gate, layer), undo)
        yield


def _gate_own(stack: SharedStack, gate: Gate, undo: ExitStack) -> None:
    """One block runs as many layers: the stack says which, then runs it."""
    run_layer, now = stack.run_layer, [-1]

    def told(layer: int) -> None:
        now[0] = layer

    def run(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return gate(now[0], partial(run_layer, block), *args, **kwargs)

    undo.callback(setattr, stack, "on_layer", stack.on_layer)
    undo.callback(setattr, stack, "run_layer", run_layer)
    stack.on_layer, stack.run_layer = told, run


def _gate_foreign(module: nn.Module, gate: Gate, undo: ExitStack) -> None:
    """Nothing of ours runs the layer: its forward, which its hooks surround, is replaced."""
    own = module.__dict__.get("forward")
    forward = module.forward
    if own is None:
        undo.callback(module.__dict__.pop, "forward")
    else:
        undo.callback(module.__dict__.__setitem__, "forward", own)
    module.__dict__["forward"] = partial(gate, forward)
