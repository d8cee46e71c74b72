"""The plan of a run in stages: each stage's task, configuration, cost and end."""

from __future__ import annotations

from dataclasses import replace

from torch import Generator

from swe.base.config import require
from swe.base.errors import ConfigError
from swe.run.run_config import TrainConfig
from swe.run.saved_state import StageState
from swe.run.task import FactoredTask, GrowingTask, Task
from swe.sharing.seeds import derive_seed
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack
from swe.sharing.triggers import Clock, Seen
from swe.transforms.anatomy import Anatomy
from swe.transforms.layerwise import LayerStage
from swe.transforms.stage import Stage, ends_of


class Stages:
    """A run's models, one after the other, the task's own last. ConfigError where one cannot become
    the next, or the task comes in one size alone: before anything is trained."""

    def __init__(self, task: Task, config: TrainConfig) -> None:
        self.config = config
        self.ends = ends_of(config.stages, config.steps)
        """First update after each stage, at the latest."""
        self.tasks = [*(_begun_as(task, stage) for stage in config.stages), task]
        for number, stage in enumerate(config.stages):
            stage.schedule.validate(stage.depth, config.steps)
            old, new = self.anatomy(number), self.anatomy(number + 1)
            stage.growth.require(old, new, stage.carry, self.draw(number))
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
        """Return a stage's configuration: the run's, with its schedule, and without a sampler that
        does not draw for it."""
        stages = self.config.stages
        schedule = stages[number].schedule if number < len(stages) else self.config.schedule
        sampler = self.config.sampler_of(number)
        return replace(self.config, schedule=schedule, dropping=sampler, stages=())

    def over(self, now: StageState, step: int) -> bool:
        """Whether the present stage is over before update ``step``."""
        return now.over < len(self.ends) and (now.due or step >= self.ends[now.over])

    def asked(self, now: StageState, step: int, loss: float) -> StageState:
        """Ask what may end the present stage early, by the logged loss of update ``step``."""
        early = self.config.stages[now.over].early if now.over < len(self.ends) else None
        if early is None or now.due:
            return now
        seen = Seen(loss=loss)
        memory, plan = early.due(Clock(step, self.config.steps), seen, now.memory)
        return replace(now, memory=memory, due=plan is not None)

    def draw(self, number: int) -> Generator:
        """Return what a stage's transform draws from."""
        return Generator().manual_seed(derive_seed(self.config.seed, "grow", number))

    def anatomy(self, number: int) -> Anatomy:
        """Return a stage's anatomy; a factored one's is that of the model that it stands for."""
        task = self.tasks[number]
        assert isinstance(task, GrowingTask)
        return task.anatomy

    def frozen(self, number: int) -> frozenset[str]:
        """Return the names of the parameters that a stage does not train."""
        trains = self._trains(number)
        if trains is None:
            return frozenset()
        anatomy = self.anatomy(number)
        return frozenset(one[0] for one in anatomy.parameters()) - trains.parameters(anatomy)

    def flops_per_batch(self, number: int) -> float:
        """Return the FLOPs of a stage's forward and backward pass over a batch.

        Of frozen layers there is the forward part, if the task says what a layer costs.
        """
        task, trains = self.tasks[number], self._trains(number)
        if trains is None:
            return task.flops_per_batch
        stack = task.depth * float(getattr(task, "flops_per_layer", 0.0))
        return task.flops_per_batch - stack * (1 - trains.cost(task.depth))

    def _trains(self, number: int) -> LayerStage | None:
        """Which layers a stage trains; None for all."""
        stage = self.config.stages[number] if number < len(self.config.stages) else None
        if stage is None or stage.trained is None:
            return None
        return LayerStage(begin=0, depth=stage.depth, trained=stage.trained)

    def parameters_at_start(self, last: int) -> int:
        """Return the parameters that the run began with; ``last``: those of the last stage."""
        if len(self) == 1:
            return last
        model = self.tasks[0].build(self.config.seed)
        prepare(find_stack(model)[1], self.config_of(0).schedule)
        return sum(parameter.numel() for parameter in model.parameters())

    def updates(self, now: StageState, step: int) -> int:
        """Return the updates of the present stage up to ``step``."""
        by_plan = [0, *self.ends][now.over]
        return step - (by_plan if now.began is None else now.began)


def _begun_as(task: Task, stage: Stage) -> Task:
    """Return a stage's task."""
    if not isinstance(task, GrowingTask):
        raise ConfigError(f"stages: {type(task).__name__} comes in one size alone; leave them out")
    sized = task.resized(stage.depth, stage.widths)
    if stage.rank is None:
        return sized
    if not isinstance(sized, FactoredTask):
        raise ConfigError(
            f"rank = {stage.rank}: {type(task).__name__} has no factored form (a method "
            "factored(rank)); leave the stage out"
        )
    return sized.factored(stage.rank)
