"""The runs in bfloat16, on one process and on two ranks (gloo), that test_narrow reads.

What must be bit for bit. A rank's matrix products see its own rows, and their sums are rounded to 8
bits before the ranks meet: that rounding is of the rows, not of the ranks. So the reference is one
process that takes the same rows as batches of their own and adds their gradients in float32, as the
ranks do. Two float32 terms have one sum, and dividing by 2 before or after is exact. Three terms
have not, so that is the claim for two ranks and one batch each. Dropout is drawn by each rank for
its rows, the same in both modes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from swe.base.errors import ConfigError
from swe.base.files import write_json
from swe.base.interrupt import Interrupted
from swe.ranks.distributed import world_of
from swe.ranks.parallel import Replicated
from swe.run import attention, precision
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Batch
from swe.sharing.placement import Mode, World
from swe.sharing.schedule import SweFixed
from tests.swe.run.copying import Copy

MODES: tuple[Mode, ...] = ("ddp", "fsdp")
TASK = Copy(rows=4, dropout=0.0)
DROPPING = replace(TASK, dropout=0.1)
CONFIG = TrainConfig(
    steps=8,
    seed=3,
    schedule=SweFixed(until=4),
    precision="bfloat16",
    log_interval=1,
    eval_interval=4,
    optimizer=OptimizerConfig(peak_lr=5e-2, warmup=2, clip_norm=None),
)
SPEED = SpeedConfig(attention="products")


@dataclass(frozen=True)
class Folded(Copy):
    """Rank k's rows of TASK's batch i on two ranks are batch 2 i + k."""

    rows: int = TASK.rows // 2
    dropout: float = 0.0

    def batch(self, seed: int, index: int) -> Batch:
        i, k = divmod(index, 2)
        return World(rank=k, size=2).rows(TASK.batch(seed, i))

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        return TASK.evaluate(model, device)


def alone(out: Path) -> None:
    """The runs of one process."""
    train(TASK, CONFIG, out / "whole", speed=SPEED)
    train(Folded(), replace(CONFIG, accumulation=2), out / "folded", speed=SPEED)


def on_two_ranks(out: Path) -> None:
    """The runs of two, within their group; what only they can tell goes to facts.json."""
    for mode in MODES:
        train(TASK, CONFIG, out / mode, parallel=mode, speed=SPEED)
    train(DROPPING, CONFIG, out / "dropping", parallel="ddp", speed=SPEED)
    facts = {"refusal": in_pieces(out / "pieces"), "auto": chosen_apart(out / "auto")}
    facts["casts"] = casts_of_an_update()
    if world_of("ddp").is_first:
        write_json(out / "facts.json", facts)


def in_pieces(folder: Path) -> list[str]:
    """Stop while tied, at the untie and after it, and go on in the other mode every time.

    The second piece is also tried in float32 (returns what each rank was told), and begun as "auto"
    where no processor is seen to have units for bfloat16.
    """
    world = world_of("ddp")
    pieces: list[tuple[Mode, int]] = [("ddp", 2), ("fsdp", 2), ("ddp", 2), ("fsdp", 99)]
    said = ""
    for number, (mode, updates) in enumerate(pieces):
        config = CONFIG
        if number == 1:
            with pytest.raises(ConfigError) as caught:
                train(DROPPING, replace(CONFIG, precision="float32"), folder, parallel=mode)
            said = str(caught.value)
            config = replace(CONFIG, precision="auto")
        left = iter([False] * updates)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(precision, "has_bfloat16_units", lambda: False)
            if updates < CONFIG.steps:
                with pytest.raises(Interrupted):
                    train(
                        DROPPING,
                        config,
                        folder,
                        parallel=mode,
                        speed=SPEED,
                        stop=partial(next, left, True),
                    )
            else:
                train(DROPPING, config, folder, parallel=mode)  # the kernel is the run's own
    return world.gather(said)


def chosen_apart(folder: Path) -> list[list[str]]:
    """Leave precision and kernel to ranks that would choose differently; what each was asked."""
    world = world_of("ddp")
    asked: list[str] = []

    def times(*given: Any) -> dict[str, float]:
        asked.append("precision")
        return {"float32": 1.0, "bfloat16": 0.5 if world.is_first else 2.0}

    def kernels(*given: Any) -> dict[str, float | None]:
        asked.append("kernel")
        return {"math": 1.0, "products": 2.0 if world.is_first else 0.5}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "has_bfloat16_units", lambda: world.is_first)
        patch.setattr(precision, "measure", times)
        patch.setattr(attention, "measure", kernels)
        config = replace(CONFIG, steps=4, schedule=SweFixed(until=2), precision="auto")
        train(TASK, config, folder, parallel="ddp")
    return world.gather(asked)


def casts_of_an_update() -> list[int]:
    """Casts of each rank's weights in two tied updates."""
    engine = Engine(
        TASK, CONFIG, torch.device("cpu"), "here", Replicated(world_of("ddp")), speed=SPEED
    )
    for step in range(2):
        engine.update(step, engine.batch(step))
    assert engine.casts is not None
    return world_of("ddp").gather(engine.casts.casts)
