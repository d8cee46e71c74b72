"""A deep copy of what an optimiser keeps for one parameter, for the layer split off from it.

The state may be nested in any way: lists of preconditioners, None, numbers, tensors of a class of
their own. What the copy means for a tensor depends on what the tensor is:

- the parameter itself, or a view of its storage: the child's own, at the same place;
- an object that other parameters' states hold too, or the optimiser itself (a common step count, a
  table of quantisation levels): it stays common, as it would be for layers that never shared;
- anything else: a copy. Views of one buffer become views of one new buffer.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.local import is_sharded

PLAIN = (bool, int, float, complex, str, bytes, type(None), type)
"""What has no parts and is never changed in place."""


def parts(value: Any, *, objects: bool = True) -> Iterator[Any]:
    """Yield ``value`` and everything inside it that is no plain value, each object once.

    Containers are opened, and ``objects`` by their attributes; modules and optimisers are not.
    """
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, PLAIN) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset | deque):
            waiting += item
        elif objects and not isinstance(item, Tensor | nn.Module | Optimizer):
            waiting += vars(item).values() if hasattr(item, "__dict__") else ()


def storage(tensor: Tensor) -> int | None:
    """Return the address of a tensor's memory; None where it has none of its own."""
    try:
        return tensor.untyped_storage().data_ptr() or None
    except (NotImplementedError, RuntimeError):  # sparse, or a wrapper around other tensors
        return None


def common_objects(states: Mapping[Any, Any], elsewhere: Any = ()) -> dict[int, Any]:
    """Return {id: object} of what several parameters' states, or one and ``elsewhere``, hold.

    The parameters themselves are common: a state that points at another one goes on doing so.
    """
    own = {id(key): key for key in states if isinstance(key, Tensor)}
    inside = [list(parts(value)) for key, value in states.items() if id(key) in own]
    if inside:
        inside.append(list(parts(elsewhere, objects=False)))
    count = Counter(id(part) for one in inside for part in one)
    return own | {id(part): part for one in inside for part in one if count[id(part)] > 1}


@torch.no_grad()
def child_state(
    state: Any, parent: Tensor, child: Tensor, common: Mapping[int, Any] | None = None
) -> Any:
    """Copy the ``state`` of ``parent`` for ``child``, which has the same shape.

    ``common``: see :func:`common_objects`. Raises ConfigError for what cannot be copied.
    """
    memo: dict[int, Any] = dict(common or {})
    memo[id(parent)] = child
    inside = [part for part in parts(state) if id(part) not in memo]
    uses: dict[int, int] = {}
    for part in inside:
        if isinstance(part, Tensor) and (address := storage(part)) is not None:
            uses[address] = uses.get(address, 0) + 1
    for part in inside:
        if isinstance(part, nn.Module | Optimizer):
            memo[id(part)] = part
        elif isinstance(part, Tensor):
            address = storage(part)
            if address is not None and address == storage(parent):
                memo[id(part)] = _same_view(part, parent, child)
            elif is_sharded(part) or (_is_plain(part) and uses.get(address or 0, 1) == 1):
                memo[id(part)] = part.detach().clone().requires_grad_(part.requires_grad)
            elif not part.is_leaf:
                memo[id(part)] = copy.deepcopy(part.detach(), memo)
    try:
        return copy.deepcopy(state, memo)
    except Exception as error:
        raise ConfigError(
            f"optimizer: its state of a parameter cannot be copied for a new layer ({error}); "
            "keep tensors, numbers and containers of them in optimizer.state"
        ) from error


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) is Tensor and not tensor.__dict__


def _same_view(view: Tensor, parent: Tensor, child: Tensor) -> Tensor:
    """Return the part of ``child`` that ``view`` is of ``parent``."""
    flat = child.detach()
    if view.dtype != parent.dtype:
        flat = flat.view(view.dtype)
    unit = parent.element_size() / view.element_size()
    begin = view.storage_offset() - int(parent.storage_offset() * unit)
    offset = int(child.storage_offset() * unit) + begin
    return flat.as_strided(view.size(), view.stride(), offset)


def multiply(state: Any, keys: tuple[str, ...], factor: float) -> None:
    """Multiply the tensors at ``keys`` of a state in place, where they are."""
    if factor != 1.0 and isinstance(state, MutableMapping):
        for key in keys:
            if isinstance(state.get(key), Tensor):
                state[key].mul_(factor)
