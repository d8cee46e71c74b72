"""Whether an optimiser can follow an untie: does it keep things where a new layer finds them?

An untie gives the new layers groups and state under their own parameters. An optimiser that keeps
things elsewhere (keyed by ``id``, by position, by name; in a list or a flat buffer beside its
groups; in a closure) would go on without the new layers, or with another's moments, in silence. It
is found in what it holds, :func:`require_followable`: before the layers are tied, after the first
update (many make their buffers then) and before each untie; and by what it does,
:func:`swe.sharing.trial.try_out`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.optimizers import (
    NAMES,
    family,
    groups_of,
    held_groups,
    label,
    options_of,
    shared_values,
    states_of,
)
from swe.sharing.stack import all_stacks
from swe.sharing.state_copy import PLAIN, child_state, common_objects, storage
from swe.sharing.trial import try_out
from swe.sharing.unshare import SECOND_MOMENTS, Heir, Moments, follow

REMEDY = "keep what it needs of a parameter in optimizer.state[parameter]"
NO_SECOND_MOMENT = (
    "moments = 'rescale': {} keeps no second moment as Adam does (exp_avg_sq of the parameter's "
    "shape), so there is nothing to rescale; take moments='copy' or 'reset'"
)


def layers_of(model: nn.Module) -> dict[str, Tensor]:
    """Return {full name: parameter} of everything in the model's stacks."""
    ours = {id(p) for _, stack in all_stacks(model) for p in stack.parameters()}
    return {name: p for name, p in model.named_parameters() if id(p) in ours}


def require_followable(
    optimizers: Sequence[Optimizer], layers: Mapping[str, Tensor], moments: Moments = "copy"
) -> None:
    """Refuse optimisers that keep anything of ``layers`` where an untie cannot find it.

    ``layers``: {full name: parameter} of everything that the schedule ties or may split. Raises
    ConfigError naming the optimiser, the place and a remedy; after an update also for ``rescale``
    where the state of a layer's parameter has no second moment as Adam keeps it. Changes nothing.
    """
    for who, optimizer, ours in _concerned(optimizers, layers):
        if found := _Finder(optimizer, ours).finding():
            raise ConfigError(f"{who}: {found}, which an untie cannot follow; {REMEDY}")
        _require_copies(optimizer, ours)
        if moments != "rescale":
            continue
        for name, parameter in ours.items():
            kept = [state[parameter] for state in states_of(optimizer) if parameter in state]
            if kept and not any(_has_second_moment(state, parameter) for state in kept):
                raise ConfigError(NO_SECOND_MOMENT.format(f"{who} for {name}"))


def require_followable_class(
    optimizers: Sequence[Optimizer], layers: Mapping[str, Tensor], moments: Moments
) -> None:
    """As :func:`require_followable`, by a trial of the class where it can be made anew."""
    for who, optimizer, _ in _concerned(optimizers, layers):
        trial = try_out(optimizer, partial(_split, moments=moments))
        if trial.follows is False:
            raise ConfigError(
                f"{who}: does not follow an untie with moments={moments!r} (tried on matrices: "
                "the halves of a split one moved apart under equal gradients, or it broke); "
                + REMEDY
            )
        known = frozenset(SECOND_MOMENTS) if trial.keys is None else trial.keys
        if moments == "rescale" and known.isdisjoint(SECOND_MOMENTS):
            raise ConfigError(NO_SECOND_MOMENT.format(who))


def _split(
    optimizer: Optimizer,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    moments: Moments,
) -> None:
    heirs = {name: Heir("middle", split=True) for name in ("middle", "twin")}
    follow(optimizer, before, after, heirs, moments)


def _concerned(
    optimizers: Sequence[Optimizer], layers: Mapping[str, Tensor]
) -> Iterator[tuple[str, Optimizer, dict[str, Tensor]]]:
    """Yield (name for messages, optimiser, what it holds of ``layers``) where it holds any."""
    for index, optimizer in enumerate(optimizers):
        held = held_groups(optimizer)
        ours = {name: p for name, p in layers.items() if id(p) in held}
        if ours:
            yield label(optimizers, index), optimizer, ours


def _has_second_moment(state: Any, parameter: Tensor) -> bool:
    moments = [state.get(key) for key in SECOND_MOMENTS] if isinstance(state, Mapping) else []
    return any(isinstance(m, Tensor) and m.shape == parameter.shape for m in moments)


def _require_copies(optimizer: Optimizer, ours: Mapping[str, Tensor]) -> None:
    """Copy the state of the smallest parameter of each kind, and drop it: errors come here."""
    for state in states_of(optimizer):
        kinds = {}
        for parameter in sorted(ours.values(), key=Tensor.numel, reverse=True):
            if parameter in state:
                value = state[parameter]
                kinds[tuple(map(str, value)) if isinstance(value, Mapping) else ()] = parameter
        if kinds:
            common = common_objects(state, shared_values(optimizer))
            for parameter in kinds.values():
                child_state(state[parameter], parameter, parameter, common)


