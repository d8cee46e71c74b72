"""Tie and untie the layers that a foreign model keeps in a list of its own.

Every layer stays the module it is, at its place, with its own attributes, hooks, buffers and
number; while tied, the layers of a block hold the same parameters. A parameter exists once
(``named_parameters`` names it at the first layer), so optimisers, clipping and checkpoints see it
once, and an untie gives the later layers parameters of their own.

``state_dict`` lists every layer at all times, tied weights as equal copies, so that a checkpoint
written in the tied phase opens in the unmodified model class. Loading one whose layers differ into
a list that shares them would keep the last layer's weights in silence, hence it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.sharing.alike import require_alike, require_known
from swe.sharing.blocks import equalise_weights
from swe.sharing.copying import copy_block
from swe.sharing.layout import Layout
from swe.sharing.places import (
    Part,
    Places,
    Where,
    find_places,
    layout_of,
    require_owned,
)
from swe.sharing.shapes import require_same_shape
from swe.sharing.stack import ADOPTED, all_stacks
from swe.sharing.weights import clone, hold, leaf, named, parameters_of, require_ready, twins


class LayerList:
    """A stack (see :class:`swe.sharing.stack.Stack`) inside somebody's list of layers.

    Made by :func:`share_layers`. Not a module: the list itself stays one. ``names`` are those of
    its layers, relative to ``root``, which is the list (or the model, of several lists).
    """

    def __init__(self, root: nn.Module, layout: Layout, names: Sequence[str]) -> None:
        self.root, self.layout, self.names = root, layout, tuple(names)

    def layer_modules(self) -> list[nn.Module]:
        """The modules of the layers, (depth,)."""
        return [self.root.get_submodule(name) for name in self.names]

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The first layer of each block, (block_count,)."""
        layers, owner = self.layer_modules(), self.layout.owner
        return [layers[owner.index(block)] for block in range(self.layout.block_count)]

    @property
    def block_names(self) -> tuple[str, ...]:
        """Name of the first layer of each block, relative to the list."""
        owner = self.layout.owner
        return tuple(self.names[owner.index(b)] for b in range(self.layout.block_count))

    def parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter once."""
        for block in self.blocks:
            yield from block.parameters()

    def relayout(self, layout: Layout) -> dict[str, str]:
        """Split blocks, in place; as :meth:`swe.sharing.stack.SharedStack.relayout`."""
        parents = layout.parents(self.layout)
        old_names = self.block_names
        held = [parameters_of(block) for block in self.blocks]
        taken: set[int] = set()
        for index, parent in enumerate(parents):
            own = twins(held[parent], clone) if parent in taken else held[parent]
            taken.add(parent)
            for layer, owner in zip(self.layer_modules(), layout.owner, strict=True):
                if owner == index:
                    hold(layer, own)
        self.layout = layout
        return {
            f"{place}.{name}": f"{old_names[parent]}.{name}"
            for place, parent, block in zip(self.block_names, parents, self.blocks, strict=True)
            for name, _ in named(block)
        }

    def retie(self, layout: Layout) -> None:
        """Before training only: the first layer of each block of ``layout`` lends its weights."""
        if not (self.layout.is_untied and self.layout.depth == layout.depth):
            self.layout.parents(layout)
        layers = self.layer_modules()
        for layer, block in zip(layers, layout.owner, strict=True):
            hold(layer, parameters_of(layers[layout.owner.index(block)]))
        self.layout = layout

    def equalise(self) -> None:
        """Copy the first repeat's weights into every other repeat (equal start)."""
        equalise_weights(self.layout.in_units(self.blocks), self.layout.unit)

    @contextmanager
    def layer_leaves(self) -> Iterator[list[dict[str, Tensor]]]:
        """Within the context each layer holds leaves of its own over the same storage.

        They last until the gradients are taken, which gradient checkpointing needs.
        """
        layers = self.layer_modules()
        held = [parameters_of(layer) for layer in layers]
        own = [twins(parameters, leaf) for parameters in held]
        try:
            for layer, leaves in zip(layers, own, strict=True):
                hold(layer, leaves)
            once = [[name for name, _ in named(layer)] for layer in layers]
            yield [{n: leaves[n] for n in names} for leaves, names in zip(own, once, strict=True)]
        finally:
            for layer, parameters in zip(layers, held, strict=True):
                hold(layer, parameters)


