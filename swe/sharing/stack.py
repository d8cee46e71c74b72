"""A stack of repeated modules in which tied layers are ONE module that runs many times.

Parameters are never assigned to one another: a tied parameter exists once, so optimisers, clipping
and checkpoints see it once. Untying copies the block; the function computed stays bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from torch import Tensor, nn
from torch.func import functional_call

from swe.base.errors import ConfigError
from swe.sharing.alike import covers, require_alike, require_known
from swe.sharing.blocks import (
    Blocks,
    RunLayer,
    Runner,
    equalise_buffers,
    equalise_weights,
    run_block,
)
from swe.sharing.copying import copy_block, require_copyable
from swe.sharing.layout import Layout
from swe.sharing.own_modules import OwnModules, has_hooks
from swe.sharing.shapes import require_same_shape
from swe.sharing.weights import named

ADOPTED = "_share_then_unshare"
"""Attribute of a foreign container of layers that holds its
:class:`swe.sharing.layers.LayerList`."""


class Stack(Protocol):
    """What unsharing needs of a stack: our :class:`SharedStack`, or a list in a foreign model."""

    layout: Layout

    @property
    def blocks(self) -> Blocks:
        """The distinct blocks, one for each index in the layout's owner table."""

    @property
    def block_names(self) -> tuple[str, ...]:
        """Where each block's parameters are named, relative to the stack's own name."""

    def layer_modules(self) -> list[nn.Module]:
        """The module that runs each layer, (depth,)."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Every parameter once."""

    def relayout(self, layout: Layout) -> dict[str, str]:
        """Split to ``layout``, see :meth:`SharedStack.relayout`."""

    def retie(self, layout: Layout) -> None:
        """Tie before training, see :meth:`SharedStack.retie`."""

    def equalise(self) -> None:
        """Give all repeats the first one's weights."""

    def layer_leaves(self) -> AbstractContextManager[list[dict[str, Tensor]]]:
        """Give each layer its own leaves, see :meth:`SharedStack.layer_leaves`."""