class _Finder:
    """Looks for parameters of the layers, and for buffers made like them, outside their places."""

    def __init__(self, optimizer: Optimizer, ours: Mapping[str, Tensor]) -> None:
        self.optimizer, self.ours = optimizer, ours
        self.ids = {id(p): name for name, p in ours.items()}
        self.memory = {storage(p): name for name, p in ours.items()} if ours else {}
        self.memory.pop(None, None)
        self.shapes = Counter(tuple(p.shape) for p in ours.values())
        self.totals = set()
        for group in groups_of(optimizer):
            sizes = [p.numel() for p in group["params"]]
            if len(sizes) > 1:
                self.totals.add(sum(sizes))

    def finding(self) -> str | None:
        """Say what is kept in a wrong place, or None."""
        for state in states_of(self.optimizer):
            for key, value in state.items():
                if isinstance(key, Tensor):
                    if self._flat([value]):
                        return "keeps one flat buffer for all parameters in its state"
                elif self._names_ours(key) or self._buffers([value]):
                    return f"keeps state under {key!r:.60} instead of the parameter"
        for group in groups_of(self.optimizer):
            if any(id(p) in self.ids for p in group["params"]):
                for key, value in options_of(group).items():
                    if key != NAMES and self._wrong(value):
                        return f"keeps {self._wrong(value)} in its groups' entry {key!r}"
        followed = {id(state) for state in states_of(self.optimizer)}
        for member in family(self.optimizer):
            for name, value in vars(member).items():
                if name in ("param_groups", "state", "defaults") or id(value) in followed:
                    continue
                if found := self._wrong(value):
                    return f"keeps {found} in its attribute {name!r}"
        return None

    def _wrong(self, value: Any) -> str | None:
        tensors: list[Tensor] = []
        for kind, item in contents(value):
            if isinstance(item, Tensor):
                if id(item) in self.ids or storage(item) in self.memory:
                    return "parameters of the layers"
                if kind == "data":
                    tensors.append(item)
            elif kind == "key" and self._names_ours(item):
                return f"things by {'name' if isinstance(item, str) else 'id'}"
        if self._buffers(tensors) or self._flat(tensors):
            return "buffers for the layers' parameters"
        return None

    def _names_ours(self, key: Any) -> bool:
        return (type(key) is int and key in self.ids) or (isinstance(key, str) and key in self.ours)

    def _buffers(self, value: Any) -> bool:
        """Are these tensors shaped as the layers' matrices, or as all of their vectors?"""
        tensors = [item for _, item in contents(value) if isinstance(item, Tensor)]
        shapes = Counter(tuple(tensor.shape) for tensor in tensors)
        matrices = [shape for shape in self.shapes if len(shape) > 1]
        if matrices:
            return any(shape in shapes for shape in matrices)
        return any(len(shape) for shape in self.shapes) and self.shapes <= shapes

    def _flat(self, value: Any) -> bool:
        tensors = [item for _, item in contents(value) if isinstance(item, Tensor)]
        return any(t.ndim == 1 and t.numel() in self.totals for t in tensors)


def contents(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield ("data", tensor), ("code", tensor) and ("key", key) for what ``value`` holds.

    Containers are opened; of functions the variables that they close over ("code"); of one object
    its attributes, of objects inside objects none: a trainer or a logger is no optimiser's store.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, Any, bool]] = [("data", value, True)]
    while waiting:
        kind, item, may_open = waiting.pop()
        if isinstance(item, (*PLAIN, nn.Module)) or id(item) in seen or _holds_groups(item):
            continue
        seen.add(id(item))
        inside: Collection[Any] = ()
        if isinstance(item, Tensor):
            yield kind, item
        elif isinstance(item, Mapping):
            for key in item:
                yield "key", key
            inside = [*(k for k in item if isinstance(k, Tensor)), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset | deque):
            inside = list(item)
        elif isinstance(item, partial):
            waiting += [("code", i, False) for i in (item.func, *item.args, item.keywords)]
        elif callable(item) and (code := getattr(item, "__func__", item)) is not None:
            cells = map(_held, getattr(code, "__closure__", None) or ())
            waiting += [("code", v, False) for v in (*cells, *_defaults(code))]
        elif may_open and hasattr(item, "__dict__"):
            inside, may_open = list(vars(item).values()), False
        waiting += [(kind, i, may_open) for i in inside]


def _holds_groups(item: Any) -> bool:
    """Is it an optimiser, or does it serve one (a learning-rate scheduler)?"""
    attributes = getattr(item, "__dict__", None)
    if not isinstance(attributes, dict):
        return False
    return "param_groups" in attributes or isinstance(attributes.get("optimizer"), Optimizer)


def _held(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _defaults(code: Any) -> list[Any]:
    named = getattr(code, "__kwdefaults__", None) or {}
    return [*(getattr(code, "__defaults__", None) or ()), *named.values()]