def share_layers(
    model: nn.Module,
    where: Where,
    layout: Layout,
    *,
    layers: Part = None,
    per_layer: Sequence[str] = (),
    ignore: Sequence[str] = (),
    equal: bool = False,
) -> LayerList:
    """Put the layers at ``where`` in ``model`` (a name, or the list itself) under ``layout``.

    Several lists of as many layers (encoder and decoder) are one stack: its unit has a unit of each
    (:class:`swe.sharing.places.Places`), and they are untied together. ``layers`` takes part of the
    list, a slice or indices; the others stay as they are. The list may be untied, or share already
    as an ALBERT-like model does; it is tied (the first layers lend their weights) or split as
    ``layout`` asks. Do it before the optimiser is built, or use :func:`swe.sharing.adopt.adopt`,
    which takes dropped parameters out of it. With ``equal`` layers to be tied must hold the same
    weights already (a run that is resumed).

    ``per_layer`` names attributes, buffers or modules without weights that differ and stay each
    layer's own while the weights are tied (drop path, window size, rotary base, kind of attention);
    ``ignore`` those that do not matter (counters, caches). A layer's number needs neither.

    Raises ConfigError, with nothing changed, when there is no such list or its length is not the
    layout's depth; when layers to be tied, those at one position of the unit, differ
    (:func:`swe.sharing.alike.require_alike`); when parameters cannot be shared or copied
    (:func:`swe.sharing.weights.require_ready`); or when layers share a parameter among one another,
    or the model reaches one by another way than the list.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
            raise ConfigError(
                f"model: {name or 'it'} is wrapped in {type(module).__name__}, which would go on "
                "with the tied parameters alone; give the model inside, and wrap anew at an untie"
            )
        if type(module).__name__ == "FullyShardedDataParallel":
            raise ConfigError(
                f"model: {name or 'it'} is wrapped in {type(module).__name__}, which holds flat "
                "weights; tie before it is wrapped, and untie in a run that is resumed"
            )
    for name, _ in all_stacks(model):
        raise ConfigError(
            f"model: {name or 'it'} is a shared stack already; several lists are tied in one call, "
            "where=[one, other]"
        )
    places = find_places(model, where, layout.unit, layers, last_reversed=layout.last_reversed)
    prefix, names, modules = places.prefix, places.names, places.layers
    if len(modules) != layout.depth:
        raise ConfigError(
            f"{prefix}: {len(modules)} layers, the layout {layout} is for {layout.depth}"
        )
    require_ready(prefix, names, modules)
    full = [places.full(index) for index in range(len(modules))]
    require_same_shape(modules, layout, full)
    require_known(prefix, modules, layout, [*per_layer, *ignore])
    if not layout.is_untied:
        require_alike(
            prefix,
            names,
            modules,
            layout,
            per_layer=per_layer,
            ignore=ignore,
            numbers=places.numbers,
        )
    require_owned(model, prefix, names, modules)
    present = layout_of(prefix, modules, layout)
    if not present.is_untied and not layout.refines(present) and not present.refines(layout):
        raise ConfigError(f"{prefix}: shares as {present}, which cannot become {layout}")
    if equal:
        _require_equal(places, modules, layout)
    seen: set[int] = set()
    for name, module in zip(names, modules, strict=True):
        if id(module) in seen:  # one module at many places: from now on a module a place
            parent, _, place = name.rpartition(".")
            places.root.get_submodule(parent)._modules[place] = twin = copy_block(module)
            hold(twin, parameters_of(module))
        seen.add(id(module))
    return _put(places.root, present, names, layout)


def share_as(root: nn.Module, like: LayerList) -> LayerList:
    """Tie the layers of ``root``, a copy of ``like.root`` made before that was tied, as it is."""
    return _put(root, like.layout.untie(), like.names, like.layout)


def _put(root: nn.Module, present: Layout, names: Sequence[str], layout: Layout) -> LayerList:
    """Bring the layers from the layout they have to the one asked for, and say so in the root."""
    found = LayerList(root, present, names)
    if layout.refines(present):
        found.relayout(layout)
    else:
        found.retie(layout)
    root.__dict__[ADOPTED] = found
    root.register_state_dict_post_hook(_copies_of_tied)
    root.register_load_state_dict_pre_hook(_refuse_unequal)
    root.register_load_state_dict_post_hook(_hold_again)
    return found


def _require_equal(places: Places, layers: Sequence[nn.Module], layout: Layout) -> None:
    for index, block in enumerate(layout.owner):
        first = layout.owner.index(block)
        kept = dict(named(layers[first]))
        for name, parameter in named(layers[index]):
            if not torch.equal(parameter, kept[name]):
                raise ConfigError(
                    f"{places.full(index)}.{name}: differs from layer {places.names[first]}, with "
                    "which the resumed run shares it; load that run's weights first"
                )


# Hooks are plain functions that find the stack by the container: a deep copy of the model is whole.
def _later_uses(root: nn.Module, prefix: str) -> Iterator[tuple[str, str]]:
    """Pairs (name of a tied parameter at a later layer, its name at the first one of its block)."""
    stack: LayerList = root.__dict__[ADOPTED]
    owner, layers = stack.layout.owner, stack.layer_modules()
    for layer, block in enumerate(owner):
        first = owner.index(block)
        if first != layer:
            # A state_dict is named by the layer itself, which may leave out a wrapper's own name.
            for name, _ in layers[layer].named_parameters(remove_duplicate=False):
                yield f"{prefix}{stack.names[layer]}.{name}", f"{prefix}{stack.names[first]}.{name}"


def _copies_of_tied(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any]
) -> None:
    for name, _ in _later_uses(module, prefix):
        if isinstance(state_dict.get(name), Tensor):
            state_dict[name] = state_dict[name].detach().clone()


def _refuse_unequal(module: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
    for later, first in _later_uses(module, prefix):
        one, other = state_dict.get(later), state_dict.get(first)
        if one is not None and other is not None and not torch.equal(one, other):
            raise ConfigError(
                f"{later}: differs from {first}, but the model shares these layers; load it "
                "before the model is tied"
            )


def _hold_again(module: nn.Module, incompatible: Any) -> None:
    """After a load that assigned parameters instead of copying into them: share them again."""
    stack: LayerList = module.__dict__[ADOPTED]
    stack.retie(stack.layout)
