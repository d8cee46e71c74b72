"""What a grown model begins with: its weights, and the optimiser's state, by its lines.

Three ways for Adam's moments, as at an untie:

- ``mapped``: by the duals of the maps (swe.transforms.maps), so that they are those of the large
  model constrained to the map: exact for copies of units, a stated approximation for dense maps;
- ``copy``: as the weights are copied, without any factor; refused for dense maps, where none is;
- ``reset``: none; moments and bias correction start anew.

Layers that are copied in depth have the moments of the layer copied; what was not there before
(a tensor all of whose terms are multiplied by 0) has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from swe.base.config import require
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.transforms.maps import Copies, Dense, Line, Power, Term, is_drawn_anew, mapped_weight, own

Carry = Literal["mapped", "copy", "reset"]
T = TypeVar("T")
HELD = 12
"""Mapped moments that are kept at most for the next line: more would be more than the model."""
FIRST, SECOND = ("exp_avg",), ("exp_avg_sq", "max_exp_avg_sq")


def grown_weights(
    lines: Mapping[str, Line], weights: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Return the weights of the large model. ConfigError where one has not the shape it must.

    What several lines take under the same maps (a fitted map's old layers, of which each new one is
    a sum) is mapped once, and held until the last of them has it.
    """
    found = {}
    uses = Counter(term.key for line in lines.values() for term in line)
    held: dict[tuple[object, ...], Tensor] = {}
    for name in _grouped(lines):
        line = lines[name]
        for term in line:
            require(term.parent in weights, "parent", term.parent, "a weight of the small model")
            if term.key not in held and uses[term.key] > 1:
                with torch.no_grad():
                    held[term.key] = term.mapped(weights)
        found[name] = weight = mapped_weight(line, weights, held)
        for term in line:
            uses[term.key] -= 1
            if not uses[term.key]:
                held.pop(term.key, None)
        if name not in shapes or weight.shape != shapes[name]:
            have = tuple(shapes[name]) if name in shapes else "no such weight"
            raise ConfigError(f"{name}: grows to {tuple(weight.shape)}, the large model has {have}")
    missing = sorted(shapes.keys() - lines.keys())
    if missing:
        raise ConfigError(f"{missing[0]}: nothing says what the large model's is made of")
    return {name: found[name] for name in lines}


def untied(named: Mapping[str, T], stack: str, layout: Layout) -> dict[str, T]:
    """Return what is kept by name as an untied model has it: a tied layer's once a layer.

    ``stack``: where the blocks are, as in swe.transforms.anatomy; ``layout``: who runs which.
    """
    found = {name: one for name, one in named.items() if not name.startswith(f"{stack}.")}
    for layer, block in enumerate(layout.owner):
        head = f"{stack}.{block}."
        for name, one in named.items():
            if name.startswith(head):
                found[f"{stack}.{layer}.{name.removeprefix(head)}"] = one
    return found


@torch.no_grad()
def grown_state(
    lines: Mapping[str, Line], states: Mapping[str, Mapping[str, Any]], carry: Carry
) -> dict[str, dict[str, Any]]:
    """Return the optimiser's state of the large model, by names of parameters, as ``states`` is.

    Step counts are kept; a parameter whose parents have no state has none. ConfigError for a
    tensor in the state, of the parameter's shape, that is neither a first nor a second moment.
    """
    require(carry in ("mapped", "copy", "reset"), "carry", carry, "mapped, copy or reset")
    if carry == "reset":
        return {}
    kept: dict[str, list[Term]] = {}
    for name, line in lines.items():
        terms = [term for term in line if term.parent in states]
        if terms and not is_drawn_anew(line):
            kept[name] = [_plain(term) for term in terms] if carry == "copy" else terms
    uses = Counter(term.key for terms in kept.values() for term in terms)
    held: dict[tuple[object, ...], Tensor] = {}
    found = {}
    for name in _grouped(kept):
        terms = kept[name]
        first = states[terms[0].parent]
        found[name] = {
            key: _entry(key, value, terms, states, uses, held) for key, value in first.items()
        }
        uses.subtract(term.key for term in terms)
        for one in [one for one in held if not uses[one[1:]]]:
            del held[one]
    return {name: found[name] for name in kept}


def _grouped(lines: Mapping[str, Sequence[Term]]) -> list[str]:
    """Names so ordered that what is mapped once for several lines is held for those alone."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, line in lines.items():
        groups.setdefault(line[0].key, []).append(name)
    return [name for group in groups.values() for name in group]


def power_of(key: str) -> Power:
    """Return 1 for a first moment, 2 for a second one. ConfigError for what is neither."""
    if key not in (*FIRST, *SECOND):
        raise ConfigError(f"optimizer: its {key} is no moment of Adam's; grow with carry = 'reset'")
    return 1 if key in FIRST else 2


def _entry(
    key: str,
    value: Any,
    terms: list[Term],
    states: Mapping[str, Mapping[str, Any]],
    uses: Mapping[tuple[object, ...], int],
    held: dict[tuple[object, ...], Tensor],
) -> Any:
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value.clone() if isinstance(value, Tensor) else value
    power = power_of(key)

    def mapped(term: Term) -> Tensor:
        place = key, *term.key
        if place in held:
            return held[place]
        made = term.mapped_moment(states[term.parent][key], power)
        if uses[term.key] > 1 and len(held) < HELD:
            held[place] = made
        return made

    first, *rest = (term.scaled_moment(mapped(term), power) for term in terms)
    total = own(first, states[terms[0].parent][key], *held.values())
    for part in rest:
        total += part
    return total


def _plain(term: Term) -> Term:
    """A term whose gradients are copied: what it leaves out it still leaves out."""
    if any(isinstance(axis, Dense) for axis in term.axes):
        raise ConfigError(
            "carry = 'copy': a fitted map copies nothing; grow with carry = 'mapped' or 'reset'"
        )
    axes = tuple(
        Copies(axis.index, axis.scale, (axis.dual != 0).double())
        if isinstance(axis, Copies)
        else axis
        for axis in term.axes
    )
    return replace(term, axes=axes, dual=float(term.scale != 0))
