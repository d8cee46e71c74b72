"""Typed configuration: unknown keys and impossible values fail at once, by name and range.

A configuration is a frozen, keyword-only dataclass; nested dataclasses and tagged unions (a field
whose type is a :class:`Tagged` class, such as ``Schedule``) are allowed. ``to_dict``
and ``from_dict`` are inverse to one another, so the JSON in a run folder is the whole truth.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from swe.base.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class Tagged:
    """Base of a tagged union's base class: subclasses of that one are its kinds, by their ``kind``.

    One that sets no ``kind`` of its own is none: it cannot be read back from a configuration.
    """

    kinds: ClassVar[dict[str, type[Any]]]
    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Tagged in cls.__bases__:
            cls.kinds = {}
        elif cls.__dict__.get("kind"):
            cls.kinds[cls.kind] = cls


def require(condition: bool, name: str, value: Any, allowed: str) -> None:
    """Raise ConfigError("name = value: must be allowed") unless ``condition`` holds."""
    if not condition:
        text = repr(value)
        text = text if len(text) <= 300 else f"{text[:300]}..."
        raise ConfigError(f"{name} = {text}: must be {allowed}")


def require_between(
    name: str,
    value: float,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Refuse a number that is not finite or not in [low, high] (ends open as said)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    inside = (
        number
        and math.isfinite(value)
        and (low < value if open_low else low <= value)
        and (value < high if open_high else value <= high)
    )
    left, right = "(" if open_low else "[", ")" if open_high else "]"
    require(inside, name, value, f"in {left}{low}, {high}{right}")


LARGEST_COUNT = 2**53
"""Every integer up to here is a float, exactly: counts are multiplied with fractions."""


def require_count(name: str, value: int, low: int = 1, high: int = LARGEST_COUNT) -> None:
    """Refuse anything but an integer in low..high."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    top = "" if high == LARGEST_COUNT and whole and value <= high else f" and at most {high}"
    require(whole and low <= value <= high, name, value, f"an integer, at least {low}{top}")


LATER = {"later": True}
"""Metadata of a field that there was not, once: written where it is not its default, so that what
does not use it is written as it was."""


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration dataclass into JSON-able data; a tagged union carries its ``kind``.

    But for the union's ``untagged`` kind, if it has one: the only one that there was, once. And
    but for fields marked as ``LATER`` at their default.
    """
    out: dict[str, Any] = {}
    kind = getattr(type(config), "kind", None)
    if kind is not None and kind != getattr(type(config), "untagged", None):
        out["kind"] = kind
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata.get("later") and value == field.default:
            continue
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        elif isinstance(value, tuple):
            value = [to_dict(one) if dataclasses.is_dataclass(one) else one for one in value]
        out[field.name] = value
    return out


def from_dict(cls: type[T], data: Mapping[str, Any], *, where: str = "") -> T:
    """Build a configuration from JSON data.

    Raises ConfigError for an unknown key (the known ones are listed), an unknown kind, a missing
    key, or whatever the dataclass itself refuses; ``where`` prefixes the names in messages.
    """
    require(isinstance(data, Mapping), where or cls.__name__, data, "a table of named values")
    given = dict(data)
    kinds: dict[str, type[T]] | None = getattr(cls, "kinds", None)
    if kinds is not None:
        kind = given.pop("kind", getattr(cls, "untagged", None))
        known_kind = isinstance(kind, str) and kind in kinds
        require(known_kind, f"{where}kind", kind, f"one of {', '.join(sorted(kinds))}")
        cls = kinds[typing.cast(str, kind)]
    known = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    for name in given:
        require(name in known, f"{where}{name}", given[name], f"absent; known: {sorted(known)}")
    for name, field in known.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        require(name in given or not required, f"{where}{name}", None, "given")
        if name in given:
            given[name] = _convert(hints[name], given[name], f"{where}{name}")
    return cls(**given)


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Check ``value`` against a field's type, building nested dataclasses and tuples."""
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type[Any], hint), value, where=f"{name}.")
    origin = typing.get_origin(hint)
    if origin is tuple:
        require(isinstance(value, list | tuple), name, value, "a list")
        inner = typing.get_args(hint)
        each = inner[0] if inner[1:] == (...,) else Any
        return tuple(value if each is Any else [_convert(each, item, name) for item in value])
    if origin is dict:
        require(isinstance(value, Mapping), name, value, "a table of named values")
        inner = typing.get_args(hint)[1]
        return {str(key): _convert(inner, item, f"{name}.{key}") for key, item in value.items()}
    if origin is typing.Literal:
        options = typing.get_args(hint)
        require(value in options, name, value, f"one of {', '.join(map(str, options))}")
        return value
    allowed = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    if value is not None:
        for kind in allowed:
            if dataclasses.is_dataclass(kind):
                return _convert(kind, value, name)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return value if int in allowed else float(value)
    plain = tuple(kind for kind in allowed if isinstance(kind, type))
    wrong_bool = isinstance(value, bool) and bool not in plain
    names = " or ".join("nothing" if k is types.NoneType else k.__name__ for k in plain)
    require(isinstance(value, plain) and not wrong_bool, name, value, f"of type {names}")
    return value


def first_difference(one: Any, other: Any, where: str = "") -> str:
    """Name the first place at which two JSON values differ ("" when they are equal)."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            inner = first_difference(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
            if inner:
                return inner
        return ""
    return (
        ""
        if one == other
        else f"{where}: {one_line(repr(one))} there, {one_line(repr(other))} here"
    )


def one_line(what: object, length: int = 200) -> str:
    """Return text on one line of bearable length: what is quoted may come from a damaged file."""
    text = " ".join(str(what).split())
    return text if len(text) <= length else f"{text[:length]}..."
