"""From one stage of a run to the next: a checkpoint of the small model becomes one of the large.

Growth goes through the checkpoint, so what follows it is what a resumed run does: exact, on any
number of ranks, in any mode. Every rank builds both models on the CPU; the first one writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from swe.base.config import require, to_dict
from swe.base.errors import ConfigError
from swe.run.charged import spared
from swe.run.checkpoint import Checkpoint, save
from swe.run.optimizer import build_adamw
from swe.run.run_config import TrainConfig
from swe.run.saved_state import Outgrown, SavedState, StageState
from swe.run.task import GrowingTask, Task
from swe.sharing.event import SweState
from swe.sharing.layout import Layout
from swe.sharing.placement import World
from swe.sharing.seeds import derive_seed
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack
from swe.sharing.unshare import load_optimizer_state, optimizer_state_by_name
from swe.transforms.anatomy import Anatomy
from swe.transforms.carry import grown_state, grown_weights, untied
from swe.transforms.growth import Grown
from swe.transforms.stage import ends_of

MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


class Stages:
    """A run's models, one after the other, the task's own last. ConfigError where one cannot be
    grown to the next, or the task comes in one size alone: before anything is trained."""

    def __init__(self, task: Task, config: TrainConfig) -> None:
        self.config = config
        self.ends = ends_of(config.stages, config.steps)
        self.tasks: list[Task] = [task]
        if config.stages:
            if not isinstance(task, GrowingTask):
                raise ConfigError(
                    f"stages: {type(task).__name__} comes in one size alone; leave them out"
                )
            smaller = [task.resized(stage.depth, stage.widths) for stage in config.stages]
            self.tasks = [*smaller, task]
        for number, stage in enumerate(config.stages):
            stage.schedule.validate(stage.depth, config.steps)
            self.plan(number)
            later, last = self.config_of(number + 1).schedule, number + 1 == len(config.stages)
            require(
                not later.equal_start,
                "schedule" if last else f"stages[{number + 1}].schedule",
                later.kind,
                "of another kind: an equal start would drop the layers that were grown",
            )

    def __len__(self) -> int:
        """Stages, the last one included."""
        return len(self.tasks)

    def config_of(self, number: int) -> TrainConfig:
        """Return a stage's configuration: the run's, with its schedule."""
        stages = self.config.stages
        schedule = stages[number].schedule if number < len(stages) else self.config.schedule
        return replace(self.config, schedule=schedule, stages=())

    def grows_before(self, number: int, step: int) -> bool:
        """Whether a stage is over before update ``step``."""
        return number < len(self.ends) and step >= self.ends[number]

    def plan(self, number: int) -> Grown:
        """Return how a stage's model becomes the next one's."""
        stage = self.config.stages[number]
        draw = Generator().manual_seed(derive_seed(self.config.seed, "grow", number))
        return stage.growth.plan(self.anatomy(number), self.anatomy(number + 1), draw)

    def anatomy(self, number: int) -> Anatomy:
        """Return a stage's anatomy."""
        task = self.tasks[number]
        assert isinstance(task, GrowingTask)
        return task.anatomy

    def parameters_at_start(self, last: int) -> int:
        """Return the parameters that the run began with; ``last``: those of the last stage."""
        if len(self) == 1:
            return last
        model = self.tasks[0].build(self.config.seed)
        prepare(find_stack(model)[1], self.config_of(0).schedule)
        return sum(parameter.numel() for parameter in model.parameters())

    def updates(self, number: int, step: int) -> int:
        """Return the updates of a stage up to ``step``."""
        return step - ([0, *self.ends][number])


def grow(stages: Stages, found: Checkpoint, saved: SavedState, held: float, world: World) -> None:
    """Replace a stage's last checkpoint by the next stage's first one, of the same update.

    ``held``: a batch's loss before it, kept until the growth is logged.

    All ranks call it together: what several wrote is read by several.
    ConfigError for a model with buffers that are saved: nothing says what they grow to.
    """
    number, config = saved.stages.over, stages.config
    small, states = _open(stages, found, saved)
    plan = stages.plan(number)
    anatomy = stages.anatomy(number)
    layout = saved.swe.schedule.layout
    large = stages.tasks[number + 1].build(config.seed)
    shapes = {name: parameter.shape for name, parameter in large.named_parameters()}
    weights = grown_weights(plan.lines, untied(small, anatomy.stack, layout), shapes)
    carry = config.stages[number].carry
    moments = grown_state(plan.lines, untied(states, anatomy.stack, layout), carry)
    next_config = stages.config_of(number + 1)
    stack = find_stack(large)[1]
    start = next_config.schedule.start(stack.layout.depth)
    groups = stages.anatomy(number + 1), start.layout
    at_their_mean = together(weights, *groups)
    with torch.no_grad():
        for name, tensor in at_their_mean.items():
            large.get_parameter(name).copy_(tensor)
    moved = any(not torch.equal(tensor, weights[name]) for name, tensor in at_their_mean.items())
    why_not = [
        plan.why_not,
        "layers that are to share were not alike" if moved else "",
        "LayerNorm keeps its epsilon, which is no weight" if plan.eps else "",
    ]
    prepare(stack, next_config.schedule)
    optimizer = build_adamw(large, config.optimizer)
    load_optimizer_state(large, optimizer, _mean_states(moments, *groups))
    task, probes = stages.tasks[number], saved.swe.probes
    updates = stages.updates(number, found.step)
    batches = updates * config.accumulation
    state = replace(
        saved,
        swe=SweState(schedule=start, probes=0, begun=-1),
        stages=StageState(
            over=number + 1,
            flops=saved.stages.flops
            + (batches + probes) * task.flops_per_batch
            - spared(task, config, found.step - updates, found.step),
            probes=saved.stages.probes + probes,
            grown=(Outgrown(held_loss=held, why_not="; ".join(filter(None, why_not))),),
        ),
    )
    world.on_first(lambda: save(found.path.parent, found.step, large, optimizer, to_dict(state)))


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


def together(weights: Mapping[str, Tensor], anatomy: Anatomy, layout: Layout) -> dict[str, Tensor]:
    """Return the weights with layers that are to share at their mean, the point nearest to all.

    Where they are equal already they stay as they are, bit for bit.
    """
    found = dict(weights)
    for layers in _groups(layout):
        for name in anatomy.layer:
            names = [anatomy.name(layer, name) for layer in layers]
            mean = _mean([weights[one] for one in names])
            found |= dict.fromkeys(names, mean)
    return found


def _mean_states(
    states: Mapping[str, Mapping[str, Any]], anatomy: Anatomy, layout: Layout
) -> dict[str, dict[str, Any]]:
    """The same for moments; step counts are the first one's."""
    found = {name: dict(state) for name, state in states.items()}
    for layers in _groups(layout):
        for name in anatomy.layer:
            names = [anatomy.name(layer, name) for layer in layers]
            have = [states[one] for one in names if one in states]
            for one in names:
                found.pop(one, None)
            if have:
                mean = dict(have[0])
                for key in MOMENTS:
                    if key in mean:
                        mean[key] = _mean([state[key] for state in have])
                # The block takes its name from its place in the tied layout.
                found[anatomy.name(layout.owner[layers[0]], name)] = mean
    return found


def _groups(layout: Layout) -> list[list[int]]:
    """Layers of every block that several layers run."""
    blocks = [[at for at, own in enumerate(layout.owner) if own == b] for b in set(layout.owner)]
    return [layers for layers in blocks if len(layers) > 1]


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    first = tensors[0]
    if all(torch.equal(first, other) for other in tensors[1:]):
        return first.clone()
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(first.dtype)
