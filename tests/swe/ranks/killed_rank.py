"""A job for torchrun in which rank 1 dies by kill -9 in the middle of an update, once.

``python -m torch.distributed.run --max-restarts 1 ... -m tests.swe.ranks.killed_rank FOLDER MODE``
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from swe.ranks.distributed import process_group
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.run.task import Batch
from swe.sharing.placement import Mode
from swe.sharing.schedule import SweMultistage
from tests.swe.sharing.residual import RegressionTask

TASK = RegressionTask(depth=4, dropout=0.1)
CONFIG = TrainConfig(
    steps=12,
    seed=3,
    schedule=SweMultistage(rho=1.0, interval=5),
    log_interval=1,
    eval_interval=6,
    checkpoint_interval=4,
    optimizer=OptimizerConfig(peak_lr=2e-2, warmup=2, clip_norm=0.5),
)
LAST_CHECKPOINT, KILLED_AT = 8, 9


class DeadlyTask(RegressionTask):
    """Kills its process in the forward pass of update KILLED_AT, before the ranks meet again."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.updates = 0

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        loss = super().loss(model, batch)
        if torch.is_grad_enabled() and model.training:
            self.updates += 1
            if self.updates > KILLED_AT + 1:  # one of the passes is the probe's
                os.kill(os.getpid(), signal.SIGKILL)
        return loss


def main() -> None:
    folder, mode = Path(sys.argv[1]), cast(Mode, sys.argv[2])
    torch.set_num_threads(1)
    deadly = os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    task = DeadlyTask(depth=4, dropout=0.1) if deadly else TASK
    with process_group():
        train(task, CONFIG, folder, parallel=mode)
    with (folder / "attempts").open("a") as stream:
        stream.write(os.environ["TORCHELASTIC_RESTART_COUNT"] + "\n")


if __name__ == "__main__":
    main()
