"""Which parameters a layer holds, and how to give it others while it stays the object it is.

Layers of a foreign list share by holding the same parameters; each stays a module of its own, with
its own attributes, hooks, buffers and number, so that whatever a model does with the object of a
layer (a cache by number, a loss kept on it, a closure over its forward) goes on as in the model
untied.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from swe.base.errors import ConfigError

Parameters = dict[str, nn.Parameter]
INTERNAL = frozenset(nn.Module().__dict__)
"""Attributes that every module has: its tables of parameters, buffers, modules and hooks."""


def named(layer: nn.Module, *, twice: bool = False) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield (name, parameter) by the names of modules, as the model around the layer names them.

    A wrapper that hides itself in its own ``named_parameters`` (torch's for activation
    checkpoints) does not hide there. ``twice``: a parameter of two names has both.
    """
    yield from nn.Module.named_parameters(layer, remove_duplicate=not twice)


def parameters_of(layer: nn.Module) -> Parameters:
    """Return {name: parameter}; one that has two names is there twice."""
    return dict(named(layer, twice=True))


def hold(layer: nn.Module, own: Mapping[str, nn.Parameter]) -> None:
    """Have ``layer`` hold the parameters ``own``, by name, instead of those it has.

    References in its modules' attributes (a list of weights, the flat weights of an LSTM) follow.
    """
    swap: dict[int, nn.Parameter] = {}
    for name, parameter in parameters_of(layer).items():
        if parameter is not own[name]:
            swap[id(parameter)] = own[name]
            path, _, attribute = name.rpartition(".")
            setattr(layer.get_submodule(path), attribute, own[name])
    if not swap:
        return
    for module in layer.modules():
        for attribute, value in attributes_of(module):
            swapped = _swapped(value, swap)
            if swapped is not value:
                module.__dict__[attribute] = swapped


def twins(
    parameters: Mapping[str, nn.Parameter], make: Callable[[nn.Parameter], nn.Parameter]
) -> Parameters:
    """Return ``make`` of each parameter, one for a parameter with two names; attributes follow."""
    made: dict[int, nn.Parameter] = {}
    for parameter in parameters.values():
        if id(parameter) not in made:
            twin = made[id(parameter)] = make(parameter)
            for attribute, value in vars(parameter).items():
                vars(twin).setdefault(attribute, value)
    return {name: made[id(parameter)] for name, parameter in parameters.items()}


def leaf(parameter: nn.Parameter) -> nn.Parameter:
    """Return a leaf over the same storage."""
    return nn.Parameter(parameter.detach(), parameter.requires_grad)


def clone(parameter: nn.Parameter) -> nn.Parameter:
    """Return a copy without gradient; hooks on the parameter act on the copy too."""
    made = copy.deepcopy(parameter)
    made.grad = None
    for hook in hooks_of(parameter, "_backward_hooks"):
        made.register_hook(hook)
    for hook in hooks_of(parameter, "_post_accumulate_grad_hooks"):
        made.register_post_accumulate_grad_hook(hook)
    return made


def hooks_of(parameter: nn.Parameter, kind: str) -> list[Any]:
    """List the hooks of ``kind`` on a parameter."""
    return list((getattr(parameter, kind, None) or {}).values())


def attributes_of(module: nn.Module) -> list[tuple[str, Any]]:
    """List (name, value) of what the module holds beside parameters, buffers, modules, hooks."""
    return [(name, value) for name, value in vars(module).items() if name not in INTERNAL]


def references(value: Any, depth: int = 4) -> Iterator[nn.Parameter]:
    """Yield the parameters in a value: itself, or inside lists, tuples, dicts and sets."""
    if isinstance(value, nn.Parameter):
        yield value
    elif depth:
        inside = value.values() if isinstance(value, dict) else value
        if isinstance(inside, list | tuple | set | frozenset) or isinstance(value, dict):
            for item in inside:
                yield from references(item, depth - 1)


def _swapped(value: Any, swap: Mapping[int, nn.Parameter], depth: int = 4) -> Any:
    """Return ``value`` with parameters replaced: the same object where none is in it."""
    if isinstance(value, nn.Parameter):
        return swap.get(id(value), value)
    if not depth or not isinstance(value, list | tuple | dict | set | frozenset):
        return value
    if all(id(parameter) not in swap for parameter in references(value, depth)):
        return value
    if isinstance(value, dict):
        new: Any = copy.copy(value)
        for key, item in value.items():
            new[key] = _swapped(item, swap, depth - 1)
        return new
    items = [_swapped(item, swap, depth - 1) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def require_ready(prefix: str, names: Sequence[str], layers: Sequence[nn.Module]) -> None:
    """Refuse parameters that cannot be shared, or copied at an untie, naming the first of them.

    Raises ConfigError for those spread over ranks (FSDP2), without data (meta device, lazy), with
    hooks on them, and those that cannot be copied.
    """
    tried: set[type] = set()
    for place, layer in zip(names, layers, strict=True):
        for name, parameter in named(layer):
            full = f"{prefix}.{place}.{name}".lstrip(".")
            if hasattr(parameter, "to_local"):
                raise ConfigError(
                    f"{full}: is spread over ranks (FSDP2); tie before fully_shard, and use "
                    "SharedStack with parallel='fsdp' for sharded training"
                )
            if isinstance(parameter, nn.UninitializedParameter):
                raise ConfigError(f"{full}: has no shape yet; run the model once before it is tied")
            if parameter.is_meta:
                raise ConfigError(
                    f"{full}: is on the meta device; load or initialise the weights before"
                )
            if any(hooks_of(parameter, kind) for kind in HOOKS):
                raise ConfigError(
                    f"{full}: has a hook on the parameter, which a tied one could not call for "
                    "each layer; register it after adopt, it then follows at the untie"
                )
            if type(parameter) in tried:
                continue
            tried.add(type(parameter))
            try:
                copy.deepcopy(parameter)
            except Exception as error:
                raise ConfigError(f"{full}: cannot be copied for the untie: {error}") from error


HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
