"""The optimisers of a run: which parameter each holds, and how they follow a change of parameters.

One model may be trained by several optimisers (Muon for matrices, AdamW for the rest), and one
optimiser may be a wrapper around another (Lookahead, SAM, accelerate's), with groups and state of
its own or the other's. A wrapper and what it wraps are one *family*: whoever follows the layers'
split does so in each distinct group and each distinct state of the family.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.state_copy import child_state

Optimizers = Optimizer | Sequence[Optimizer]
Group = dict[str, Any]
NAMES = "param_names"
"""Where torch keeps a group's names, of ``AdamW(model.named_parameters())``."""


def listed(optimizers: Optimizers) -> tuple[Optimizer, ...]:
    """Return one optimiser or several as a tuple. Raises ConfigError for what is none."""
    given = tuple(optimizers) if isinstance(optimizers, list | tuple) else (optimizers,)
    for optimizer in given:
        if not _is_optimizer(optimizer):
            raise ConfigError(
                f"optimizer: {type(optimizer).__name__} given, must be a torch optimiser or a list "
                "of such"
            )
    if not given or len({id(o) for o in given}) < len(given):
        raise ConfigError(f"optimizer: {len(given)} given, must be at least one, each once")
    return given


def family(optimizer: Optimizer) -> list[Optimizer]:
    """List an optimiser and those that it wraps, outermost first."""
    found: list[Optimizer] = []
    waiting: list[Any] = [optimizer]
    while waiting:
        item = waiting.pop(0)
        if any(item is other for other in found):
            continue
        if _is_optimizer(item):
            found.append(item)
            for value in vars(item).values():
                inside = value.values() if isinstance(value, dict) else value
                several = isinstance(value, dict | list | tuple)
                waiting += [v for v in (inside if several else [value]) if _is_optimizer(v)]
    return found


def _is_optimizer(value: Any) -> bool:
    groups = getattr(value, "param_groups", None) if hasattr(value, "__dict__") else None
    return isinstance(groups, list) and callable(getattr(value, "step", None))


def groups_of(optimizer: Optimizer) -> list[Group]:
    """List the distinct groups of a family."""
    groups = [group for member in family(optimizer) for group in member.param_groups]
    return list({id(group): group for group in groups}.values())


def states_of(optimizer: Optimizer) -> list[MutableMapping[Any, Any]]:
    """List the distinct states of a family: ``state``, and attributes keyed by parameters.

    A wrapper's ``state`` that is computed from those of what it wraps is none of its own.
    """
    found: dict[int, MutableMapping[Any, Any]] = {}
    for member in family(optimizer):
        kept = dict(vars(member))
        if "state" not in kept and len(family(member)) == 1:
            kept["state"] = getattr(member, "state", None)
        for name, value in kept.items():
            if isinstance(value, MutableMapping) and (
                name == "state" or any(isinstance(key, Tensor) for key in value)
            ):
                found[id(value)] = value
    return list(found.values())


def shared_values(optimizer: Optimizer) -> list[Any]:
    """List what a family keeps for all its parameters alike: its groups' and its own values."""
    skipped = ("params", "param_groups", "state")
    values = [v for group in groups_of(optimizer) for k, v in group.items() if k not in skipped]
    states = {id(state) for state in states_of(optimizer)}
    for member in family(optimizer):
        values += [v for k, v in vars(member).items() if k not in skipped and id(v) not in states]
    return values


def held_groups(optimizer: Optimizer) -> dict[int, Group]:
    """Return {id of each parameter that a family holds: its group, the outermost one's}."""
    held: dict[int, Group] = {}
    for group in groups_of(optimizer):
        for parameter in group["params"]:
            held.setdefault(id(parameter), group)
    return held


def holders(model: nn.Module, optimizers: Sequence[Optimizer]) -> dict[int, tuple[int, Group]]:
    """Return {id of parameter: (index of the optimiser that holds it, its group)}.

    Raises ConfigError for a parameter of ``model`` that two of them hold.
    """
    held: dict[int, tuple[int, Group]] = {}
    names = {id(p): name for name, p in model.named_parameters()}
    for index, optimizer in enumerate(optimizers):
        for key, group in held_groups(optimizer).items():
            if key in held and key in names:
                raise ConfigError(
                    f"optimizer: both {label(optimizers, held[key][0])} and "
                    f"{label(optimizers, index)} hold the parameter {names[key]}; leave it to one"
                )
            held[key] = (index, group)
    return held


def unheld(model: nn.Module, optimizers: Sequence[Optimizer]) -> set[str]:
    """Names of what is trainable and in no optimiser. Raises ConfigError as :func:`holders`."""
    held = holders(model, optimizers)
    return {n for n, p in model.named_parameters() if p.requires_grad and id(p) not in held}


def label(optimizers: Sequence[Optimizer], index: int) -> str:
    """Name one of several optimisers, for messages: its class, and its number in the list."""
    kind = type(optimizers[index]).__name__
    return kind if len(optimizers) == 1 else f"optimizer {index} ({kind})"


def options_of(group: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a group says about all its parameters: rates and switches."""
    if group is None:
        return {}
    along = {key for key, _ in _along(group)}
    return {k: v for k, v in group.items() if k != "params" and k not in along}


def _along(group: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """List a group's entries that hold one value a parameter: names, or tensors of its shape."""
    members = group["params"]
    found = []
    for key, value in group.items():
        if key == "params" or not isinstance(value, list) or len(value) != len(members):
            continue
        tensors = all(
            isinstance(v, Tensor) and v.shape == p.shape
            for v, p in zip(value, members, strict=True)
        )
        if key == NAMES or (tensors and members):
            found.append((key, value))
    return found


def select(
    group: Group, members: Sequence[tuple[Tensor, Tensor]], names: Mapping[int, tuple[str, str]]
) -> None:
    """Let ``group`` hold the new parameters of ``members``, pairs (new, old), in their order.

    What the group keeps one a parameter goes along: a name follows the model's, ``names`` =
    {id of new: (old's, new's)}; a tensor is copied for a parameter that was not there. The lists
    stay the same objects, which wrappers and schedulers may hold.
    """
    place = {id(p): index for index, p in enumerate(group["params"])}
    for key, values in _along(group):
        before, after = list(values), []
        for new, old in members:
            value = before[place[id(old)]]
            if key == NAMES:
                after.append(_renamed(value, new is old, *names.get(id(new), ("", ""))))
            else:
                after.append(value if new is old else child_state(value, old, new))
        values[:] = after
    group["params"][:] = [new for new, _ in members]


def _renamed(given: str, same: bool, old: str, new: str) -> str:
    """Return the name of a parameter that was ``old`` in the model and is ``new`` there now.

    A user's own prefix stays; a name of another making stays with its parameter.
    """
    if old and given.endswith(old):
        return given[: len(given) - len(old)] + new
    return given if same else new
