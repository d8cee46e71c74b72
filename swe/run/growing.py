"""From one stage of a run to the next: a checkpoint of one model becomes one of the next.

The change goes through the checkpoint, so what follows it is what a resumed run does: exact, on any
number of ranks, in any mode. What it does is the stage's transform (``swe.transforms``); here are
the models around it. The first rank makes and writes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from swe.base.config import require, to_dict
from swe.run.charged import spared
from swe.run.checkpoint import Checkpoint, save
from swe.run.fitting import loss_of
from swe.run.optimizer import build_adamw
from swe.run.saved_state import Outgrown, SavedState, StageState
from swe.run.stages import Stages
from swe.run.task import Task
from swe.sharing.event import SweState
from swe.sharing.placement import World
from swe.sharing.seeds import derive_seed
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack
from swe.sharing.unshare import load_optimizer_state, optimizer_state_by_name
from swe.transforms.carry import untied
from swe.transforms.transform import Given, Loss
from swe.transforms.tying import tied


def grow(
    stages: Stages,
    found: Checkpoint,
    saved: SavedState,
    held: float,
    world: World,
    device: torch.device,
) -> None:
    """Replace a stage's last checkpoint by the next stage's first one, of the same update.

    ``held``: a batch's loss before it, kept until the change is logged. A map is fitted on
    ``device``, in float32.

    All ranks call it together: what several wrote is read by several.
    ConfigError for a model with buffers that are saved: nothing says what they grow to.
    """
    weights, states = _open(stages, found, saved)

    def write() -> None:
        now, config, probes = saved.stages, stages.config, saved.swe.probes
        stage, number = config.stages[now.over], now.over + 1
        old, new, layout = (
            stages.anatomy(now.over),
            stages.anatomy(number),
            saved.swe.schedule.layout,
        )
        task = stages.tasks[number]
        model = task.build(config.seed)
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        given = untied(weights, old.stack, layout)
        if stage.growth.fits:
            model.to(device).train()
            given = {name: tensor.to(device) for name, tensor in given.items()}
        made = stage.growth.apply(
            Given(
                old=old,
                new=new,
                weights=given,
                states=untied(states, old.stack, layout),
                shapes=shapes,
                carry=stage.carry,
                generator=stages.draw(now.over),
                loss=_loss_of(task, model, derive_seed(config.seed, "fit", now.over), device),
                update=task.flops_per_batch,
            )
        )
        made.require(shapes)
        own = stages.config_of(number)
        stack = find_stack(model.cpu())[1]
        start = own.schedule.start(stack.layout.depth)
        made = tied(made, new, start.layout)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(made.weights[name])
        prepare(stack, own.schedule)
        optimizer = build_adamw(model, config.optimizer)
        load_optimizer_state(model, optimizer, {name: dict(s) for name, s in made.states.items()})
        updates = stages.updates(now, found.step)
        batches = updates * config.accumulation + probes
        state = replace(
            saved,
            swe=SweState(schedule=start, probes=0, begun=-1),
            stages=StageState(
                over=number,
                began=found.step,
                flops=now.flops
                + batches * stages.flops_per_batch(now.over)
                - spared(stages.tasks[now.over], config, found.step - updates, found.step)
                + made.flops,
                probes=now.probes + probes,
                grown=(Outgrown(held_loss=held, why_not=made.why_not, flops=made.flops),),
            ),
        )
        save(found.path.parent, found.step, model, optimizer, to_dict(state))

    world.on_first_patiently(write)


def _loss_of(task: Task, model: nn.Module, seed: int, device: torch.device) -> Loss:
    """Return the task's loss of weights on batches of ``seed``, which are not the run's."""

    def loss(model: nn.Module, index: int) -> Tensor:
        batch = task.batch(seed, index)
        return task.loss(model, {name: tensor.to(device) for name, tensor in batch.items()})

    return loss_of(model, loss)


def _open(
    stages: Stages, found: Checkpoint, saved: SavedState
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Return a checkpoint's weights and optimiser's state by name, as its own layout has them."""
    config = stages.config_of(saved.stages.over)
    model = stages.tasks[saved.stages.over].build(config.seed)
    stack = find_stack(model)[1]
    prepare(stack, config.schedule)
    stack.relayout(saved.swe.schedule.layout)
    kept = model.state_dict().keys()
    for name, _ in model.named_buffers():
        require(name not in kept, "stages", name, "a model without buffers that are saved")
    optimizer = build_adamw(model, config.optimizer)
    found.load_weights(model)
    found.load_optimizer(model, optimizer)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return weights, optimizer_state_by_name(model, optimizer)
