"""The same place of several layers compared, going down into whatever an attribute holds."""

from __future__ import annotations

import functools
import math
import re
import types
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

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
class Walk:
    """Compare the same place of several layers, going down."""

    indices: Sequence[int]
    homes: Sequence[dict[int, str]]
    """For each layer {id of a module or tensor of it: its name in the layer}."""
    numbers: Sequence[int]
    """What each layer counts as: where a stack that turns back has them, no arithmetic series."""
    found: list[Difference] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
    """Paths of what may differ: numbers of layers, tensors that a module keeps beside buffers."""
    seen: dict[tuple[int, ...], Sequence[Any]] = field(default_factory=dict)
    """What was compared, kept alive: an id says who something is only while it lives."""

    def report(self, path: str, values: Sequence[Any], at: int) -> None:
        """Note that the layer ``at`` differs from the first."""
        self.found.append(
            Difference(path, self.indices[at], say(values[at]), say(values[0]), self.indices[0])
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
            self.compare(path, [kind_of(value) for value in values], depth)
            self.own.add(path)
        else:
            self._within(path, values, depth)

    def _plain(self, path: str, values: Sequence[Any]) -> None:
        if counts(values, self.numbers):
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
            yield f"[{say(key)}]", item
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        yield "", sorted(map(say, value))
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


def counts(values: Sequence[Any], numbers: Sequence[int] = ()) -> bool:
    """Whether the values number their layers: texts or integers in arithmetic progression.

    Of layers 0, 1, 2, ..., or those of ``numbers``: integers a + b times the layer's, b not 0.
    """
    numbers = numbers or range(len(values))
    if len(values) > 1 and all(type(value) is int for value in values):
        run, rise = numbers[1] - numbers[0], values[1] - values[0]
        pairs = zip(values, numbers, strict=True)
        on_line = all((v - values[0]) * run == (n - numbers[0]) * rise for v, n in pairs)
        return on_line and rise != 0
    if not all(isinstance(value, str) for value in values):
        return False
    if len({NUMBER.sub("#", value) for value in values}) != 1:
        return False
    columns = zip(*([int(n) for n in NUMBER.findall(value)] for value in values), strict=True)
    return all(len(set(column)) == 1 or counts(column, numbers) for column in columns)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


def say(value: Any) -> str:
    """Name a value in a message, in at most 60 characters."""
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, types.FunctionType | types.MethodType):
        return value.__qualname__
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def kind_of(buffer: Tensor | None) -> Any:
    """What a buffer is, but for its values."""
    return "absent" if buffer is None else (list(buffer.shape), buffer.dtype, buffer.device)
