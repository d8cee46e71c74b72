"""One per cent on a closed form, everywhere at once: what `test_mutations` applies and runs.

A mutant calls the function and returns 1.01 times what it says (an integer at least one more, a
truth value its opposite). It replaces the function in every module that holds it, caches are
emptied before and after, and a test is called as pytest would, once for each parameter set.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from mpmath import iv

FACTOR = 1.01


class Unscalable(BaseException):
    """A result that is no number: not an Exception, so that no test can seem to fail by it."""


def scaled(value: Any) -> Any:
    """1.01 times a number, an array, an interval, or every number of a tuple, list or dict."""
    if isinstance(value, (bool, np.bool_)):
        return not value
    if isinstance(value, (int, np.integer)):
        return value + max(1, round((FACTOR - 1.0) * value))
    if isinstance(value, (float, complex, np.floating, np.complexfloating)):
        return FACTOR * value
    if isinstance(value, np.ndarray):
        return FACTOR * value
    if isinstance(value, tuple):
        # A record may carry names or indices beside its numbers.
        parts = [scaled(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [scaled(part) for part in value]
    if isinstance(value, dict):
        return {key: scaled(part) for key, part in value.items()}
    if isinstance(value, type(iv.mpf(1))):
        return value * FACTOR
    if value is None or isinstance(value, str):
        return value
    raise Unscalable(f"cannot scale {type(value).__name__}")


def mutant(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def changed(*args: Any, **kwargs: Any) -> Any:
        return scaled(function(*args, **kwargs))

    return changed


def _modules() -> list[types.ModuleType]:
    return [m for name, m in list(sys.modules.items()) if name.split(".")[0] in ("theory", "tests")]


def _forget() -> None:
    """Empty every cache: a table computed from the mutant must not outlive it, nor the reverse."""
    for module in _modules():
        for value in list(vars(module).values()):
            if isinstance(value, functools._lru_cache_wrapper):
                value.cache_clear()


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """`name` ("room.module.function" or "room.module.Class.member" of theory, in rooms however
    deep) replaced by its mutant."""
    holder: Any = import_module("theory")
    path = name.split(".")
    while hasattr(holder, "__path__"):
        holder = import_module(f"{holder.__name__}.{path.pop(0)}")
    with pytest.MonkeyPatch.context() as patch:
        if len(path) == 2:
            holder = getattr(holder, path[0])
            member = inspect.getattr_static(holder, path[1])
            if isinstance(member, property):
                assert member.fget is not None
                patch.setattr(holder, path[1], property(mutant(member.fget)))
            else:
                patch.setattr(holder, path[1], mutant(member))
        else:
            original = getattr(holder, path[0])
            changed = mutant(original)
            for place in _modules():
                for attribute, value in list(vars(place).items()):
                    if value is original:
                        patch.setattr(place, attribute, changed)
        _forget()
        try:
            yield
        finally:
            _forget()


def cases(test: Callable[..., Any]) -> list[dict[str, Any]]:
    """The parameter sets of a test, in pytest's marks."""
    sets: list[list[dict[str, Any]]] = []
    for mark in getattr(test, "pytestmark", []):
        if mark.name != "parametrize":
            continue
        names, values = mark.args[:2]
        keys = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
        sets.append([dict(zip(keys, (v,) if len(keys) == 1 else v, strict=True)) for v in values])
    return [functools.reduce(lambda a, b: a | b, parts, {}) for parts in itertools.product(*sets)]


def first_failure(name: str, test: Callable[..., Any]) -> dict[str, Any] | None:
    """The first parameter set with which `test` fails under the mutant of `name`; None for none."""
    with mutated(name):
        for case in cases(test):
            try:
                test(**case)
            except Exception:
                return case
    return None


def public(module: str) -> list[str]:
    """The public functions, methods and properties that theory/<module>.py defines."""
    loaded = import_module(f"theory.{module}")
    found = []
    for name, value in vars(loaded).items():
        if name.startswith("_") or getattr(value, "__module__", None) != loaded.__name__:
            continue
        if inspect.isclass(value):
            found += [
                f"{module}.{name}.{member}"
                for member, what in vars(value).items()
                if not member.startswith("_")
                and (inspect.isfunction(what) or isinstance(what, property))
            ]
        elif callable(value):
            found.append(f"{module}.{name}")
    return found
