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

from torch import nn
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.gradients import Convention
from swe.sharing.layers import LayerList, share_layers
from swe.sharing.places import Part, Where, count_of, depth_of, find_places
from swe.sharing.schedule import Schedule, ScheduleState
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.unshare import Moments


def adopt(
    model: nn.Module,
    where: Where,
    schedule: Schedule,
    optimizer: Optimizer,
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
) -> ShareThenUnshare:
    """Tie the layers at ``where`` (a name such as "encoder.layer", or the list) by ``schedule``.

    The list must be one that the model's forward loops over. The optimiser may be built before
    (parameters of dropped layers leave it) or from ``share``'s model; its groups are then in the
    model's order, as they are after every untie, so that an optimiser's ``state_dict`` fits the
    one of a resumed run. ``resume`` is ``ShareThenUnshare.to_json()`` of the run to go on with.

    Raises ConfigError for what :func:`swe.sharing.layers.share_layers` refuses, for layers that the
    optimiser treats differently (layer-wise rates: tied there would be one), and for schedules
    that do not fit; nothing is changed then.
    """
    schedule = for_lists(schedule, where)
    schedule.validate(depth_of(model, where, schedule.unit, layers), steps)
    names = dict(model.named_parameters(remove_duplicate=False))
    require_equal_treatment(model, where, schedule, optimizer, layers)
    share(model, where, schedule, layers=layers, per_layer=per_layer, ignore=ignore, resume=resume)
    drop_parameters(model, optimizer, names)
    return ShareThenUnshare(
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
    optimizer: Optimizer,
    part: Part = None,
) -> None:
    """Refuse optimiser groups that treat layers differently which the schedule may tie."""
    places = find_places(model, where, schedule.unit, part)
    layers = places.layers
    group_of = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    layout = schedule.start(len(layers)).layout
    for index, owner in enumerate(layout.owner):
        first = dict(layers[layout.owner.index(owner)].named_parameters())
        for name, parameter in layers[index].named_parameters():
            place = f"{places.full(index)}.{name}"
            if parameter.requires_grad and id(parameter) not in group_of:
                raise ConfigError(f"optimizer: does not hold the parameter {place}")
            if name not in first:
                continue  # not the same kind of layer, which is refused in other words
            one, other = (_options(group_of.get(id(p))) for p in (first[name], parameter))
            for key in sorted(one.keys() | other.keys()):
                if one.get(key) != other.get(key):
                    raise ConfigError(
                        f"optimizer: {key} = {other.get(key)!r} for {place}, "
                        f"{one.get(key)!r} for the layer it is tied to: it would have one"
                    )


def drop_parameters(
    model: nn.Module, optimizer: Optimizer, before: Mapping[str, nn.Parameter]
) -> None:
    """Take those parameters of ``before`` out of the optimiser that the model has no more."""
    order = {id(p): index for index, p in enumerate(model.parameters())}
    gone = {id(p) for p in before.values()} - order.keys()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) in gone:
                optimizer.state.pop(parameter, None)
        group["params"] = [p for p in group["params"] if id(p) not in gone]
        group["params"].sort(key=lambda p: order.get(id(p), -1))


def _options(group: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if group is None else {k: v for k, v in group.items() if k != "params"}
