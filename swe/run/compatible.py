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
    if config.similarity is not None:
        for layers in (*(stage.depth for stage in config.stages), depth):
            config.similarity.validate(layers)
        require(
            parallel != "fsdp",
            "parallel",
            parallel,
            "none or ddp with similarity (its cosines need whole weights on each rank)",
        )
