"""Controls of the protocol: the sham untie, and an adaptive run against its own realised tau."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from swe.base.errors import ConfigError
from swe.base.files import read_lines
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import (
    NeverShared,
    Schedule,
    SequenceShared,
    ShamUntie,
    SweAdaptive,
    SweFixed,
)
from tests.swe.sharing.residual import RegressionTask

CONFIG = TrainConfig(
    steps=24,
    seed=3,
    log_interval=8,
    eval_interval=24,
    optimizer=OptimizerConfig(peak_lr=1e-2, warmup=4, clip_norm=0.5),
)
TASK = RegressionTask(depth=4)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    [path] = (folder / "checkpoints").iterdir()
    return load_file(path / "weights.safetensors")


def fitted(folder: Path, schedule: Schedule, **change: Any) -> dict[str, torch.Tensor]:
    train(TASK, replace(CONFIG, schedule=schedule, **change), folder)
    return weights(folder)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize(
    ("sequence", "known"),
    [
        (SequenceShared(distinct=4), NeverShared()),
        (SequenceShared(distinct=1, until=10), SweFixed(until=10)),
    ],
    ids=["all distinct", "none distinct"],
)
def test_a_sequence_has_two_known_ends(sequence: Schedule, known: Schedule, tmp_path: Path) -> None:
    ours = fitted(tmp_path / "sequence", sequence)
    assert same(ours, fitted(tmp_path / "known", known))
    middle = fitted(tmp_path / "middle", SequenceShared(until=10))
    assert middle.keys() == ours.keys()
    assert not same(middle, ours)
    [event] = read_lines(tmp_path / "middle" / "events.jsonl")
    assert (event["step"], event["before"], event["after"]) == (10, "1x(2+2)", "4x1")


@pytest.mark.parametrize("moments", ["copy", "rescale"])
def test_a_sham_untie_that_keeps_the_moments_is_the_baseline(tmp_path: Path, moments: str) -> None:
    sham = fitted(tmp_path / "sham", ShamUntie(until=10), moments=moments)
    assert same(sham, fitted(tmp_path / "base", NeverShared()))
    [event] = read_lines(tmp_path / "sham" / "events.jsonl")
    assert (event["kind"], event["step"], event["before"]) == ("sham", 10, event["after"])


def test_a_sham_untie_that_resets_the_moments_is_not(tmp_path: Path) -> None:
    """It differs from tau on, and not before."""
    base = fitted(tmp_path / "base", NeverShared())
    assert not same(fitted(tmp_path / "sham", ShamUntie(until=10), moments="reset"), base)
    losses = [
        [
            row["loss"]
            for row in read_lines(tmp_path / run / "metrics.jsonl")
            if row["kind"] == "train"
        ]
        for run in ("sham", "base")
    ]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]


def test_a_sham_tau_outside_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"until = 24: must be a step in 1\.\.23"):
        ShamUntie(until=24).validate(4, 24)


def test_an_adaptive_run_is_the_fixed_run_at_its_own_tau(tmp_path: Path) -> None:
    """Bit for bit: a rule that watches gradients adds nothing to a run but the choice of tau."""
    adaptive = fitted(tmp_path / "a", SweAdaptive(interval=2, patience=2, rho=0.99))
    [event] = read_lines(tmp_path / "a" / "events.jsonl")
    assert 0 < event["step"] < CONFIG.steps
    fixed = fitted(tmp_path / "f", SweFixed(until=event["step"]))
    assert same(adaptive, fixed)
    assert not same(adaptive, fitted(tmp_path / "g", SweFixed(until=event["step"] + 2)))
