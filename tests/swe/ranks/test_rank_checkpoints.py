"""Checkpoints across ranks: other modes and numbers of ranks, shards, a killed rank, no pickle."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from swe.base.errors import CheckpointError
from swe.run import checkpoint
from swe.run.loop import train
from swe.sharing.placement import Mode
from tests.swe.ranks import killed_rank
from tests.swe.ranks.rank_runs import BASE, CHAINS, CONFIGS, TASK, assert_close, numbers
from tests.swe.ranks.ranks import LIMIT
from tests.swe.sharing.residual import RegressionTask


@pytest.mark.parametrize("chain", CHAINS)
def test_a_run_may_change_mode_and_number_of_ranks(rank_runs: Path, chain: str) -> None:
    assert_close(numbers(rank_runs / "1-none-swe-m"), numbers(rank_runs / chain))


def test_no_pickle_is_opened_on_load(rank_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four ranks' shards load in one process while every way to unpickle raises."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os._exit, (3,))

    folder = rank_runs / "none-ddp-fsdp-pickle" / "checkpoints"
    [*_, newest] = sorted(folder.iterdir())
    assert len(list(newest.glob("shard-*"))) == 4
    (newest / ".metadata").write_bytes(pickle.dumps(Bomb()))

    def opened(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a pickle was opened")

    closed = type("Closed", (pickle.Unpickler,), {"__init__": opened})  # libraries derive from it
    monkeypatch.setattr(pickle, "Unpickler", closed)
    for module, name in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(module, name, opened)
    summary = train(TASK, CONFIGS["swe-m"], rank_runs / "none-ddp-fsdp-pickle")
    assert summary["steps"] == BASE.steps


def test_shards_of_another_model_or_changed_are_refused(rank_runs: Path, tmp_path: Path) -> None:
    found = checkpoint.latest(rank_runs / "4-fsdp-swe-m" / "checkpoints", pytest.fail)
    assert found is not None
    other = RegressionTask(depth=4, width=7, dtype=torch.float64).build(0)
    with pytest.raises(CheckpointError, match=r"embed.bias has shape \(6,\).*\(7,\).* in the mode"):
        found.load_weights(other)
    copy = tmp_path / found.path.name
    shutil.copytree(found.path, copy)
    shutil.copy(next(copy.glob("shard-00001-*")), copy / "stray.safetensors")
    with pytest.raises(CheckpointError, match=r"no sha256 of stray.safetensors"):
        checkpoint.verify(copy)
    (copy / "stray.safetensors").unlink()
    part = next(copy.glob("shard-00003-*"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{part.name} is truncated or changed"):
        checkpoint.verify(copy)


@pytest.mark.parametrize("mode", [pytest.param("ddp", marks=pytest.mark.slow), "fsdp"])
def test_a_killed_rank_is_restarted_to_the_same_end(
    rank_runs: Path, tmp_path: Path, mode: Mode
) -> None:
    """torchrun restarts all ranks from the last checkpoint; bit for bit, dropout included."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "1",
        "-m",
        killed_rank.__name__,
        str(tmp_path),
        mode,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "attempts").read_text().split() == ["1", "1"], "nobody ended at first try"
    assert "exitcode: -9" in done.stderr, done.stderr
    mine, unbroken = numbers(tmp_path), numbers(rank_runs / f"unbroken-{mode}")
    assert mine["rows"] == unbroken["rows"]
    assert mine["tensors"].keys() == unbroken["tensors"].keys()
    for name, tensor in mine["tensors"].items():
        assert torch.equal(tensor, unbroken["tensors"][name]), name
