"""Share-then-unshare on a model and optimiser of your own, in place, in one call.

::

    swe = adopt(model, "encoder.layer", SweFixed(until=0.1), optimizer, steps, clip_norm=1.0)
    for step in range(steps):
        swe.begin_step(step, lambda: loss_of(model, held_batch))
        loss_of(model, next(batches)).backward()
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()

Resuming: build model and optimiser anew, load the model's weights (its ``state_dict`` lists every
layer at all times), ``adopt(..., resume=saved_swe_state)``, then load the optimiser's state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.followable import require_followable, require_followable_class
from swe.sharing.followers import require_tieable, tie_copies
from swe.sharing.gradients import Convention
from swe.sharing.layers import LayerList, share_layers
from swe.sharing.optimizers import (
    Optimizers,
    groups_of,
    holders,
    label,
    listed,
    options_of,
    select,
    states_of,
)
from swe.sharing.places import Part, Where, count_of, depth_of, find_places
from swe.sharing.schedule import Schedule, ScheduleState
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.unshare import Moments


def adopt(
    model: nn.Module,
    where: Where,
    schedule: Schedule,
    optimizer: Optimizer | Sequence[Optimizer],
    steps: int,
    *,
    convention: Convention = "mean",
    clip_norm: float | None = None,
    moments: Moments = "copy",
    layers: Part = None,
    per_layer: Sequence[str] = (),
    ignore: Sequence[str] = (),
    guards: bool = True,
    resume: Mapping[str, Any] | None = None,
    followers: Sequence[nn.Module | dict[str, Tensor] | list[Tensor]] = (),
) -> ShareThenUnshare:
    """Tie the layers at ``where`` (a name such as "encoder.layer", or the list) by ``schedule``.

    The list must be one that the model's forward loops over; several (encoder and decoder) are tied
    and untied together. ``layers`` takes part of a list, a slice or indices (of several lists a
    dict by their names); ``per_layer`` names what differs and stays each layer's own, ``ignore``
    what may differ (:func:`swe.sharing.layers.share_layers`). Layers that alternate take a schedule
    of ``unit`` 2.

    The optimiser, or several, may be built before (parameters of dropped layers leave it) or from
    ``share``'s model; its groups are then in the model's order, as they are after every untie, so
    that an optimiser's ``state_dict`` fits the one of a resumed run. Of several optimisers each
    parameter is held by one. ``resume`` is ``ShareThenUnshare.to_json()`` of the run to go on with.
    ``followers`` are averages of the model or other copies, made before or after, that are to be
    tied and untied as it is: modules, {name: tensor}, or lists of tensors in the order of
    ``model.parameters()``. ``guards`` False leaves out the checks by running the model
    (:mod:`swe.sharing.guard`).

    Raises ConfigError for what :func:`swe.sharing.layers.share_layers` refuses, for layers that the
    optimisers treat differently (layer-wise rates: tied there would be one), for an optimiser that
    an untie cannot take along, for followers that are no copies, and for schedules that do not
    fit; nothing is changed then.
    """
    schedule = for_lists(schedule, where)
    schedule.validate(depth_of(model, where, schedule.unit, layers), steps)
    names = dict(model.named_parameters(remove_duplicate=False))
    require_equal_treatment(model, where, schedule, optimizer, layers)
    places = find_places(model, where, schedule.unit, layers)
    require_followable(listed(optimizer), places.parameters())
    require_followable_class(listed(optimizer), places.parameters(), moments)
    require_tieable(model, followers)
    before = [name for name, _ in model.named_parameters()]
    share(model, where, schedule, layers=layers, per_layer=per_layer, ignore=ignore, resume=resume)
    drop_parameters(model, optimizer, names)
    tie_copies(model, followers, before)
    swe = ShareThenUnshare(
        model,
        optimizer,
        schedule,
        steps,
        convention=convention,
        clip_norm=clip_norm,
        moments=moments,
        resume=resume,
        guards=guards,
    )
    swe.follow(*followers)
    return swe


def share(
    model: nn.Module,
    where: Where,
    schedule: Schedule,
    *,
    layers: Part = None,
    per_layer: Sequence[str] = (),
    ignore: Sequence[str] = (),
    resume: Mapping[str, Any] | None = None,
) -> LayerList:
    """Tie the layers as the schedule starts (or as ``resume`` says), before an optimiser is built.

    For an equal start the first unit's weights are copied into the others. When resuming, layers
    that share must be equal already: the weights are to be loaded first. Raises ConfigError.
    """
    if resume is None:
        state = schedule.start(depth_of(model, where, schedule.unit, layers))
    else:
        state = ScheduleState.from_json(resume["schedule"])
    stack = share_layers(
        model,
        where,
        state.layout,
        layers=layers,
        per_layer=per_layer,
        ignore=ignore,
        equal=resume is not None,
    )
    if resume is None and schedule.equal_start:
        stack.equalise()
    return stack


def for_lists(schedule: Schedule, where: Where) -> Schedule:
    """Return the schedule whose unit has a unit of each list; see :class:`Places`."""
    lists = count_of(where)
    return schedule if lists == 1 else dataclasses.replace(schedule, unit=schedule.unit * lists)


def require_equal_treatment(
    model: nn.Module,
    where: Where,
    schedule: Schedule,
    optimizer: Optimizers,
    part: Part = None,
) -> None:
    """Refuse optimisers or groups that treat layers differently which the schedule may tie."""
    layout = schedule.start(depth_of(model, where, schedule.unit, part)).layout
    places = find_places(model, where, layout.unit, part, last_reversed=layout.last_reversed)
    layers = places.layers
    optimizers = listed(optimizer)
    held = holders(model, optimizers)
    for index, owner in enumerate(layout.owner):
        first = dict(layers[layout.owner.index(owner)].named_parameters())
        for name, parameter in layers[index].named_parameters():
            full = f"{places.full(index)}.{name}"
            if parameter.requires_grad and id(parameter) not in held:
                raise ConfigError(f"optimizer: does not hold the parameter {full}")
            if name not in first:
                continue  # not the same kind of layer, which is refused in other words
            (kept, one), (other, two) = (
                held.get(id(p), (None, None)) for p in (first[name], parameter)
            )
            if kept != other and None not in (kept, other):
                raise ConfigError(
                    f"optimizer: {label(optimizers, other or 0)} holds {full}, "
                    f"{label(optimizers, kept or 0)} the layer it is tied to: one would have it"
                )
            options, others = options_of(one), options_of(two)
            for key in sorted(options.keys() | others.keys()):
                if _differ(options.get(key), others.get(key)):
                    raise ConfigError(
                        f"optimizer: {key} = {others.get(key)!r} for {full}, "
                        f"{options.get(key)!r} for the layer it is tied to: it would have one"
                    )


def _differ(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return not torch.equal(one, other)
    return bool(one != other)


def drop_parameters(
    model: nn.Module, optimizer: Optimizers, before: Mapping[str, nn.Parameter]
) -> None:
    """Take those parameters of ``before`` out of the optimisers that the model has no more."""
    after = dict(model.named_parameters())
    order = {id(p): index for index, p in enumerate(after.values())}
    gone = [p for p in before.values() if id(p) not in order]
    missing = {id(p) for p in gone}
    earlier = {id(p): name for name, p in reversed(list(before.items()))}
    names = {id(p): (earlier.get(id(p), name), name) for name, p in after.items()}
    for one in listed(optimizer):
        for state in states_of(one):
            for parameter in gone:
                state.pop(parameter, None)
        for group in groups_of(one):
            kept = [p for p in group["params"] if id(p) not in missing]
            kept.sort(key=lambda p: order.get(id(p), -1))
            select(group, [(p, p) for p in kept], names)
