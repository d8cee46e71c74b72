"""How a list of layers is taken: as it is, by what a refusal itself names, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.foreign.route import (
    NEAR,
    Case,
    Make,
    descent,
    distance,
    fitting_rate,
    layers_at,
    seed,
)
from swe.base.errors import SweError
from swe.sharing.adopt import share
from swe.sharing.schedule import SweFixed

REMEDY = re.compile(r"per_layer=\('([^']+)',\)")
MOST = 6
"""Names given to ``per_layer`` before it is given up."""
LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


@dataclass
class Found:
    """What became of one list of one model."""

    where: str
    depth: int
    way: str = ""
    """"as it is", or the options that were needed; empty: not taken."""
    distance: float | None = None
    """From the other route, as a share of what was learnt."""
    refusal: str = ""
    """The line of the first refusal."""
    generates: str = ""
    """"same" or what differs, for models that generate."""
    wrong: str = ""
    """What is not as it should be: an error of another kind, another result."""
    told: str = ""
    """The line of the last refusal."""
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the row of the record."""
        kept = {
            k: v
            for k, v in vars(self).items()
            if k not in ("options", "told") and v not in ("", None)
        }
        if self.distance is not None:
            kept["distance"] = float(f"{self.distance:.1g}")
        return kept


def lists_of_layers(case: Case) -> list[tuple[str, int]]:
    """Names, lengths of the outermost lists whose layers run or learn, mostly of one shape."""
    model = case.build()
    ran: set[int] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, *_: ran.add(id(module)))
        for module in model.modules()
    ]
    seed(0)
    case.loss(model).backward()
    with suppress(Exception), torch.no_grad():  # training drops layers at random
        case.loss(model.eval())
    for hook in hooks:
        hook.remove()
    for module in model.modules():  # called past its hooks, by forward
        if any(p.grad is not None for p in module.parameters()):
            ran.add(id(module))
    found: list[tuple[str, int]] = []
    for name, module in model.named_modules():
        if not isinstance(module, LISTS) or any(name.startswith(f"{n}.") for n, _ in found):
            continue
        layers = list(module.children())
        shapes = [
            tuple((n, p.shape) for n, p in layer.named_parameters())
            for layer in layers
            if id(layer) in ran
        ]
        alike = max((shapes.count(shape) for shape in shapes if shape), default=0)
        if len(layers) >= 3 and 2 * alike >= len(layers):
            found.append((name, len(layers)))
    return found


def attempts(depth: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (unit, options) in the order in which they are tried."""
    yield 1, {}
    if depth % 2 == 0:
        yield 2, {}
    for first in (1, 2):
        if depth - first >= 2:
            yield 1, {"layers": slice(first, None)}
            yield 1, {"layers": slice(None, -first)}
    if depth >= 4:
        yield 1, {"layers": slice(1, -1)}
    if depth >= 4:
        yield 1, {"layers": list(range(1, depth, 2))}
    if depth >= 6 and depth % 2 == 0:
        yield 2, {"layers": slice(None, -2)}


def in_words(unit: int, options: dict[str, Any]) -> str:
    """Say the options as they are written in a call."""
    words = [f"unit={unit}"] if unit > 1 else []
    for name, value in options.items():
        if isinstance(value, slice):
            value = f"slice({value.start}, {value.stop})"
        words.append(f"{name}={value}")
    return ", ".join(words) or "as it is"


def tried(case: Case, where: str, depth: int, make: Make) -> Found:
    """Find a way in, held against the other route: plain ones, then with names in ``per_layer``."""
    found = Found(where, depth)
    try:
        for unit, options in attempts(depth):
            if _taken(found, case, make, unit, options):
                return found
        for unit, options in attempts(depth):
            names: list[str] = []
            while len(names) < MOST:
                if _taken(found, case, make, unit, {**options, "per_layer": tuple(names)}):
                    return found
                more = REMEDY.search(found.told)
                if more is None or more[1] in names:
                    break
                names.append(more[1])
    except Exception as error:
        found.wrong = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return found


def _taken(found: Found, case: Case, make: Make, unit: int, options: dict[str, Any]) -> bool:
    try:
        found.distance = distance(case, found.where, make, unit, **options)
    except SweError as error:
        found.told = str(error)
        found.refusal = found.refusal or found.told
        return False
    found.way, found.options = in_words(unit, options), {"unit": unit, **options}
    if not found.distance < NEAR:
        found.wrong = f"{found.distance:.2g} away from untied copies"
    return True


def attempted(case: Case) -> list[Found]:
    """Try every list of layers of a model."""
    make = descent(fitting_rate(case))
    return [tried(case, where, depth, make) for where, depth in lists_of_layers(case)]


def tied_and_stock(case: Case, where: str, unit: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return the tied model and the stock class with its weights, both in evaluation mode."""
    tied, stock = case.build(), case.build()
    share(tied, where, SweFixed(unit=unit), **options)
    stock.load_state_dict(tied.state_dict())
    layers = layers_at(stock, where, unit, options.get("layers"))
    assert len({id(p) for layer in layers for p in layer.parameters()}) > unit
    return tied.eval(), stock.eval()


def generates_alike(case: Case, where: str, inputs: dict[str, Any], **options: Any) -> str:
    """Generate with and without a cache while tied; "same", or where the stock class differs.

    Empty where the stock class does not generate from these inputs: nothing to compare with.
    """
    tied, stock = tied_and_stock(case, where, **options)
    for cache in (True, False):
        try:
            other = _generated(stock, inputs, cache=cache)
        except Exception:
            return ""
        one = _generated(tied, inputs, cache=cache)
        if not torch.equal(one.sequences, other.sequences):
            return f"other tokens, use_cache={cache}"
        scores = (getattr(out, "scores", None) or () for out in (one, other))
        if not all(torch.equal(a, b) for a, b in zip(*scores, strict=True)):
            return f"other scores, use_cache={cache}"
    return "same"


def _generated(model: Any, inputs: dict[str, Any], *, cache: bool) -> Any:
    seed(0)
    model.generation_config.eos_token_id = None  # as many tokens as are asked for
    return model.generate(
        **inputs,
        max_new_tokens=5,
        do_sample=False,
        num_beams=1,
        use_cache=cache,
        return_dict_in_generate=True,
        output_scores=True,
    )
