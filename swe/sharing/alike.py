"""Layers compared by position: what tied layers must agree in, what numbers them, what is kept.

Tied layers have one set of weights, so they must be one kind of layer: the same modules at the same
places, the same shapes, dtypes, devices and switches. An attribute that counts the layers (0, 1, 2,
... or any other arithmetic progression, in a number or a text, under any name) is no difference;
it stays each layer's own. So does what the caller names in ``per_layer``.

Layer i is compared with layer i mod unit, with which it may be tied: layers that alternate are
alike in a unit of 2.
"""

from __future__ import annotations

import functools
import math
import re
import types
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.sharing.shapes import same_class
from swe.sharing.weights import attributes_of, named

NUMBER = re.compile(r"\d+")
PLAIN = (bool, int, float, complex, str, bytes, type(None), type, torch.dtype, torch.device)
DEEPEST = 12
"""Containers within containers that are looked into."""


@dataclass(frozen=True)
class Difference:
    """Where one layer is not as the layer it would be tied to."""

    path: str
    """Within the layer, with dots: modules, attributes, keys."""
    layer: int
    here: str
    there: str
    other: int


@dataclass
class _Walk:
    """Compare the same place of several layers, going down."""

    indices: Sequence[int]
    homes: Sequence[dict[int, str]]
    """For each layer {id of a module or tensor of it: its name in the layer}."""
    found: list[Difference] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
    """Paths of what may differ: numbers of layers, tensors that a module keeps beside buffers."""
    seen: dict[tuple[int, ...], Sequence[Any]] = field(default_factory=dict)
    """What was compared, kept alive: an id says who something is only while it lives."""

    def report(self, path: str, values: Sequence[Any], at: int) -> None:
        self.found.append(
            Difference(path, self.indices[at], _say(values[at]), _say(values[0]), self.indices[0])
        )

    def compare(self, path: str, values: Sequence[Any], depth: int = 0) -> None:
        """Look at one value of each layer; the first is the measure."""
        first = values[0]
        key = tuple(map(id, values))
        if all(value is first for value in values) or key in self.seen or depth > DEEPEST:
            return
        if not isinstance(first, PLAIN):
            self.seen[key] = values
        homes = [home.get(id(value)) for home, value in zip(self.homes, values, strict=True)]
        if any(homes):
            self._each(path, values, [home == homes[0] for home in homes])
            return
        if type(first) is int and first in self.homes[0]:  # a note of who a module is: its id
            notes = [home.get(value, "") for home, value in zip(self.homes, values, strict=True)]
            self.own.add(path)
            self._each(path, values, [note == notes[0] for note in notes])
            return
        kinds = [type(value) is type(first) for value in values]
        if not all(kinds):
            self._each(path, values, kinds)
        elif isinstance(first, PLAIN):
            if not all(_equal(value, first) for value in values):
                self._plain(path, values)
        elif isinstance(first, Tensor):  # state or a constant: each layer keeps its own
            self.compare(path, [_kind_of(value) for value in values], depth)
            self.own.add(path)
        else:
            self._within(path, values, depth)

    def _plain(self, path: str, values: Sequence[Any]) -> None:
        if counts(values):
            self.own.add(path)
        else:
            self._each(path, values, [_equal(value, values[0]) for value in values])

    def _each(self, path: str, values: Sequence[Any], good: Sequence[bool]) -> None:
        for at, fits in enumerate(good):
            if not fits:
                self.report(path, values, at)
                return

    def _within(self, path: str, values: Sequence[Any], depth: int) -> None:
        """Compare what values of one type consist of, or themselves where they consist of nothing.

        What has neither parts nor an equality of its own (a lock, a generator) is alike.
        """
        if all(map(functools.partial(_says_equal, values[0]), values)):
            return
        parts = [dict(_parts(value)) for value in values]
        if not any(parts) and _has_equality(type(values[0])):
            self._each(path, values, [_says_equal(values[0], value) for value in values])
            return
        for at, part in enumerate(parts):
            if part.keys() != parts[0].keys():
                self.report(path, values, at)
                return
        for name in parts[0]:
            self.compare(path + name, [part[name] for part in parts], depth + 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value consists of, named so that equal values have equal parts."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[{_say(key)}]", item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        yield "", sorted(map(_say, value))
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield ".args", list(value.args)
        yield ".keywords", value.keywords
    elif isinstance(value, weakref.ref):
        yield "()", value()
    elif isinstance(value, types.MethodType):
        yield ".__func__", value.__func__
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        yield ".__code__", (value.__code__.co_code, value.__code__.co_names)
        yield ".constants", [c for c in value.__code__.co_consts if isinstance(c, PLAIN)]
        yield ".defaults", [value.__defaults__, value.__kwdefaults__]
        yield ".closure", [_content(cell) for cell in value.__closure__ or ()]
    elif isinstance(value, nn.Module):  # one that no layer owns: a parent, or a neighbour
        yield ".class", type(value)
    elif hasattr(value, "tolist") and hasattr(value, "dtype"):  # numpy
        yield "", value.tolist()
    else:
        yield from ((f".{name}", item) for name, item in getattr(value, "__dict__", {}).items())


def _says_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # an array's, or anything a user's class may do
        return False


def _has_equality(kind: type) -> bool:
    own: Any = kind.__eq__
    return own is not object.__eq__


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def counts(values: Sequence[Any]) -> bool:
    """Whether the values number their layers: texts or integers in arithmetic progression."""
    if all(type(value) is int for value in values):
        steps = {after - before for before, after in pairwise(values)}
        return len(steps) == 1 and steps != {0}
    if not all(isinstance(value, str) for value in values):
        return False
    if len({NUMBER.sub("#", value) for value in values}) != 1:
        return False
    columns = zip(*([int(n) for n in NUMBER.findall(value)] for value in values), strict=True)
    return all(len(set(column)) == 1 or counts(column) for column in columns)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


def _say(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, types.FunctionType | types.MethodType):
        return value.__qualname__
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def differences(layers: Sequence[nn.Module], unit: int) -> tuple[list[Difference], set[str]]:
    """Return what differs among layers that may be tied, and the paths of what may.

    Weights are no difference, nor are values of buffers, hooks and train or eval mode.
    """
    found: list[Difference] = []
    own: set[str] = set()
    for position in range(min(unit, len(layers))):
        indices = range(position, len(layers), unit)
        family = [layers[index] for index in indices]
        walk = _Walk(list(indices), [_home(layer) for layer in family])
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


def _tensors_agree(walk: _Walk, path: str, modules: Sequence[nn.Module]) -> None:
    """Compare how parameters train, where they lie, and which buffers there are."""
    for name, first in modules[0]._parameters.items():
        held = [module._parameters.get(name) for module in modules]
        if first is not None and all(parameter is not None for parameter in held):
            place = f"{path}.{name}".lstrip(".")
            walk.compare(f"{place}.device", [p.device for p in held if p is not None])
            walk.compare(f"{place}.requires_grad", [p.requires_grad for p in held if p is not None])
    for name in dict.fromkeys(name for module in modules for name in module._buffers):
        buffers = [module._buffers.get(name) for module in modules]
        walk.compare(f"{path}.{name}".lstrip("."), [_kind_of(buffer) for buffer in buffers])


def _kind_of(buffer: Tensor | None) -> Any:
    return "absent" if buffer is None else (list(buffer.shape), buffer.dtype, buffer.device)


def require_alike(
    prefix: str,
    names: Sequence[str],
    layers: Sequence[nn.Module],
    unit: int,
    *,
    per_layer: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> set[str]:
    """Refuse layers that differ in what tied layers must agree in, naming the first difference.

    ``per_layer`` and ``ignore`` name attributes or modules of a layer, by their last name
    ("drop_prob") or the whole path in the layer ("attention.drop_prob"). Returns the paths of what
    differs and stays each layer's own. Raises ConfigError, also for a name that no layer has.
    """
    allowed = {*per_layer, *ignore}
    found, own = differences(layers, unit)
    for name in sorted(allowed):
        if not any(covers(name, path) for layer in layers for path in _paths(layer)):
            told = sorted({difference.path for difference in found})
            raise ConfigError(
                f"per_layer or ignore: no layer of {prefix or 'the list'} has {name!r}; "
                + (f"what differs: {', '.join(told)}" if told else "nothing differs")
            )
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