class SharedStack(nn.Module):
    """Run ``blocks[owner[i]]`` for logical layers i = 0 .. depth-1.

    ``modules`` are either one a logical layer (the first layer of each group lends its block, the
    others are dropped) or exactly the blocks of ``layout``. They may be any modules that are alike
    (:func:`swe.sharing.alike.require_alike`); ConfigError names the first difference. What
    ``per_layer`` names (drop path, window size), what numbers the layers, and hooks stay each
    layer's own: such layers run modules of their own, which hold the block's weights. ``ignore``
    names what may differ and is then the first layer's.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        layout: Layout,
        *,
        per_layer: Sequence[str] = (),
        ignore: Sequence[str] = (),
    ) -> None:
        super().__init__()
        given = list(modules)
        if len(given) == layout.depth:
            blocks = [given[layout.owner.index(b)] for b in range(layout.block_count)]
        elif len(given) == layout.block_count:
            blocks = given
        else:
            raise ConfigError(
                f"modules: {len(given)} given; layout {layout} takes {layout.depth} (one a layer) "
                f"or {layout.block_count} (one a block)"
            )
        require_same_shape(given, layout)
        require_known("modules", given, layout, [*per_layer, *ignore])
        self.per_layer, self.ignore = tuple(per_layer), tuple(ignore)
        self._own: OwnModules | None = None
        self.blocks = nn.ModuleList(blocks)
        self.layout = layout
        self._tie(given, layout)
        self.run_layer: RunLayer = run_block
        """How a layer is run: ``run_block``, or that compiled."""
        self.run_apart: Callable[..., Any] | None = None
        """Calls a function outside the graph of what surrounds the stack (swe.run.compiling)."""
        self.on_layer: Callable[[int], None] | None = None
        """Told of each layer before it runs (swe.sharing.passes)."""
        self._leaves: list[dict[str, Tensor] | None] | None = None

    def forward(self, hidden: Any, *args: Any, **kwargs: Any) -> Any:
        """Feed ``hidden`` through every layer; other arguments go to each layer unchanged.

        A layer may return the new hidden value, or a tuple that begins with it. With tuples the
        stack returns (last hidden, then for each further element the tuple of it over layers).
        """
        if self.run_apart is None:
            return self._run(hidden, args, kwargs)
        return self.run_apart(self._run, hidden, args, kwargs)

    def _run(self, hidden: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        extras: list[tuple[Any, ...]] = []
        for layer, owner in enumerate(self.layout.owner):
            block = self.blocks[owner] if self._own is None else self._own.modules[layer]
            if self.on_layer is not None:
                self.on_layer(layer)
            leaves = None if self._leaves is None else self._leaves[layer]
            if leaves is None:
                out = self.run_layer(block, hidden, *args, **kwargs)
            else:
                named = {f"block.{name}": tensor for name, tensor in leaves.items()}
                out = functional_call(Runner(block, self.run_layer), named, (hidden, *args), kwargs)
            if isinstance(out, tuple):
                hidden, *rest = out
                extras.append(tuple(rest))
            else:
                hidden = out
        if extras:
            return (hidden, *zip(*extras, strict=True))
        return hidden

    def run_as(self, other: SharedStack) -> None:
        """Run layers as ``other`` does, compiled or not: for a stack that takes its place."""
        self.run_layer, self.run_apart = other.run_layer, other.run_apart

    def relayout(self, layout: Layout) -> dict[str, str]:
        """Split blocks so that the stack follows ``layout``, which must refine the present one.

        The first layer of each old group keeps its module (and its parameters' identity); the
        others get copies. Returns {name of each new parameter: name of the one it was copied
        from}, names relative to this module and valid after the call and before it respectively.
        """
        parents = layout.parents(self.layout)
        if self._own is None:
            old = list(self.blocks)
            first = [parents.index(parent) == index for index, parent in enumerate(parents)]
            blocks = [
                old[parent] if kept else copy_block(old[parent])
                for parent, kept in zip(parents, first, strict=True)
            ]
        else:
            blocks = self._own.split(self.layout, layout)
        self.blocks = nn.ModuleList(blocks)
        self.layout = layout
        return {
            f"blocks.{index}.{name}": f"blocks.{parent}.{name}"
            for index, parent in enumerate(parents)
            for name, _ in named(blocks[index])
        }

    def retie(self, layout: Layout) -> None:
        """Before training only: keep the first block of each group of ``layout``, drop the rest.

        Raises ConfigError unless the stack is untied, as freshly built (its unit is then free), or
        its layout refines ``layout``.
        """
        if not (self.layout.is_untied and self.layout.depth == layout.depth):
            self.layout.parents(layout)
        given = [self.blocks[owner] for owner in self.layout.owner]
        first_layer = [layout.owner.index(b) for b in range(layout.block_count)]
        if self._own is None:
            self._tie(given, layout)
        else:
            self._own.follow(layout)
        self.blocks = nn.ModuleList([given[i] for i in first_layer])
        self.layout = layout

    def _tie(self, given: Sequence[nn.Module], layout: Layout) -> None:
        """Before ``given`` are tied by ``layout``: refuse what differs, or keep them all."""
        if layout.is_untied:
            return
        if len({id(module) for module in given}) == layout.depth:
            names = [str(index) for index in range(layout.depth)]
            kept = require_alike(
                "modules", names, given, layout, per_layer=self.per_layer, ignore=self.ignore
            )
            buffers = [name for name, _ in given[0].named_buffers()]
            kept |= {n for n in buffers if any(covers(asked, n) for asked in self.per_layer)}
            if kept or any(has_hooks(given[i]) for i in range(layout.unit, layout.depth)):
                self._own = OwnModules(given, self.per_layer)
                self._own.follow(layout)
                return
        for index, block in enumerate(self.blocks):
            if index < layout.unit:
                require_copyable(f"modules[{index}]", block)

    def train(self, mode: bool = True) -> SharedStack:
        """Set the mode, of layers' own modules too."""
        super().train(mode)
        if self._own is not None:
            self._own.train(self.layout, mode)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SharedStack:
        super()._apply(fn, recurse)
        if self._own is not None:
            self._own.apply(self.layout, fn)
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for key, buffer in self._own.buffers(self.layout) if self._own else ():
            destination[prefix + key] = buffer if keep_vars else buffer.detach()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if self._own is not None:
            taken = self._own.load(self.layout, state_dict, prefix, missing_keys)
            unexpected_keys[:] = [key for key in unexpected_keys if key not in taken]

    def layer_modules(self) -> list[nn.Module]:
        """The module that runs each layer, (depth,)."""
        if self._own is not None:
            return list(self._own.modules)
        return [self.blocks[owner] for owner in self.layout.owner]

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the blocks relative to this module, (block_count,)."""
        return tuple(f"blocks.{index}" for index in range(len(self.blocks)))

    def equalise(self) -> None:
        """Copy the first repeat's weights and buffers into every other repeat (equal start).

        Buffers that ``per_layer`` names stay as they are.
        """
        blocks = self.layout.in_units(list(self.blocks))
        equalise_weights(blocks, self.layout.unit)
        equalise_buffers(blocks, self.layout.unit, self.per_layer)

    @contextmanager
    def layer_leaves(self) -> Iterator[list[dict[str, Tensor]]]:
        """Within the context each logical layer has its own leaf tensors over shared storage.

        Gradients of a loss with respect to the yielded tensors (one dict a layer, keyed by the
        parameter's name in its block) are the layers' own gradients, tied or not.
        """
        leaves = [self._own_leaves(owner) for owner in self.layout.owner]
        with self._run_on(list(leaves)):
            yield leaves

    @contextmanager
    def shared_layer_leaves(self) -> Iterator[list[dict[str, Tensor] | None]]:
        """As :meth:`layer_leaves`, but None for a layer that has a block to itself.

        Such a layer runs its block as it is, whose parameters' gradients are its own anyway; a
        wrapper around the block (FSDP) stays in force.
        """
        leaves = [
            self._own_leaves(owner) if self.layout.uses[owner] > 1 else None
            for owner in self.layout.owner
        ]
        with self._run_on(leaves):
            yield leaves

    def _own_leaves(self, block: int) -> dict[str, Tensor]:
        # Parameters, not plain tensors: code compiled for a block's own parameters then serves.
        return {
            name: nn.Parameter(parameter.detach(), parameter.requires_grad)
            for name, parameter in named(self.blocks[block])
        }

    @contextmanager
    def _run_on(self, leaves: list[dict[str, Tensor] | None]) -> Iterator[None]:
        self._leaves = leaves
        try:
            yield
        finally:
            self._leaves = None

    def extra_repr(self) -> str:
        """Show the layout in the module's printed form."""
        return f"layout={self.layout}"


def all_stacks(model: nn.Module) -> list[tuple[str, Stack]]:
    """List (name, stack) of every stack in ``model``, adopted lists of layers included."""
    found: list[tuple[str, Stack]] = []
    for name, module in model.named_modules():
        if isinstance(module, SharedStack):
            found.append((name, module))
        elif ADOPTED in module.__dict__:
            found.append((name, module.__dict__[ADOPTED]))
    return found


def find_stack(model: nn.Module) -> tuple[str, Stack]:
    """Return the (name, stack) of the one stack in ``model``; ConfigError otherwise."""
    found = all_stacks(model)
    if len(found) != 1:
        raise ConfigError(f"model: {len(found)} SharedStack modules found, exactly one is needed")
    return found[0]


def block_of_parameters(prefix: str, stack: Stack) -> dict[str, int]:
    """Return {full name of each parameter of the stack: index of its block}."""
    head = f"{prefix}." if prefix else ""
    return {
        f"{head}{place}.{name}": index
        for index, (place, block) in enumerate(zip(stack.block_names, stack.blocks, strict=True))
        for name, _ in named(block)
    }
