"""Copies of a block: what makes it up is copied, what it merely refers to is shared.

Modules, parameters, buffers and the containers that hold them are the block; a configuration, a
lock, a generator, a process group or a parent is something that it refers to, and stays one object.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from swe.base.config import one_line
from swe.base.errors import ConfigError
from swe.sharing.shapes import same_class
from swe.sharing.weights import attributes_of, clone, parameters_of, twins

CONTAINERS = (list, tuple, dict, set, frozenset)


def copy_block(block: nn.Module) -> nn.Module:
    """Copy a block without its gradients, and without the graph of what a forward left on it."""
    named = parameters_of(block)
    copies = twins(named, clone)
    memo: dict[int, Any] = {id(parameter): copies[name] for name, parameter in named.items()}
    inside = {id(module) for module in block.modules()}
    for module in block.modules():
        for _, value in attributes_of(module):
            for item in _leaves_of(value):
                _settle(item, inside, memo)
    made: nn.Module = copy.deepcopy(block, memo)
    return made


def require_copyable(name: str, block: nn.Module) -> None:
    """Raise ConfigError, before training, where :func:`copy_block` would fail at the untie."""
    try:
        twin = copy_block(block)
    except Exception as error:
        raise ConfigError(
            f"{name}: cannot be copied for the untie ({one_line(error)}); keep what cannot be "
            "copied outside the layers, or give SharedStack one module a layer"
        ) from error
    same = same_class(type(twin), type(block))
    if not same or parameters_of(twin).keys() != parameters_of(block).keys():
        raise ConfigError(f"{name}: a copy of it is another module, so it cannot be untied")


def _settle(item: Any, inside: set[int], memo: dict[int, Any]) -> None:
    """Note in ``memo`` what becomes of an object that a module of the block refers to."""
    if id(item) in memo or id(item) in inside:
        return
    if isinstance(item, Tensor):
        if item.grad_fn is not None:
            memo[id(item)] = item.detach()
    elif isinstance(item, nn.Module) or not _holds(item, inside, set()):
        memo[id(item)] = item


def _leaves_of(value: Any, depth: int = 4) -> Iterator[Any]:
    """Yield what is in lists, tuples, dicts and sets, and what is in none."""
    if not isinstance(value, CONTAINERS) or not depth:
        yield value
        return
    for item in value.values() if isinstance(value, dict) else value:
        yield from _leaves_of(item, depth - 1)


def _holds(item: Any, inside: set[int], seen: set[int]) -> bool:
    """Whether an object holds a tensor or a module of the block, so that a copy needs its own."""
    if id(item) in seen:
        return False
    seen.add(id(item))
    if isinstance(item, Tensor) or id(item) in inside:
        return True
    if isinstance(item, nn.Module | type):
        return False
    if isinstance(item, CONTAINERS):
        return any(_holds(part, inside, seen) for part in _leaves_of(item))
    bound = [getattr(item, name, None) for name in ("__self__", "func", "args", "keywords")]
    parts = [*vars(item).values()] if hasattr(item, "__dict__") else []
    return any(_holds(part, inside, seen) for part in (*bound, *parts) if part is not None)
