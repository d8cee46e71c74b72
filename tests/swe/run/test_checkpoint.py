"""Checkpoints are whole or absent, refuse what is not theirs by name, and execute nothing."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from swe.base.errors import CheckpointError
from swe.run import checkpoint
from swe.run.optimizer import OptimizerConfig, build_adamw
from tests.swe.run.damage import forge
from tests.swe.sharing.residual import RegressionTask


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    task = RegressionTask()
    model = task.build(0)
    optimizer = build_adamw(model, OptimizerConfig())
    for index in range(2):
        task.loss(model, task.batch(0, index)).backward()
        optimizer.step()
    return model, optimizer


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model, optimizer = trained()
    checkpoint.save(tmp_path, 5, model, optimizer, {"note": "older"})
    checkpoint.save(tmp_path, 9, model, optimizer, {"note": "newer"})
    return tmp_path


def test_round_trip_is_exact(saved: Path) -> None:
    model, optimizer = trained()
    other = RegressionTask().build(1)
    fresh = build_adamw(other, OptimizerConfig())
    found = checkpoint.latest(saved, pytest.fail)
    assert found is not None
    assert (found.step, found.state) == (9, {"note": "newer"})
    found.load_weights(other)
    found.load_optimizer(other, fresh)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        for key, value in optimizer.state[a].items():
            assert torch.equal(value, fresh.state[b][key])


def test_only_the_newest_are_kept(saved: Path) -> None:
    model, optimizer = trained()
    checkpoint.save(saved, 12, model, optimizer, {}, keep=2)
    assert sorted(p.name for p in saved.iterdir()) == ["step-00000009", "step-00000012"]


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "none", pytest.fail) is None


def truncate(path: Path) -> None:
    file = path / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-7])


def flip(path: Path) -> None:
    file = path / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


def edit(path: Path, **changes: Any) -> None:
    file = path / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


DAMAGE = {
    "weights.safetensors is truncated": truncate,
    "optimizer.safetensors is truncated or changed": flip,
    "weights.safetensors is missing": lambda p: (p / "weights.safetensors").unlink(),
    "has no state.json": lambda p: (p / "state.json").unlink(),
    "state.json cannot be read": lambda p: (p / "state.json").write_text('{"format":'),
    "format version 99, this program reads 2": lambda p: edit(p, version=99),
    "format version 1, this program reads 2": lambda p: edit(p, version=1),
    "not a share-then-unshare checkpoint": lambda p: edit(p, format="something else"),
    "state.json is changed": lambda p: edit(p, step=8),
    "state.json lacks sha256, step or state": lambda p: edit(p, step="9"),
    "under another's name": lambda p: forge(p, step=8),
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_previous_one_used(saved: Path, reason: str) -> None:
    DAMAGE[reason](saved / "step-00000009")
    refused: list[str] = []
    found = checkpoint.latest(saved, refused.append)
    assert found is not None
    assert found.step == 5
    assert len(refused) == 1
    assert reason in refused[0]
    assert "step-00000009" in refused[0]
    assert "\n" not in refused[0]


def test_all_damaged_is_an_error_not_a_fresh_start(saved: Path) -> None:
    for path in saved.iterdir():
        truncate(path)
    with pytest.raises(CheckpointError, match="none of its 2 checkpoints can be used"):
        checkpoint.latest(saved, lambda reason: None)


def test_weights_of_another_model_are_refused_by_name(saved: Path) -> None:
    found = checkpoint.verify(saved / "step-00000009")
    with pytest.raises(CheckpointError, match=r"embed.bias has shape \(6,\) here and \(7,\)"):
        found.load_weights(RegressionTask(width=7).build(0))
    with pytest.raises(CheckpointError, match=r"stack.blocks.3.* and None in the model"):
        found.load_weights(RegressionTask(depth=3).build(0))


def test_a_pickle_is_never_opened(saved: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("code from a checkpoint was run",))

    path = saved / "step-00000009"
    (path / "weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    forge(path)
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        checkpoint.verify(path).load_weights(RegressionTask().build(0))


def test_a_failed_write_keeps_what_was_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    before = {p: p.read_bytes() for p in saved.rglob("*") if p.is_file()}
    monkeypatch.setattr(checkpoint, "save_file", no_space)
    model, optimizer = trained()
    with pytest.raises(CheckpointError, match=r"step-00000020: could not be written .*No space"):
        checkpoint.save(saved, 20, model, optimizer, {})
    assert {p: p.read_bytes() for p in saved.rglob("*") if p.is_file()} == before


def test_a_killed_write_leaves_no_checkpoint_behind(saved: Path) -> None:
    """What a kill in the middle leaves is a hidden partial folder: it is not looked at."""
    shutil.copytree(saved / "step-00000009", saved / ".step-00000020.1.partial")
    found = checkpoint.latest(saved, pytest.fail)
    assert found is not None
    assert found.step == 9
