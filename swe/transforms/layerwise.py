"""Multi-stage layerwise training (MSLT): a stack built upwards, only its newest layers in training.

Yang et al., arXiv 2011.13635 (Progressively stacking 2.0): begin with a few layers; at each stage
add layers on top that begin as copies of the top ones, and train those and the output alone, all
below them frozen; at the end train all. A backward pass then ends at the lowest layer in training:
of the three parts of a layer's matrix products (forward, gradients of inputs, of weights) a frozen
one has the first.

The plan is data: what a stage is made of and which of its parameters train. Layers are added by
``Growth(depth="stack")``, which for at most as many new layers as there are copies the top ones.

What feeds the stack (embeddings and their norm) is frozen with the layers that read it: they were
fitted to it, and its gradient would need the whole backward pass. An embedding that is the decoder
too is frozen with it. Frozen means without a gradient, not with one of zero, by which Adam would
go on along its old moments, and weights decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from swe.base.config import require_between, require_count
from swe.base.errors import ConfigError
from swe.transforms.anatomy import Anatomy
from swe.transforms.growth import Growth
from swe.transforms.same import Keep
from swe.transforms.stage import Stage


@dataclass(frozen=True, kw_only=True)
class LayerStage:
    """From update ``begin`` on: a stack of ``depth`` layers, the top ``trained`` in training."""

    begin: int
    depth: int
    trained: int

    @property
    def whole(self) -> bool:
        """Whether everything trains."""
        return self.trained == self.depth

    def parameters(self, anatomy: Anatomy) -> frozenset[str]:
        """Names of the parameters that train. ConfigError for a model of another depth."""
        if anatomy.depth != self.depth:
            raise ConfigError(
                f"the stage from update {self.begin}: is of {self.depth} layers, the model has "
                f"{anatomy.depth}"
            )
        lowest = self.depth - self.trained
        return frozenset(
            name
            for name, layer, _, _ in anatomy.parameters()
            if (layer >= lowest if layer is not None else self.whole or name not in anatomy.below)
        )

    def cost(self, depth: int) -> float:
        """Matrix products of the layers in one update, as a share of those of ``depth`` layers, all
        in training: (l + 2 t) / 3 L."""
        return (self.depth + 2 * self.trained) / (3 * depth)


def layerwise(depth: int, stages: int, updates: int, joint: int) -> tuple[LayerStage, ...]:
    """Return the plan of ``updates`` updates for ``depth`` layers, the last ``joint`` for all.

    Stages have equally many updates and new layers, to one: the first has ceil(depth / stages)
    layers, so that no stage adds more than there are. ConfigError where a stage has no update or no
    layer, and for a single stage, which is plain training.
    """
    require_count("stages", stages, 2)
    require_count("depth", depth, stages)
    require_count("joint", joint, 0)
    require_count("updates", updates, joint + stages)
    depths = [-(-depth * (stage + 1) // stages) for stage in range(stages)]
    plan = [
        LayerStage(
            begin=stage * (updates - joint) // stages,
            depth=layers,
            trained=layers - (depths[stage - 1] if stage else 0),
        )
        for stage, layers in enumerate(depths)
    ]
    if joint:
        plan.append(LayerStage(begin=updates - joint, depth=depth, trained=depth))
    return tuple(plan)


def layerwise_stages(depth: int, stages: int, steps: int, joint: int) -> tuple[Stage, ...]:
    """Return the plan as a run's ``stages``; its own model has the last ``joint`` updates.

    ConfigError as :func:`layerwise`, and without joint updates: a run's own model trains whole.
    """
    require_count("joint", joint)
    return tuple(
        Stage(
            until=then.begin,
            depth=now.depth,
            trained=None if now.whole else now.trained,
            growth=Growth(depth="stack") if then.depth > now.depth else Keep(),
        )
        for now, then in pairwise(layerwise(depth, stages, steps, joint))
    )


def added_stages(begun: int, depth: int, joint: float) -> tuple[Stage, ...]:
    """Return the stages of a run on ``begun`` layers that are trained already: MSLT but its first.

    Layers come on top as many at a time as there were to begin with, the last time what is left;
    each lot trains alone for an equal share of the updates, and all layers for the last ``joint``,
    a fraction. The run's first model has the first lot on top already. ConfigError for no more
    layers than there are, or a fraction outside (0, 1).
    """
    require_count("begun", begun)
    require_count("depth", depth, begun + 1)
    require_between("joint", joint, 0, 1, open_low=True, open_high=True)
    depths = [*range(begun, depth, begun), depth]
    lots = len(depths) - 1
    return tuple(
        Stage(
            until=(1 - joint) * (lot + 1) / lots,
            depth=after,
            trained=after - before,
            growth=Growth(depth="stack") if lot + 1 < lots else Keep(),
        )
        for lot, (before, after) in enumerate(pairwise(depths))
    )


def stage_at(plan: Sequence[LayerStage], update: int) -> LayerStage:
    """Return the stage that an update (from 0) belongs to."""
    require_count("update", update, 0)
    return [stage for stage in plan if stage.begin <= update][-1]


def mean_cost(plan: Sequence[LayerStage], updates: int) -> float:
    """Cost of an update in mean over the plan, as :meth:`LayerStage.cost` for its last depth."""
    ends = [*(stage.begin for stage in plan[1:]), updates]
    depth = plan[-1].depth
    total = sum(
        (end - stage.begin) * stage.cost(depth) for stage, end in zip(plan, ends, strict=True)
    )
    return total / updates
