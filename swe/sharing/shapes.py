"""Tied layers have one set of weights: the same names, shapes and types at each position."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from swe.base.errors import ConfigError

Shape = tuple[tuple[int, ...], torch.dtype]


def require_same_shape(modules: Sequence[nn.Module], unit: int = 1) -> None:
    """Refuse modules of different type or parameter shapes at one position of the unit."""
    if not modules:
        raise ConfigError("modules: none given, at least one is needed")
    for index, module in enumerate(modules):
        at = index % unit
        first = modules[at]
        if not same_class(type(module), type(first)):
            raise ConfigError(
                f"modules[{index}] is a {type(module).__name__}, modules[{at}] a "
                f"{type(first).__name__}: tied layers must be of one type; other units tie other "
                "layers (unit=...), layers=... leaves some out"
            )
        shapes, other = _shapes(first), _shapes(module)
        for name in sorted(shapes.keys() | other.keys()):
            if shapes.get(name) != other.get(name):
                raise ConfigError(
                    f"modules[{index}].{name} is {_describe(other.get(name))}, modules[{at}].{name}"
                    f" is {_describe(shapes.get(name))}: tied layers must have the same shapes; "
                    "layers=... leaves a layer out"
                )


def same_class(one: type, other: type) -> bool:
    """Whether two classes are one, or were made alike, as parametrizations make one a module."""
    return one is other or (
        (one.__module__, one.__qualname__, one.__bases__)
        == (other.__module__, other.__qualname__, other.__bases__)
    )


def _shapes(module: nn.Module) -> dict[str, Shape]:
    return {name: (tuple(p.shape), p.dtype) for name, p in module.named_parameters()}


def _describe(entry: Shape | None) -> str:
    return "absent" if entry is None else f"{list(entry[0])} {entry[1]}".replace("torch.", "")
