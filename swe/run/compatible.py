"""What a run cannot have together, refused before there is a folder."""

from __future__ import annotations

from swe.base.config import require
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.sharing.placement import Mode


def require_compatible(depth: int, config: TrainConfig, speed: SpeedConfig, parallel: Mode) -> None:
    """Raise ConfigError for what does not go together: a run of ``depth`` layers, a process."""
    speed.validate(parallel)
    config.schedule.validate(depth, config.steps)
    if config.dropping is not None:
        require(
            speed.compile != "model",
            "compile",
            speed.compile,
            "none or blocks with dropping (compiled whole, each draw of layers is another program)",
        )
        for number, stage in enumerate(config.stages):
            require(
                stage.trained is None,
                f"stages[{number}].trained",
                stage.trained,
                "left out with dropping (what a frozen layer saves is not what one left out does)",
            )
        _require_drawable(depth, config)
    if config.similarity is not None:
        for layers in (*(stage.depth for stage in config.stages), depth):
            config.similarity.validate(layers)
        require(
            parallel != "fsdp",
            "parallel",
            parallel,
            "none or ddp with similarity (its cosines need whole weights on each rank)",
        )


def _require_drawable(depth: int, config: TrainConfig) -> None:
    """Raise ConfigError where the sampler cannot draw from a model that has updates of its."""
    sampler = config.dropping
    assert sampler is not None
    models = [*((stage.depth, stage.schedule) for stage in config.stages), (depth, config.schedule)]
    for number, (layers, schedule) in enumerate(models):
        if config.sampler_of(number) is None:
            continue
        sampler.validate(layers)
        untied = schedule.start(layers).layout.is_untied
        require(
            untied or not sampler.freezes,
            f"stages[{number}].schedule" if number < len(config.stages) else "schedule",
            schedule.kind,
            "one without sharing with sub-model training (a tied block would train and be frozen)",
        )
