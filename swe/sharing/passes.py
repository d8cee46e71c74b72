"""One pass through a model with its layers watched: outputs, what ran, the random state after.

Two passes that should compute the same are compared by these, so that a difference has a name.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from swe.base.errors import ConfigError
from swe.sharing.eager import eagerly
from swe.sharing.seeds import apart
from swe.sharing.stack import SharedStack, Stack
from swe.sharing.untouched import untouched

Loss = Callable[[], Tensor]
Stacks = Sequence[tuple[str, Stack]]


@dataclass
class Pass:
    """What one call of a loss did."""

    loss: Tensor
    outputs: list[tuple[str, list[Tensor]]] = field(default_factory=list)
    """(layer's name, tensors of its output), in the order in which layers ran; detached."""
    ran: dict[str, set[str]] = field(default_factory=dict)
    """{layer: names of its modules that ran}."""
    differentiable: set[str] = field(default_factory=set)
    """Layers whose output has a gradient."""
    generators: list[Any] = field(default_factory=list)
    """States of the random generators after it."""


@contextmanager
def passing(model: nn.Module, stacks: Stacks, loss: Loss, seed: int) -> Iterator[Pass]:
    """Run ``loss`` with gradients, drawing from ``seed``; its graph lives within the context.

    The model, its hooks and all generators are as before when the context ends.
    """
    with untouched(model), apart(seed), torch.enable_grad(), eagerly(), ExitStack() as hooks:
        found = Pass(torch.zeros(()))
        for name, stack in stacks:
            _watch(name, stack, found, hooks)
        value: Any = loss()
        hooks.close()
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(f"loss: returned {got}, must be a tensor of one number")
        found.loss = value
        found.generators = _generators(model)
        yield found
        found.loss = value.detach()


def layer_names(name: str, stack: Stack) -> list[str]:
    """Names of a stack's layers, (depth,)."""
    places = getattr(stack, "names", None) or [str(i) for i in range(stack.layout.depth)]
    return [f"{name}.{place}".lstrip(".") for place in places]


def _watch(name: str, stack: Stack, found: Pass, hooks: ExitStack) -> None:
    """Note which of the stack's layers and modules run, and what the layers put out."""
    names = layer_names(name, stack)
    found.ran |= {layer: set() for layer in names}
    now: list[int] = []
    if isinstance(stack, SharedStack):  # one module runs as many layers; the stack says which
        stack.on_layer = partial(_set, now)
        hooks.callback(setattr, stack, "on_layer", None)
    modules = stack.layer_modules()
    for number, module in enumerate(modules):
        if any(module is earlier for earlier in modules[:number]):
            continue
        for path, part in module.named_modules():
            note = partial(_note_run, found, names, now, number, path)
            hooks.callback(part.register_forward_pre_hook(note).remove)
        after = partial(_note_output, found, names, now, number)
        hooks.callback(module.register_forward_hook(after).remove)


def _set(now: list[int], layer: int) -> None:
    now[:] = [layer]


def _note_run(
    found: Pass, names: list[str], now: list[int], number: int, path: str, *_: Any
) -> None:
    found.ran[names[now[0] if now else number]].add(path)


def _note_output(
    found: Pass, names: list[str], now: list[int], number: int, _: Any, __: Any, out: Any
) -> None:
    tensors = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
    layer = names[now[0] if now else number]
    found.outputs.append((layer, [tensor.detach() for tensor in tensors]))
    if any(tensor.requires_grad for tensor in tensors):
        found.differentiable.add(layer)


def _generators(model: nn.Module) -> list[Any]:
    numpy: Any = np.random.get_state()  # noqa: NPY002 (the user's)
    states: list[Any] = [torch.get_rng_state().tolist(), random.getstate()]
    states.append((numpy[1].tolist(), numpy[2]))
    devices = sorted({p.device.index for p in model.parameters() if p.is_cuda})
    return states + [torch.cuda.get_rng_state(device).tolist() for device in devices]


def gradients(
    model: nn.Module, stacks: Stacks, loss: Loss, seed: int, tensors: Sequence[Tensor]
) -> tuple[Pass, list[Tensor | None]]:
    """Run one pass and take the gradients of ``tensors``.

    No gradients for a loss without a graph.
    """
    with passing(model, stacks, loss, seed) as found:
        if not found.loss.requires_grad or not tensors:
            return found, []
        return found, differentiate(model, found.loss, tensors)


def differentiate(
    model: nn.Module | None, loss: Tensor, tensors: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients of ``loss`` by ``tensors``, past reentrant checkpoints too; None where it has none.

    Raises ConfigError as :func:`by_backward`.
    """
    if has_reentrant_checkpoint(loss):
        if model is None:
            raise ConfigError(
                "loss: layers are checkpointed by use_reentrant=True; give the model, or "
                "checkpoint with use_reentrant=False"
            )
        return by_backward(model, loss, tensors)
    return list(torch.autograd.grad(loss, list(tensors), allow_unused=True))


def has_reentrant_checkpoint(loss: Tensor) -> bool:
    """Whether a reentrant activation checkpoint (of torch, fairscale, ...) is in the graph."""
    return any("Checkpoint" in type(node).__name__ for node in graph_of(loss))


def graph_of(loss: Tensor) -> Iterator[Any]:
    """Yield the nodes of a tensor's autograd graph, each once."""
    seen: set[Any] = set()
    ahead: list[Any] = [loss.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            ahead += [following for following, _ in node.next_functions]


def by_backward(model: nn.Module, loss: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Gradients of ``tensors`` by ``loss.backward()``; every ``.grad`` is as it was after it.

    Reentrant checkpoints give gradients to ``.backward()`` alone, not to ``torch.autograd.grad``.
    Raises ConfigError where hooks would act on the gradients that other parameters get.
    """
    everything = [*model.parameters(), *tensors]
    for name, parameter in model.named_parameters():
        if getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise ConfigError(
                f"{name}: has a hook that acts when its gradient is there, and the layers are "
                "checkpointed by use_reentrant=True, so a probe would set it off; checkpoint "
                "checkpoint with use_reentrant=False"
            )
    kept = [tensor.grad for tensor in everything]
    for tensor in everything:
        tensor.grad = None
    try:
        loss.backward()
        return [tensor.grad for tensor in tensors]
    finally:
        for tensor, gradient in zip(everything, kept, strict=True):
            tensor.grad = gradient
