"""What only a CUDA device can show; run with ``pytest -m gpu``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.residual import RegressionTask
from training.files import read_json, read_lines
from training.loop import Interrupted, NonFiniteLossError, train
from training.optimizer import OptimizerConfig
from training.run_config import TrainConfig
from training.schedule import AlwaysShared, SweFixed, SweMultistage

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CONFIG = TrainConfig(
    steps=24, seed=3, schedule=SweFixed(until=10), log_interval=4, eval_interval=8,
    probe_interval=5, checkpoint_interval=6, accumulation=2,
    optimizer=OptimizerConfig(peak_lr=1e-2, warmup=4, clip_norm=0.5),
)  # fmt: skip
TASK = RegressionTask(depth=4, width=64, batch=32, dropout=0.1)


def ended(updates: Iterator[int]) -> bool:
    """Whether the allowed updates are used up."""
    return next(updates, None) is None


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    [path] = (folder / "checkpoints").iterdir()
    return load_file(path / "weights.safetensors")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("schedule", [SweFixed(until=10), SweMultistage(rho=0.9, interval=4)])
def test_untie_keeps_the_function_and_resume_is_exact(
    precision: str, schedule: SweFixed | SweMultistage, tmp_path: Path
) -> None:
    """The loop itself compares the held loss bit for bit at every untie, fused AdamW included."""
    config = replace(CONFIG, schedule=schedule, precision=precision)  # type: ignore[arg-type]
    train(TASK, config, tmp_path / "one", device="cuda")
    assert read_lines(tmp_path / "one" / "events.jsonl")
    for stop in (9, 11):
        updates = iter(range(stop))
        with pytest.raises(Interrupted):
            train(
                TASK,
                config,
                tmp_path / f"{stop}",
                device="cuda",
                stop=partial(ended, updates),
            )
        train(TASK, config, tmp_path / f"{stop}", device="cuda")
        one, other = final_weights(tmp_path / "one"), final_weights(tmp_path / f"{stop}")
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_first_updates_agree_with_the_cpu(tmp_path: Path) -> None:
    """Float32 on both: eight updates apart only by the order of sums."""
    task = RegressionTask(depth=4, width=16)
    config = replace(CONFIG, steps=8, schedule=AlwaysShared(), log_interval=1)
    losses = {}
    for device in ("cpu", "cuda"):
        train(task, config, tmp_path / device, device=device)
        rows = read_lines(tmp_path / device / "metrics.jsonl")
        losses[device] = [row["loss"] for row in rows if row["kind"] == "train"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-4)


def test_a_poisoned_update_is_skipped_on_the_device_and_reported(tmp_path: Path) -> None:
    """The flag is read at the next row; until then the fused optimiser must not step."""
    task = RegressionTask(depth=4, poison=lambda index: index == 11)
    config = replace(CONFIG, precision="bfloat16", checkpoint_interval=7)
    with pytest.raises(NonFiniteLossError, match="update 5"):
        train(task, config, tmp_path, device="cuda")
    for path in (tmp_path / "checkpoints").iterdir():
        tensors = load_file(path / "weights.safetensors").values()
        assert all(torch.isfinite(t).all() for t in tensors)


def test_memory_is_that_of_the_device(tmp_path: Path) -> None:
    train(TASK, replace(CONFIG, steps=12), tmp_path, device="cuda")
    assert 0 < read_json(tmp_path / "summary.json")["peak_memory_bytes"] < 2**30
