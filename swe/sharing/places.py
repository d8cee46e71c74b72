"""Where a model keeps its layers: find the list, take part of it, see how it shares already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.weights import attributes_of, named, parameters_of, references

Container = nn.ModuleList | nn.Sequential | nn.ModuleDict
Where = str | Container | Sequence[str | Container]
"""A list of layers by its name in the model or itself; or several, as encoder and decoder."""
Selection = slice | Sequence[int] | None
"""Part of a list: a slice, or increasing indices (negative ones count from the end); None: all."""
Part = Selection | Mapping[str, Selection]
"""The same part of every list; or for several lists {name: part}."""


@dataclass(frozen=True)
class Places:
    """The layers that are to share, in the order in which they make up units.

    Of several lists, repeat r is the r-th unit of the first, then that of the second, and so on:
    they are one stack whose unit is as many times longer, so that they are untied together. Where
    the last repeat runs backwards it takes the lists in reverse order: each then runs backwards for
    itself, and shares with itself.
    """

    prefix: str
    """Name of ``root`` in the model."""
    root: nn.Module
    """The list, or the model where there are several."""
    names: tuple[str, ...]
    """Names of the layers relative to ``root``, (depth,)."""
    numbers: tuple[int, ...]
    """Place of each among those of its own list, (depth,)."""

    @property
    def layers(self) -> list[nn.Module]:
        """The modules, (depth,)."""
        return [self.root.get_submodule(name) for name in self.names]

    def parameters(self) -> dict[str, nn.Parameter]:
        """{full name: parameter} of all layers."""
        return {
            f"{self.full(index)}.{name}": parameter
            for index, layer in enumerate(self.layers)
            for name, parameter in named(layer)
        }

    def full(self, index: int) -> str:
        """Name of a layer in the model."""
        return f"{self.prefix}.{self.names[index]}".lstrip(".")


def find_places(
    model: nn.Module,
    where: Where,
    unit: int = 1,
    layers: Part = None,
    *,
    last_reversed: bool = False,
) -> Places:
    """Find the layers at ``where``, which make up units of ``unit`` layers in all.

    ``last_reversed``: the last of which runs backwards (:class:`swe.sharing.layout.Layout`).

    Raises ConfigError as :func:`name_of` and :func:`pick`, and for several lists unless they have
    as many layers each and ``unit`` takes them alike.
    """
    if isinstance(where, str | Container):
        prefix, container = name_of(model, where)
        picked = pick(prefix, container, _part(layers, prefix))
        return Places(prefix, container, picked, tuple(range(len(picked))))
    if not where:
        raise ConfigError("where: no list of layers is named")
    found = [name_of(model, one) for one in where]
    names = [
        [f"{prefix}.{name}" for name in pick(prefix, container, _part(layers, prefix))]
        for prefix, container in found
    ]
    counts = ", ".join(
        f"{prefix} {len(own)}" for (prefix, _), own in zip(found, names, strict=True)
    )
    if len({len(own) for own in names}) > 1:
        raise ConfigError(
            f"where: the lists have {counts} layers; lists that are untied together have as many "
            "each (layers={...} takes part of one)"
        )
    if len({id(container) for _, container in found}) < len(found):
        raise ConfigError(f"where: names a list twice ({counts})")
    depth, each = len(names[0]), unit // len(names)
    if unit % len(names) or depth % each:
        raise ConfigError(
            f"unit = {unit}: must take {len(names)} lists alike, and in each a divisor of "
            f"its {depth} layers"
        )
    order = [
        (own[r + j], r + j)
        for r in range(0, depth, each)
        for own in (names[::-1] if last_reversed and r + each == depth else names)
        for j in range(each)
    ]
    return Places("", model, tuple(name for name, _ in order), tuple(n for _, n in order))


def depth_of(model: nn.Module, where: Where, unit: int = 1, layers: Part = None) -> int:
    """Count the layers at ``where``. Raises ConfigError as :func:`find_places`."""
    return len(find_places(model, where, unit, layers).names)


def count_of(where: Where) -> int:
    """How many lists are named."""
    return 1 if isinstance(where, str | Container) else len(where)


def _part(layers: Part, prefix: str) -> Selection:
    return layers.get(prefix) if isinstance(layers, Mapping) else layers


def name_of(model: nn.Module, where: str | Container) -> tuple[str, Container]:
    """Return (name, list). Raises ConfigError when it is not there or is no list of layers."""
    for name, module in model.named_modules():
        if name == where or module is where:
            if not isinstance(module, Container):
                raise ConfigError(
                    f"{name}: is a {type(module).__name__}, must be a ModuleList, Sequential "
                    "or ModuleDict of layers"
                )
            return name, module
    lists = [name for name, module in model.named_modules() if isinstance(module, Container)]
    asked = repr(where) if isinstance(where, str) else "the list given"
    raise ConfigError(f"model: {asked} is not in it; its lists: {', '.join(lists) or 'none'}")


def pick(prefix: str, container: Container, layers: Selection) -> tuple[str, ...]:
    """Return the names of the places that ``layers`` takes, in the list's order.

    Raises ConfigError for a part that is empty, has a place twice or is not in the list's order.
    """
    names = list(container._modules)
    if layers is None:
        return tuple(names)
    if isinstance(layers, slice):
        chosen = list(range(len(names)))[layers]
    else:
        for index in layers:
            if not -len(names) <= index < len(names):
                raise ConfigError(f"layers: {index} is not among the {len(names)} of {prefix}")
        chosen = [index % len(names) for index in layers]
    if not chosen or sorted(set(chosen)) != chosen:
        raise ConfigError(
            f"layers = {layers!r}: must take one or more of the {len(names)} layers of {prefix}, "
            "each once, in their order"
        )
    return tuple(names[index] for index in chosen)


def layout_of(prefix: str, layers: Sequence[nn.Module], like: Layout) -> Layout:
    """Layout in units as ``like``'s by which the list shares now.

    Repeats of one group hold the same parameters. Raises ConfigError where there is none.
    """
    held = [_identity(layer) for layer in layers]
    first_of = like.in_units(held)[:: like.unit]
    cuts = [r for r, (one, other) in enumerate(pairwise(first_of)) if one != other]
    layout = Layout.tied(like.depth, like.unit, last_reversed=like.last_reversed).split(cuts)
    first: dict[tuple[int, ...], int] = {}
    owner = tuple(first.setdefault(key, len(first)) for key in held)
    if owner != layout.owner:
        last = ", the last one reversed" if like.last_reversed else ""
        raise ConfigError(f"{prefix}: layers repeat as {owner}, not in units of {like.unit}{last}")
    return layout


def _identity(layer: nn.Module) -> tuple[int, ...]:
    return tuple(map(id, parameters_of(layer).values())) or (id(layer),)


def require_owned(
    model: nn.Module, prefix: str, names: Sequence[str], layers: Sequence[nn.Module]
) -> None:
    """Every parameter belongs to its layers alone, and the model reaches it by the list.

    Layers that hold all parameters of another one share with it already; one that holds a part of
    them does not fit. Raises ConfigError.
    """
    head = f"{prefix}." if prefix else ""
    seen: dict[int, str] = {}
    distinct: set[tuple[int, ...]] = set()
    for place, layer in zip(names, layers, strict=True):
        if _identity(layer) in distinct:
            continue
        distinct.add(_identity(layer))
        for name, parameter in named(layer):
            full = f"{head}{place}.{name}"
            if id(parameter) in seen:
                raise ConfigError(f"{full}: is the same parameter as {seen[id(parameter)]}")
            seen[id(parameter)] = full
    if not seen:
        raise ConfigError(f"{prefix or 'the list'}: its layers have no parameters to tie")
    inside = {id(module) for layer in layers for module in layer.modules()}
    container = model.get_submodule(prefix)
    ways = [
        path for path, module in model.named_modules(remove_duplicate=False) if module is container
    ]
    ours = tuple(f"{way}.{name}.".lstrip(".") for way in ways for name in names)
    for name, parameter in named(model, twice=True):
        if id(parameter) in seen and not name.startswith(ours):
            raise ConfigError(f"{seen[id(parameter)]}: the model also reaches it as {name}")
    for path, module in model.named_modules():
        if id(module) in inside:
            continue
        for attribute, value in attributes_of(module):
            for parameter in references(value):
                if id(parameter) in seen:
                    raise ConfigError(
                        f"{seen[id(parameter)]}: the model also keeps it in its attribute "
                        f"{f'{path}.{attribute}'.lstrip('.')}, where it would not be tied"
                    )
