"""Tie and untie the layers that a foreign model keeps in its own ModuleList or Sequential.

The foreign forward loops over its list, so sharing is said in that list: while tied it holds one
module at several places. A parameter still exists once (``named_parameters`` names it at the first
place), no parameter is assigned to another, and the list stays the same object with the same names.

``state_dict`` lists every layer at all times, tied ones as equal copies, so that a checkpoint
written in the tied phase opens in the unmodified model class. Loading one whose layers differ into
a list that shares them would keep the last layer's weights in silence, hence it is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.stack import (
    ADOPTED,
    all_stacks,
    clone_block,
    equalise_blocks,
    require_same_shape,
)

Container = nn.ModuleList | nn.Sequential
# A layer's own number, which models use for caches: each untied layer gets its own back.
INDICES = frozenset({"layer_idx", "layer_index", "layer_id", "layer_number", "block_idx"})
_PLAIN = (bool, int, float, str, type(None))


class LayerList:
    """A stack (see :class:`swe.sharing.stack.Stack`) inside somebody's list of layers.

    Made by :func:`share_layers`. Not a module: the list itself stays one.
    """

    def __init__(self, container: Container, layout: Layout) -> None:
        self.container, self.layout = container, layout
        self.names = tuple(container._modules)
        self._numbers = [_numbers(layer) for layer in self._layers()]

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The distinct modules, (block_count,)."""
        layers, owner = self._layers(), self.layout.owner
        return [layers[owner.index(block)] for block in range(self.layout.block_count)]

    @property
    def block_names(self) -> tuple[str, ...]:
        """Name of the first layer of each block, relative to the list."""
        owner = self.layout.owner
        return tuple(self.names[owner.index(b)] for b in range(self.layout.block_count))

    def parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter once."""
        return self.container.parameters()

    def relayout(self, layout: Layout) -> dict[str, str]:
        """Split blocks, in place; as :meth:`swe.sharing.stack.SharedStack.relayout`."""
        parents = layout.parents(self.layout)
        old, old_names = self.blocks, self.block_names
        taken: set[int] = set()
        blocks: list[nn.Module] = []
        for index, parent in enumerate(parents):
            block = old[parent]
            if parent in taken:
                block = clone_block(block)
                _renumber(block, self._numbers[layout.owner.index(index)])
            taken.add(parent)
            blocks.append(block)
        self._put([blocks[owner] for owner in layout.owner])
        self.layout = layout
        return {
            f"{place}.{name}": f"{old_names[parent]}.{name}"
            for place, parent, block in zip(self.block_names, parents, blocks, strict=True)
            for name, _ in block.named_parameters()
        }

    def retie(self, layout: Layout) -> None:
        """Before training only: keep the first layer of each block of ``layout``, drop the rest."""
        if not (self.layout.is_untied and self.layout.depth == layout.depth):
            self.layout.parents(layout)
        layers = self._layers()
        self._put([layers[layout.owner.index(block)] for block in layout.owner])
        self.layout = layout

    def equalise(self) -> None:
        """Copy the first repeat's weights and buffers into every other repeat (equal start)."""
        equalise_blocks(self.blocks, self.layout.unit)

    @contextmanager
    def layer_leaves(self) -> Iterator[list[dict[str, Tensor]]]:
        """Within the context each place of the list holds a layer with leaves of its own.

        The layers are copies over the same storage, so nothing is allocated but module objects;
        they last until the gradients are taken, which gradient checkpointing needs.
        """
        layers = self._layers()
        views, leaves = [], []
        for layer in layers:
            own = {
                name: nn.Parameter(p.detach(), p.requires_grad)
                for name, p in layer.named_parameters()
            }
            memo: dict[int, Any] = {id(p): own[name] for name, p in layer.named_parameters()}
            memo |= {id(buffer): buffer for buffer in layer.buffers()}
            views.append(copy.deepcopy(layer, memo))
            leaves.append(dict[str, Tensor](own))
        self._put(views)
        try:
            yield leaves
        finally:
            self._put(layers)

    def _layers(self) -> list[nn.Module]:
        layers = [self.container._modules[name] for name in self.names]
        return [layer for layer in layers if layer is not None]

    def _put(self, layers: Sequence[nn.Module]) -> None:
        for name, layer in zip(self.names, layers, strict=True):
            self.container._modules[name] = layer


