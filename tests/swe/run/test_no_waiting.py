"""Between logged rows the loop reads nothing back from the device.

The operations that make the host wait for a device are the same on every device; here they are
counted on the CPU. The guard's read of each step's loss is the one exception, on the CPU alone,
where it is free; it is taken out to see the rest. (On CUDA: test_cuda.py, by the driver's word.)
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from swe.run.engine import Engine
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import NeverShared, Schedule, SweFixed
from tests.swe.sharing.residual import RegressionTask

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")


METHODS = ("tolist", "numpy", "cpu", "__array__")


class Waits(TorchDispatchMode):
    """Collect the operations, and the methods that are none, which would wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.patches = pytest.MonkeyPatch()

    def __enter__(self) -> Any:
        for name in METHODS:
            self.patches.setattr(torch.Tensor, name, self._noting(name))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.patches.undo()
        super().__exit__(*error)

    def _noting(self, name: str) -> Any:
        original = getattr(torch.Tensor, name)

        def method(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self.seen.append(name)
            return original(tensor, *args, **kwargs)

        return method

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        if name in WAITING:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def engine_of(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> Engine:
    config = TrainConfig(
        steps=20,
        schedule=schedule,
        accumulation=2,
        optimizer=OptimizerConfig(warmup=2, clip_norm=0.5),
    )
    engine = Engine(RegressionTask(depth=4, dropout=0.1), config, torch.device("cpu"), "here")
    monkeypatch.setattr(engine, "raise_if_bad", lambda: None)
    return engine


@pytest.mark.parametrize("schedule", [NeverShared(), SweFixed(until=10)])
def test_a_step_waits_for_nothing(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(schedule, monkeypatch)
    for step in range(20):
        batch = engine.batch(2 * step)
        with Waits() as waits:
            event = engine.begin(step, batch, measure=False)
            engine.update(step, batch)
        if step == 0 and engine.config.schedule.kind != "never-shared":
            assert "equal" in waits.seen, "the guard compares layers, once"
        elif event is None:
            assert waits.seen == [], step
        else:
            assert "equal" in waits.seen, "the untie compares the held loss, once"


def test_the_count_is_not_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(NeverShared(), monkeypatch)
    monkeypatch.undo()
    with Waits() as waits:
        engine.update(0, engine.batch(0))
    assert waits.seen == ["_local_scalar_dense"], "the guard's read"
    with Waits() as waits:
        engine.begin(1, engine.batch(2), measure=True)
    assert waits.seen == ["tolist"], "a probe reads one small tensor"
