"""Two checks by running the model: tied layers are copies of one another, and an untie reaches all.

What a foreign model does with its layers nobody can read off its code. So before the first update
the tied model is run against the same layers with weights of their own (equal copies): outputs of
every layer, loss and random numbers must be the same, the copies' gradients must add up to the
tied one, and every copy must get one wherever the tied weight does. After a split every new block
must get gradients wherever its sister does. What differs is refused by name.

Each is one or two forward and backward passes over the held batch, and leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError, FunctionChangedError
from swe.sharing.layout import Layout
from swe.sharing.passes import Loss, Pass, Stacks, gradients, layer_names
from swe.sharing.seeds import derive_seed
from swe.sharing.weights import named

TRIES = 24
"""Passes until a layer that is dropped at random has run: at one half, 6e-8 that it has not."""
SUMS = 0.02
"""Largest distance of summed gradients from the tied one, as a share of the sum of their norms.
bfloat16 rounds each to 2^-8 = 0.004; the mildest wrong model known was 0.13 off."""
NEAR = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.02}
"""How near outputs must be on devices that do not add in one order; bit for bit on the CPU."""
OFF = "; guards=False leaves this check out"


Gradients = dict[str, dict[str, Tensor | None]]
"""For each layer {name of its own weight: gradient or None}."""


@dataclass(frozen=True)
class _Try:
    """What one pass over layers with weights of their own reached: names, no tensors."""

    reached: dict[str, set[str]]
    ran: dict[str, set[str]]
    differentiable: set[str]

    @classmethod
    def of(cls, done: Pass, layers: Gradients) -> _Try:
        reached = {
            layer: {path for path, gradient in table.items() if gradient is not None}
            for layer, table in layers.items()
        }
        return cls(reached, done.ran, done.differentiable)


def check_tied(model: nn.Module, stacks: Stacks, loss: Loss) -> None:
    """Raise ConfigError unless tied layers compute and learn as separate copies of them would.

    ``loss`` runs the model on a held batch and is called at most ``TRIES + 2`` times, three times
    at most where no layer is dropped at random. Nothing is checked of gradients for a loss without
    a graph.
    """
    shared = [(name, stack) for name, stack in stacks if not stack.layout.is_untied]
    if not shared:
        return
    seed = derive_seed("guard", 0)
    blocks = {name: [dict(named(b)) for b in stack.blocks] for name, stack in shared}
    tied_parameters = [
        p for table in blocks.values() for block in table for p in block.values() if p.requires_grad
    ]
    tied, sums = gradients(model, shared, loss, seed, tied_parameters)
    if not math.isfinite(tied.loss.item()):
        return  # the loop will say so
    done, own = _own_gradients(model, shared, loss, seed)
    difference = _difference(tied, done)
    if difference:
        again, _ = gradients(model, shared, loss, seed, [])
        if _difference(tied, again):
            raise ConfigError(
                f"loss: is not the same twice on the same weights ({_difference(tied, again)}); "
                "let it run the model on one held batch, without drawing a new one" + OFF
            )
        raise ConfigError(
            f"{difference}: tied layers do not compute what copies of them would. Something is "
            "kept between layers or for one of them alone (a cache, a number, a weight held "
            "outside its module); name it in per_layer, or switch it off for training" + OFF
        )
    if not sums:
        return
    gradient_of = {id(p): g for p, g in zip(tied_parameters, sums, strict=True)}
    families: list[_Family] = []
    for name, stack in shared:
        names = layer_names(name, stack)
        for block, table in enumerate(blocks[name]):
            layers = [names[i] for i, owner in enumerate(stack.layout.owner) if owner == block]
            whole = {path: gradient_of.get(id(p)) for path, p in table.items()}
            families.append(_Family(layers, {path for path, g in whole.items() if g is not None}))
            for path, gradient in whole.items():
                if gradient is not None:
                    _require_sum(gradient, [own[layer].get(path) for layer in layers], path)
    tries = [_Try.of(done, own)]
    del own, sums, gradient_of
    while (lacking := _lacking(families, tries)) and len(tries) < TRIES:
        seed = derive_seed("guard", len(tries))
        tries.append(_Try.of(*_own_gradients(model, shared, loss, seed)))
    if lacking:
        raise ConfigError(
            f"{', '.join(sorted(lacking))}: gets no gradient from the loss, though the layers tied "
            "to it do: the model does not run it (it loops over another list, or over distinct "
            "modules), or runs other weights in its place; have it loop over the list that is "
            "tied, or leave the layer out by layers=..." + OFF
        )


def check_split(
    model: nn.Module, stacks: Stacks, loss: Loss, before: Mapping[str, Layout]
) -> tuple[str, ...]:
    """Raise FunctionChangedError where a new block gets no gradient though a sister does.

    ``before``: the layouts of the stacks that were split. One forward and backward pass. Returns
    notes on blocks that did not run on the held batch (an expert that nothing was routed to, a
    layer that was dropped), of which nothing can be said.
    """
    split = [(name, stack) for name, stack in stacks if name in before]
    tables = [[dict(named(block)) for block in stack.blocks] for _, stack in split]
    wanted = [p for blocks in tables for t in blocks for p in t.values() if p.requires_grad]
    done, found = gradients(model, split, loss, derive_seed("guard", 0), wanted)
    reached = {id(p) for p, g in zip(wanted, found, strict=False) if g is not None}
    notes = []
    for (name, stack), blocks in zip(split, tables, strict=True):
        layout, names = stack.layout, layer_names(name, stack)
        parents = layout.parents(before[name])
        got = [{path for path, p in table.items() if id(p) in reached} for table in blocks]
        for block, parent in enumerate(parents):
            family = set().union(*(got[b] for b, p in enumerate(parents) if p == parent))
            layers = [names[i] for i, owner in enumerate(layout.owner) if owner == block]
            ran = set().union(*(done.ran[layer] for layer in layers))
            for path in sorted(family - got[block]):
                if path.rpartition(".")[0] not in ran:
                    notes.append(f"{layers[0]}.{path}: did not run on the held batch")
                elif done.differentiable & set(layers):
                    raise FunctionChangedError(
                        f"{layers[0]}.{path}: gets no gradient after the untie, though the layers "
                        "that it was tied to do; what runs in its place keeps the old weights" + OFF
                    )
    return tuple(notes)


def _own_gradients(
    model: nn.Module, stacks: Stacks, loss: Loss, seed: int
) -> tuple[Pass, Gradients]:
    """Run with every layer holding leaves of its own."""
    with ExitStack() as held:
        keys: list[tuple[str, str]] = []
        tensors: list[Tensor] = []
        for name, stack in stacks:
            leaves = held.enter_context(stack.layer_leaves())
            for layer, table in zip(layer_names(name, stack), leaves, strict=True):
                for path, tensor in table.items():
                    if tensor.requires_grad:
                        keys.append((layer, path))
                        tensors.append(tensor)
        done, found = gradients(model, stacks, loss, seed, tensors)
    layers: Gradients = {layer: {} for layer, _ in keys}
    for (layer, path), gradient in zip(keys, found or [None] * len(keys), strict=True):
        layers[layer][path] = gradient
    return done, layers


@dataclass(frozen=True)
class _Family:
    """Layers that are tied, and the names of their weights that get a gradient."""

    layers: list[str]
    reached: set[str]


def _lacking(families: Sequence[_Family], tries: Sequence[_Try]) -> set[str]:
    """Layers, or weights of modules that ran, without a gradient where the tied one has it.

    In some of the tries a layer may not have run, or all of what it puts out may be detached.
    """
    lacking = set()
    for family in families:
        for layer in family.layers:
            got = set().union(*(one.reached.get(layer, ()) for one in tries))
            ran = set().union(*(one.ran[layer] for one in tries))
            detached = any(one.ran[layer] and layer not in one.differentiable for one in tries)
            if family.reached and not got and not detached:
                lacking.add(layer)
            elif got:
                missing = family.reached - got
                lacking |= {f"{layer}.{p}" for p in missing if p.rpartition(".")[0] in ran}
    return lacking


def _require_sum(whole: Tensor, parts: Sequence[Tensor | None], path: str) -> None:
    """Refuse copies whose gradients do not add up to the tied weight's."""
    if whole.is_sparse or all(part is None for part in parts):
        return
    given = [part.double() for part in parts if part is not None]
    distance = float((torch.stack(given).sum(0) - whole.double()).norm())
    scale = sum(float(part.norm()) for part in given)
    if distance > SUMS * scale:
        raise ConfigError(
            f"{path}: its tied gradient is {distance / scale:.3g} away from the sum of the layers' "
            "own: something between the layers keeps gradients to itself" + OFF
        )


def _difference(one: Pass, other: Pass) -> str:
    """Say where two passes first differ; empty where they do not."""
    if len(one.outputs) != len(other.outputs):
        return f"layers ran {len(one.outputs)} times, then {len(other.outputs)} times"
    for (name, first), (_, second) in zip(one.outputs, other.outputs, strict=True):
        if len(first) != len(second) or not all(map(_near, first, second)):
            return f"{name}: its output differs"
    if not _near(one.loss, other.loss):
        return f"the loss is {one.loss.item()!r}, then {other.loss.item()!r}"
    return "" if one.generators == other.generators else "random numbers are drawn otherwise"


def _near(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = one.detach(), other.detach()
    if one.device.type == "cpu" or not one.is_floating_point():
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
    size = float(one.abs().max()) if one.numel() else 0.0
    return bool(torch.allclose(one, other, rtol=0, atol=NEAR.get(one.dtype, 0) * size))
