"""A loss that is not finite: its message alone leads back to the batch."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from swe.base.errors import NonFiniteLossError
from swe.base.files import read_lines
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.task import Batch
from tests.swe.run import crash
from tests.swe.sharing.residual import RegressionTask

BAD = 13
"""Batch of update 6 in a run of two batches an update."""


class Poisoned(RegressionTask):
    """Batch BAD of every seed holds one value that spoils the loss, or its gradient alone."""

    def __init__(self, value: float, root: bool = False) -> None:
        super().__init__(depth=4, dropout=0.1)
        self.value, self.root = value, root

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"value": repr(self.value), "root": self.root}

    def batch(self, seed: int, index: int) -> Batch:
        batch = dict(super().batch(seed, index))
        if index == BAD:
            batch["target"] = batch["target"].clone()
            batch["target"][2] = self.value
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        loss = super().loss(model, batch)
        if self.root and not batch["target"].isfinite().all():
            raise AssertionError("the loss itself must stay finite here")
        if self.root and float(batch["target"][2]) == self.value:
            # sqrt at 0: finite, with an infinite slope
            loss = loss + (loss - loss.detach()).clamp(min=0).sqrt()
        return loss


CASES = {
    "NaN loss": Poisoned(float("nan")),
    "infinite loss": Poisoned(float("inf")),
    "loss that overflows": Poisoned(3e38),
    "finite loss, gradient not": Poisoned(0.25, root=True),
}


@pytest.mark.parametrize("name", CASES)
def test_the_message_alone_reproduces_the_batch(name: str, tmp_path: Path) -> None:
    """From the line's numbers to a batch whose loss or gradient is not finite; the others' are."""
    task = CASES[name]
    with pytest.raises(NonFiniteLossError) as told:
        train(task, crash.SPLITTING, tmp_path)
    line = str(told.value)
    assert "\n" not in line
    found = re.search(
        r"update (\d+); nothing was updated.* seed (\d+), batches (\d+)\.\.(\d+)", line
    )
    assert found, line
    step, seed, first, last = map(int, found.groups())
    assert (step, seed) == (6, crash.SPLITTING.seed)
    bad = []
    for index in range(first, last + 1):
        model = task.build(seed)
        loss = task.loss(model, task.batch(seed, index))
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if not (loss.isfinite() and all(g.isfinite().all() for g in gradients)):
            bad.append(index)
    assert bad == [BAD]


def test_the_same_call_meets_the_same_batch_and_keeps_all(tmp_path: Path) -> None:
    lines = []
    for _ in range(2):
        with pytest.raises(NonFiniteLossError) as told:
            train(CASES["NaN loss"], crash.SPLITTING, tmp_path)
        lines.append(str(told.value))
        saved = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
        assert saved[-1] == "step-00000006"  # the split's own checkpoint, before the bad update
    assert lines[0] == lines[1]
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert [r["step"] for r in rows if r["kind"] == "train"] == [2, 4, 6]


def test_a_run_that_diverges_stops_before_its_weights_are_lost(tmp_path: Path) -> None:
    """No bad batch but a bad rate: the last weights saved are finite, and the step is told."""
    config = replace(
        crash.SPLITTING,
        accumulation=1,
        checkpoint_interval=1,
        optimizer=OptimizerConfig(peak_lr=10.0, warmup=0, clip_norm=None, weight_decay=0.0),
        steps=400,
        log_interval=400,
        eval_interval=400,
        probe_interval=0,
    )
    with pytest.raises(NonFiniteLossError, match=r"update \d+; nothing was updated"):
        train(Exploding(), config, tmp_path)
    newest = max((tmp_path / "checkpoints").iterdir())
    assert all(t.isfinite().all() for t in load_file(newest / "weights.safetensors").values())


class Exploding(RegressionTask):
    """exp of the output: one step too far is infinite."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        out: Tensor = model(batch["inputs"])
        return torch.exp(out.abs()).mean()