def share_layers(
    model: nn.Module, where: str | Container, layout: Layout, *, equal: bool = False
) -> LayerList:
    """Put the layers at ``where`` in ``model`` (a name, or the list itself) under ``layout``.

    The list may be untied, or share already as an ALBERT-like model does; it is tied (the first
    layers stay, the others are dropped) or split as ``layout`` asks. Do it before the optimiser is
    built, or use :func:`swe.sharing.adopt.adopt`, which takes dropped parameters out of it. With
    ``equal`` layers to be tied must hold the same weights already (a run that is resumed).

    Raises ConfigError, with nothing changed, when there is no such list or its length is not the
    layout's depth; when layers differ in type, shapes or a plain attribute (a drop rate, a kind of
    attention: tied they would become one); or when layers share a parameter among one another, or
    the model reaches one by another way than the list.
    """
    prefix, container = name_of(model, where)
    for name, module in model.named_modules():
        if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
            raise ConfigError(
                f"model: {name or 'it'} is wrapped in {type(module).__name__}, which would go on "
                "with the tied parameters alone; give the model inside, and wrap anew at an untie"
            )
    for name, _ in all_stacks(model):
        raise ConfigError(f"model: {name or 'it'} is a shared stack already; one is possible")
    layers = list(container)
    if len(layers) != layout.depth:
        raise ConfigError(
            f"{prefix}: {len(layers)} layers, the layout {layout} is for {layout.depth}"
        )
    require_same_shape(layers)
    _require_same_attributes(prefix, layers)
    _require_owned(model, prefix, layers)
    present = _layout_of(prefix, layers, layout.unit)
    if not present.is_untied and not layout.refines(present) and not present.refines(layout):
        raise ConfigError(f"{prefix}: shares as {present}, which cannot become {layout}")
    if equal:
        _require_equal(prefix, layers, layout)
    stack = LayerList(container, present)
    if layout.refines(present):
        stack.relayout(layout)
    else:
        stack.retie(layout)
    container.__dict__[ADOPTED] = stack
    container.register_state_dict_post_hook(_copies_of_tied)
    container.register_load_state_dict_pre_hook(_refuse_unequal)
    return stack


def depth_of(model: nn.Module, where: str | Container) -> int:
    """Count the layers at ``where``. Raises ConfigError as :func:`name_of`."""
    return len(name_of(model, where)[1])


def name_of(model: nn.Module, where: str | Container) -> tuple[str, Container]:
    """Return (name, list). Raises ConfigError when it is not there or is no list of layers."""
    for name, module in model.named_modules():
        if name == where or module is where:
            if not isinstance(module, nn.ModuleList | nn.Sequential):
                raise ConfigError(
                    f"{name}: is a {type(module).__name__}, must be a ModuleList or Sequential"
                )
            return name, module
    lists = [n for n, m in model.named_modules() if isinstance(m, nn.ModuleList | nn.Sequential)]
    asked = repr(where) if isinstance(where, str) else "the list given"
    raise ConfigError(f"model: {asked} is not in it; its lists: {', '.join(lists) or 'none'}")


def _layout_of(prefix: str, layers: Sequence[nn.Module], unit: int) -> Layout:
    """Layout by which the list shares now: repeats of one group are the same objects."""
    repeats = len(layers) // unit
    cuts = [r for r in range(repeats - 1) if layers[r * unit] is not layers[(r + 1) * unit]]
    layout = Layout.tied(len(layers), unit).split(cuts)
    first: dict[int, int] = {}
    owner = tuple(first.setdefault(id(layer), len(first)) for layer in layers)
    if owner != layout.owner:
        raise ConfigError(f"{prefix}: layers repeat as {owner}, not in units of {unit}")
    return layout


