"""Tied layers have one set of weights: the same names, shapes and types at each position."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout

Shape = tuple[tuple[int, ...], torch.dtype]


def require_same_shape(
    modules: Sequence[nn.Module], layout: Layout, names: Sequence[str] = ()
) -> None:
    """Refuse modules of different type or parameter shapes at one position of the layout's unit.

    ``modules``: one a layer, or one a block. ``names``: what to call them in the refusal,
    ``modules[0]`` and so on where none are given.
    """
    if not modules:
        raise ConfigError("modules: none given, at least one is needed")
    names = names or [f"modules[{index}]" for index in range(len(modules))]
    ordered = layout.in_units(list(zip(names, modules, strict=True)))
    for index, (here, module) in enumerate(ordered):
        there, first = ordered[index % layout.unit]
        if not same_class(type(module), type(first)):
            raise ConfigError(
                f"{here} is a {type(module).__name__}, {there} a {type(first).__name__}: tied "
                "layers must be of one type; a schedule of another unit ties others, layers=... "
                "leaves some out"
            )
        shapes, other = _shapes(first), _shapes(module)
        for name in sorted(shapes.keys() | other.keys()):
            if shapes.get(name) != other.get(name):
                raise ConfigError(
                    f"{here}.{name} is {_describe(other.get(name))}, {there}.{name} is "
                    f"{_describe(shapes.get(name))}: tied layers must have the same shapes; "
                    "layers=... leaves some out"
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
