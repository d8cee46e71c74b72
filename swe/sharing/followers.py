"""Copies of the model that are to follow it: averages of weights (EMA, SWA), momentum teachers.

They are averaged with the model parameter by parameter, so they must be tied while it is and untied
when it is; but the layers of a copy get the copy's own weights, not the model's. A copy is

- a module made by ``copy.deepcopy`` of the tied model, as it is or in another (``AveragedModel``);
- {name: tensor} by the model's names of parameters, or a list of tensors in the order of
  ``model.parameters()`` (of those that require gradients, if it has as many).

A module that nobody unties is found at the first ``finish_gradients`` after the untie, and told by
a warning: the run itself is right, and a snapshot that stays as it was is none of our business.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.sharing.layers import LayerList, share_as
from swe.sharing.layout import Layout
from swe.sharing.stack import Stack, all_stacks
from swe.sharing.twins import Twin
from swe.sharing.weights import named

TWIN = "_twin"
"""Attribute of a stack that a run drives, and of its deep copies."""


class Change(Protocol):
    """A change of layout, as ``begin_step`` returns it."""

    @property
    def before(self) -> Layout:
        """The layout until then."""

    @property
    def after(self) -> Layout:
        """The layout since."""


def untie_copy(event: Change, copied: nn.Module) -> None:
    """Untie a deep copy of the model as ``event`` (of ``begin_step``) untied the model, in place.

    Every new layer gets the weights that the copy's own tied layer has. ``copied`` may be the copy
    or hold it (torch's ``AveragedModel``); one that has the event's layout already stays as it is.
    Averages kept as names or lists of tensors are given to ``swe.follow`` instead. Raises
    ConfigError, with nothing changed, for a copy without tied layers, or tied in another way.
    """
    stacks = _stacks(copied)
    for name, stack in stacks:
        if stack.layout != event.after and not event.after.refines(stack.layout):
            raise ConfigError(
                f"copy: its layers {name or 'of it'} share as {stack.layout}, which cannot become "
                f"{event.after}; make copies while the model is tied, or after its untie"
            )
    for _, stack in stacks:
        _split(stack, event.after)


def _stacks(copied: nn.Module) -> list[tuple[str, Stack]]:
    stacks = all_stacks(copied)
    if not stacks:
        raise ConfigError(
            f"copy: a {type(copied).__name__} without tied layers; make it by copy.deepcopy after "
            "adopt, or give it to adopt(..., followers=[copy]), which ties it too"
        )
    return stacks


def _split(stack: Stack, layout: Layout) -> None:
    if stack.layout != layout:
        stack.relayout(layout)


class Followers:
    """The copies that follow one run's model."""

    def __init__(self, model: nn.Module) -> None:
        self.copies: list[Any] = []
        self._told = True
        for _, stack in all_stacks(model):  # its copies from here on; an earlier copy is a rival
            stack.__dict__[TWIN] = Twin(stack)

    def add(self, model: nn.Module, *copies: Any) -> None:
        """Register ``copies``. Raises ConfigError, with none registered, for one that cannot."""
        if any(given is model for given in copies):
            raise ConfigError("followers: the model itself is one; give copies of it")
        for given in copies:
            _members(given, model)
        self.copies += copies

    def before_untie(self, model: nn.Module) -> Parents:
        """Say who is who while the model is tied still; ConfigError as :meth:`add`."""
        stacks = [(stack.layout, stack.block_names) for _, stack in all_stacks(model)]
        return Parents(stacks, [_members(copied, model) for copied in self.copies])

    def untie(self, model: nn.Module, before: Parents) -> None:
        """Let the copies follow the model, now untied; ``before``: from :meth:`before_untie`."""
        names = [name for name, _ in model.named_parameters()]
        origin = before.origin(model)
        stacks = [stack for _, stack in all_stacks(model)]
        for copied, members in zip(self.copies, before.members, strict=True):
            if isinstance(copied, nn.Module):
                for (_, stack), own in zip(all_stacks(copied), stacks, strict=True):
                    _split(stack, own.layout)
            elif isinstance(copied, dict):
                others = {k: v for k, v in copied.items() if k not in members}
                heirs = _heirs({k: copied[k] for k in members}, names, origin)
                copied.clear()
                copied.update(others | heirs)
            else:
                held = dict(zip(members, copied, strict=True))
                copied[:] = _heirs(held, names, origin).values()
        self._told = False

    def find_left_behind(self, model: nn.Module) -> None:
        """Warn, once after an untie, of deep copies that are alive and tied as before it."""
        if self._told:
            return
        self._told = True
        if self._left_behind(model):
            gc.collect()  # a list of layers and its stack hold each other: some are dead already
            if left := self._left_behind(model):
                warnings.warn(
                    f"deep copies of the model that still share their layers as {left[0].layout}, "
                    f"as it does no more: {len(left)}. If they are to follow it (an average, a "
                    "teacher): swe.untie_copy(event, copy) after begin_step, or swe.follow(copy)",
                    stacklevel=3,
                )

    def _left_behind(self, model: nn.Module) -> list[Stack]:
        return [
            other
            for _, stack in all_stacks(model)
            if TWIN in stack.__dict__
            for other in stack.__dict__[TWIN].others()
            if other.layout != stack.layout and stack.layout.refines(other.layout)
        ]


@dataclass(frozen=True)
class Parents:
    """How a model's layers shared before an untie, and what each copy's tensors were called."""

    stacks: list[tuple[Layout, tuple[str, ...]]]
    members: list[list[str]]

    def origin(self, model: nn.Module) -> dict[str, str]:
        """Return {name of each parameter of the untied model: its name before, or its parent's}."""
        origin = {name: name for name, _ in model.named_parameters()}
        for (prefix, stack), (old, places) in zip(all_stacks(model), self.stacks, strict=True):
            head = f"{prefix}." if prefix else ""
            above = stack.layout.parents(old)
            for place, block, parent in zip(stack.block_names, stack.blocks, above, strict=True):
                for name, _ in named(block):
                    origin[f"{head}{place}.{name}"] = f"{head}{places[parent]}.{name}"
        return origin


def require_tieable(model: nn.Module, copies: Sequence[Any]) -> None:
    """Raise ConfigError unless :func:`tie_copies` can tie ``copies`` of the untied model."""
    for copied in copies:
        if not isinstance(copied, nn.Module):
            _members(copied, model)
        elif not all_stacks(copied):
            _inner(model, copied)


def tie_copies(model: nn.Module, copies: Sequence[Any], before: Sequence[str]) -> None:
    """Tie copies that were made before the model was, as it is now.

    ``before``: the names of the model's parameters then.
    """
    now = {name for name, _ in model.named_parameters()}
    for copied in copies:
        if isinstance(copied, list) and len(copied) == len(before):
            copied[:] = [value for value, name in zip(copied, before, strict=True) if name in now]
        elif isinstance(copied, nn.Module) and not all_stacks(copied):
            inner = _inner(model, copied)
            for prefix, stack in all_stacks(model):
                if isinstance(stack, LayerList):
                    share_as(inner.get_submodule(prefix), stack)


def _inner(model: nn.Module, copied: nn.Module) -> nn.Module:
    """Find the copy of the model in ``copied``: the module with the model's parameters by name."""
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    for module in copied.modules():
        if {name for name, _ in module.named_parameters(remove_duplicate=False)} == names:
            return module
    raise ConfigError(
        f"followers: a {type(copied).__name__} in which no module has the model's parameters; give "
        "deep copies of the model"
    )


def _heirs(
    own: Mapping[str, Tensor], names: Sequence[str], origin: Mapping[str, str]
) -> dict[str, Tensor]:
    """Return the tensors of ``own`` under their heirs' names: the first as it is, then copies."""
    taken: set[str] = set()
    heirs = {}
    for name in names:
        parent = origin[name]
        if parent in own:
            value = own[parent]
            heirs[name] = value.detach().clone() if parent in taken else value
            taken.add(parent)
    return heirs


def _members(given: Any, model: nn.Module) -> list[str]:
    """Name the parameters of the model whose copies ``given`` holds; [] for a module.

    Raises ConfigError for a module that is tied in another way, and for what is no copy.
    """
    own = list(model.named_parameters())
    if isinstance(given, nn.Module):
        layouts = [stack.layout for _, stack in all_stacks(model)]
        theirs = [stack.layout for _, stack in _stacks(given)]
        if theirs != layouts:
            raise ConfigError(
                f"copy: shares as {', '.join(map(str, theirs))}, the model as "
                f"{', '.join(map(str, layouts))}; copy the model as it is now"
            )
        return []
    if isinstance(given, dict):
        found = [name for name, p in own if _shape(given.get(name)) == p.shape]
        if found:
            return found
        raise ConfigError("copy: a dict of which no key is a parameter of the model")
    for members in (own, [(name, p) for name, p in own if p.requires_grad]):
        shapes = [p.shape for _, p in members]
        if isinstance(given, list) and [_shape(tensor) for tensor in given] == shapes:
            return [name for name, _ in members]
    raise ConfigError(
        f"copy: a {type(given).__name__}, must be a module, a dict of tensors by parameter name or "
        "a list of tensors in the order of model.parameters()"
    )


def _shape(value: Any) -> Any:
    return getattr(value, "shape", None)