def _require_owned(model: nn.Module, prefix: str, layers: Sequence[nn.Module]) -> None:
    """Every parameter of a layer belongs to it alone, and the model reaches it by the list."""
    head = f"{prefix}." if prefix else ""
    seen: dict[int, str] = {}
    distinct: dict[int, int] = {}
    for index, layer in enumerate(layers):
        if distinct.setdefault(id(layer), index) != index:
            continue
        for name, parameter in layer.named_parameters():
            full = f"{head}{index}.{name}"
            if id(parameter) in seen:
                raise ConfigError(f"{full}: is the same parameter as {seen[id(parameter)]}")
            seen[id(parameter)] = full
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen and not name.startswith(head):
            raise ConfigError(f"{seen[id(parameter)]}: the model also reaches it as {name}")


def _require_equal(prefix: str, layers: Sequence[nn.Module], layout: Layout) -> None:
    for index, block in enumerate(layout.owner):
        first = layout.owner.index(block)
        kept = dict(layers[first].named_parameters())
        for name, parameter in layers[index].named_parameters():
            if not torch.equal(parameter, kept[name]):
                raise ConfigError(
                    f"{prefix}.{index}.{name}: differs from layer {first}, with which the resumed "
                    "run shares it; load that run's weights first"
                )


def _plain_attributes(layer: nn.Module) -> dict[str, Any]:
    """{"module.attribute": value} of the numbers, texts and switches that a layer holds."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, module in layer.named_modules()
        for name, value in module.__dict__.items()
        if isinstance(value, _PLAIN) and name != "training"
    }


def _require_same_attributes(prefix: str, layers: Sequence[nn.Module]) -> None:
    first = _plain_attributes(layers[0])
    for index, layer in enumerate(layers):
        other = _plain_attributes(layer)
        for name in sorted(first.keys() | other.keys()):
            if name.rsplit(".", 1)[-1] in INDICES:
                continue
            if name not in first or name not in other or first[name] != other[name]:
                raise ConfigError(
                    f"{prefix}.{index}.{name} = {other.get(name)!r}, in layer 0 it is "
                    f"{first.get(name)!r}: tied layers must agree"
                )


def _numbers(layer: nn.Module) -> dict[tuple[str, str], Any]:
    return {
        (path, name): value
        for path, module in layer.named_modules()
        for name, value in module.__dict__.items()
        if name in INDICES
    }


def _renumber(layer: nn.Module, numbers: dict[tuple[str, str], Any]) -> None:
    for (path, name), value in numbers.items():
        setattr(layer.get_submodule(path), name, value)


# Hooks are plain functions that find the stack by the container: a deep copy of the model is whole.
def _later_uses(container: nn.Module, prefix: str) -> Iterator[tuple[str, str]]:
    """Pairs (name of a layer that shares, name of the first layer of its block), with dots."""
    stack: LayerList = container.__dict__[ADOPTED]
    owner = stack.layout.owner
    for layer, block in enumerate(owner):
        first = owner.index(block)
        if first != layer:
            yield f"{prefix}{stack.names[layer]}.", f"{prefix}{stack.names[first]}."


def _copies_of_tied(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any]
) -> None:
    later = tuple(name for name, _ in _later_uses(module, prefix))
    for name, value in state_dict.items():
        if name.startswith(later) and isinstance(value, Tensor):
            state_dict[name] = value.detach().clone()


def _refuse_unequal(module: nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
    for later, first in _later_uses(module, prefix):
        for name, value in state_dict.items():
            source = state_dict.get(first + name.removeprefix(later))
            if name.startswith(later) and source is not None and not torch.equal(value, source):
                raise ConfigError(
                    f"{name}: differs from {first}*, but the model shares these layers; load it "
                    "before the model is tied"
                )
