"""Layers compared by position: what tied layers must agree in, what numbers them, what is kept.

Tied layers have one set of weights, so they must be one kind of layer: the same modules at the same
places, the same shapes, dtypes, devices and switches. An attribute that counts the layers (0, 1, 2,
... or any other arithmetic progression, in a number or a text, under any name) is no difference;
it stays each layer's own. So does what the caller names in ``per_layer``.

A layer is compared with the first one at its place of the unit, with which it may be tied: layers
that alternate are alike in a unit of 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from torch import nn

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.shapes import same_class
from swe.sharing.walk import Difference, Walk, kind_of
from swe.sharing.weights import attributes_of, named


def differences(
    layers: Sequence[nn.Module], layout: Layout, numbers: Sequence[int] = ()
) -> tuple[list[Difference], set[str]]:
    """Return what differs among layers that may be tied by ``layout``, and the paths of what may.

    Weights are no difference, nor are values of buffers, hooks and train or eval mode. ``layers``:
    one a layer, or one a block; ``numbers``: what they count as, if not as they come.
    """
    found: list[Difference] = []
    own: set[str] = set()
    numbers = numbers or range(len(layers))
    ordered = layout.in_units(range(len(layers)))
    for position in range(layout.unit):
        indices = ordered[position :: layout.unit]
        family = [layers[index] for index in indices]
        homes = [_home(layer) for layer in family]
        walk = Walk(indices, homes, [numbers[index] for index in indices])
        trees = [dict(layer.named_modules(remove_duplicate=False)) for layer in family]
        for path in dict.fromkeys(path for tree in trees for path in tree):
            modules = [tree.get(path) for tree in trees]
            kinds = [type(module) for module in modules]
            at = next((i for i, kind in enumerate(kinds) if not same_class(kind, kinds[0])), None)
            if at is not None:
                walk.report(
                    path, [kind if kind is not type(None) else "absent" for kind in kinds], at
                )
                continue
            walk.compare(
                f"{path}.forward".lstrip("."), [getattr(kind, "forward", None) for kind in kinds]
            )
            tables = [dict(attributes_of(module)) for module in modules if module is not None]
            for name in dict.fromkeys(name for table in tables for name in table):
                place = f"{path}.{name}".lstrip(".")
                walk.compare(place, [table.get(name, "absent") for table in tables])
            _tensors_agree(walk, path, [module for module in modules if module is not None])
        found += walk.found
        own |= walk.own
    return found, own


def _home(layer: nn.Module) -> dict[int, str]:
    modules = layer.named_modules(remove_duplicate=False)
    home = {id(module): f"module {name}" for name, module in modules}
    for name, parameter in named(layer, twice=True):
        home[id(parameter)] = f"parameter {name}"
    for name, buffer in layer.named_buffers(remove_duplicate=False):
        home[id(buffer)] = f"buffer {name}"
    return home


def _tensors_agree(walk: Walk, path: str, modules: Sequence[nn.Module]) -> None:
    """Compare how parameters train, where they lie, and which buffers there are."""
    for name, first in modules[0]._parameters.items():
        held = [module._parameters.get(name) for module in modules]
        if first is not None and all(parameter is not None for parameter in held):
            place = f"{path}.{name}".lstrip(".")
            walk.compare(f"{place}.device", [p.device for p in held if p is not None])
            walk.compare(f"{place}.requires_grad", [p.requires_grad for p in held if p is not None])
    for name in dict.fromkeys(name for module in modules for name in module._buffers):
        buffers = [module._buffers.get(name) for module in modules]
        walk.compare(f"{path}.{name}".lstrip("."), [kind_of(buffer) for buffer in buffers])


def require_known(
    prefix: str, layers: Sequence[nn.Module], layout: Layout, asked: Sequence[str]
) -> None:
    """Refuse names of ``per_layer`` or ``ignore`` that no layer has, saying what differs."""
    paths = {path for layer in layers for path in _paths(layer)} if asked else set()
    for name in asked:
        if not any(covers(name, path) for path in paths):
            told = sorted({difference.path for difference in differences(layers, layout)[0]})
            raise ConfigError(
                f"per_layer or ignore: no layer of {prefix or 'the list'} has {name!r}; "
                + (f"what differs: {', '.join(told)}" if told else "nothing differs")
            )


def require_alike(
    prefix: str,
    names: Sequence[str],
    layers: Sequence[nn.Module],
    layout: Layout,
    *,
    per_layer: Sequence[str] = (),
    ignore: Sequence[str] = (),
    numbers: Sequence[int] = (),
) -> set[str]:
    """Refuse layers that differ in what tied layers must agree in, naming the first difference.

    ``per_layer`` and ``ignore`` name attributes or modules of a layer, by their last name
    ("drop_prob") or the whole path in the layer ("attention.drop_prob"). Returns the paths of what
    differs and stays each layer's own. ``numbers`` as in :func:`differences`. Raises ConfigError.
    """
    found, own = differences(layers, layout, numbers)
    for difference in found:
        if difference.path.endswith(ONE):
            raise ConfigError(_told(prefix, names, difference) + "; leave layers out by layers=...")
        if any(covers(name, difference.path) for name in per_layer):
            own.add(difference.path)
        elif not any(covers(name, difference.path) for name in ignore):
            parts = reversed(re.split(r"[.\[\]]", difference.path))
            word = next((part for part in parts if part.isidentifier()), difference.path)
            raise ConfigError(
                _told(prefix, names, difference) + f"; to keep it in each layer, per_layer="
                f"({word!r},); for layers that alternate, a schedule of unit=2 or more"
            )
    return own


ONE = (".requires_grad", ".device")
"""What a tied weight has one of."""


def _told(prefix: str, names: Sequence[str], difference: Difference) -> str:
    place = f"{prefix}.{names[difference.layer]}.{difference.path}".strip(".")
    return (
        f"{place} = {difference.here}, in layer {difference.other} it is {difference.there}: "
        "tied layers must agree"
    )


def _paths(layer: nn.Module) -> Iterator[str]:
    for path, module in layer.named_modules(remove_duplicate=False):
        yield path
        for name in vars(module):
            yield f"{path}.{name}".lstrip(".")
        for table in (module._parameters, module._buffers):
            for name in table:
                yield f"{path}.{name}".lstrip(".")


def covers(name: str, path: str) -> bool:
    """Whether ``name`` is the path, a part of it at its end, or a place above it."""
    return f".{name}." in f".{path.partition('[')[0]}."
