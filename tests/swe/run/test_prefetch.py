"""Batches built ahead: the same ones, bounded, honest about errors, and gone when told to stop."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from swe.base.interrupt import Interrupted
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.prefetch import Prefetcher
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Batch
from swe.sharing.schedule import NeverShared
from tests.swe.sharing.residual import RegressionTask


class Source:
    """Batches that hold their index, and a list of what was built."""

    def __init__(self, bad: int = -1) -> None:
        self.built: list[int] = []
        self.bad = bad
        self.enough = threading.Event()

    def __call__(self, index: int) -> Batch:
        self.built.append(index)
        if len(self.built) >= 4:
            self.enough.set()
        if index == self.bad:
            raise ValueError(f"batch {index} cannot be read")
        return {"index": torch.tensor(index)}


def threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_any_order_gives_the_batch_that_was_asked_for(depth: int) -> None:
    order = [0, 1, 2, 3, 9, 10, 3, 3, 4, 0]
    with Prefetcher(Source(), depth) as batches:
        assert [int(batches.get(i)["index"]) for i in order] == order
    assert threads() == 0


def test_it_builds_ahead_and_no_further_than_told() -> None:
    """Depth 3: one was asked for, three wait, and one more is at the door of the full queue."""
    source = Source()
    with Prefetcher(source, 3) as batches:
        batches.get(5)
        assert source.enough.wait(30)
        assert threads() == 1
    assert source.built == [5, 6, 7, 8, 9][: len(source.built)]


def test_an_error_comes_with_its_batch_and_can_be_tried_again() -> None:
    source = Source(bad=2)
    with Prefetcher(source, 2) as batches:
        assert int(batches.get(0)["index"]) == 0
        assert int(batches.get(1)["index"]) == 1, "what comes before the error is delivered"
        for _ in range(2):
            with pytest.raises(ValueError, match="batch 2 cannot be read"):
                batches.get(2)
        source.bad = -1
        assert int(batches.get(2)["index"]) == 2
    assert threads() == 0


def test_closing_twice_and_going_on_is_fine() -> None:
    batches = Prefetcher(Source(), 2)
    batches.close()
    assert int(batches.get(4)["index"]) == 4
    batches.close()
    batches.close()
    assert int(batches.get(5)["index"]) == 5
    batches.close()
    assert threads() == 0


CONFIG = TrainConfig(
    steps=6,
    schedule=NeverShared(),
    log_interval=2,
    eval_interval=6,
    accumulation=2,
    optimizer=OptimizerConfig(warmup=0),
)
TASK = RegressionTask(depth=2)


def test_a_run_leaves_no_thread_behind(tmp_path: Path) -> None:
    """Finished, stopped, or failed in a batch."""
    ahead = SpeedConfig(prefetch=3)
    plain = train(TASK, CONFIG, tmp_path / "plain")
    summary = train(TASK, CONFIG, tmp_path / "ahead", speed=ahead)
    assert summary["valid"] == plain["valid"]
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path / "stopped", speed=ahead, stop=lambda: True)

    class Torn(RegressionTask):
        def batch(self, seed: int, index: int) -> Batch:
            if index == 7:
                raise OSError("row 7 is gone")
            return super().batch(seed, index)

    with pytest.raises(OSError, match="row 7 is gone"):
        train(Torn(depth=2), CONFIG, tmp_path / "torn", speed=ahead)
    assert threads() == 0
