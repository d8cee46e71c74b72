"""Probes of a batch's halves: what they say, what they cost, and that they change nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import SweFixed
from tests.swe.sharing.residual import RegressionTask
from theory.models.predictions import Split

CONFIG = TrainConfig(
    steps=12,
    seed=3,
    schedule=SweFixed(until=6),
    log_interval=4,
    eval_interval=12,
    probe_interval=3,
    split_probes=True,
    optimizer=OptimizerConfig(peak_lr=1e-2, warmup=2),
)
TASK = RegressionTask(depth=4, dtype=torch.float64)


def test_the_halves_average_to_the_whole(tmp_path: Path) -> None:
    """The batch's gradient is the mean of its halves': |g|^2 lies within the triangle's bounds."""
    train(TASK, CONFIG, tmp_path)
    rows = [r for r in read_lines(tmp_path / "metrics.jsonl") if r["kind"] == "probe"]
    assert [row["step"] for row in rows] == [0, 3, 6, 9]
    for row in rows:
        one, two = (np.array(half["gradient_norms"]) for half in row["halves"])
        whole = np.array(row["gradient_norms"])
        assert np.all(whole <= (one + two) / 2 + 1e-12)
        assert np.all(whole >= np.abs(one - two) / 2 - 1e-12)
        split = Split.of(row["halves"][0], row["halves"][1], row)
        assert np.all(split.noise > 0)
        # The parallelogram rule, by hand for the first layer.
        noise = one[0] ** 2 + two[0] ** 2 - 2 * whole[0] ** 2
        assert split.noise[0] == pytest.approx(noise)


def test_they_change_nothing_but_the_ledger(tmp_path: Path) -> None:
    """Same weights bit for bit; each split probe counts as one probe more."""
    train(TASK, CONFIG, tmp_path / "split")
    train(TASK, replace(CONFIG, split_probes=False), tmp_path / "plain")
    weights = [
        load_file(next((tmp_path / run / "checkpoints").iterdir()) / "weights.safetensors")
        for run in ("split", "plain")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    counts = [read_json(tmp_path / run / "summary.json")["probes"] for run in ("split", "plain")]
    assert counts[0] == counts[1] + 4


def test_a_batch_of_one_row_has_no_halves(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="split_probes = True: must be off for batches of one"):
        train(RegressionTask(depth=4, batch=1), CONFIG, tmp_path)


def test_signal_to_noise_of_known_gradients() -> None:
    """Means over many draws: signal 1 and noise 4 an entry come back within 5 standard errors."""
    rng = np.random.default_rng(0)
    layers, size, draws = 3, 50, 400
    signal = rng.normal(size=(layers, size))
    found = []
    for _ in range(draws):
        one, two = signal + 2.0 * rng.normal(size=(2, layers, size))
        rows = [
            {
                "step": 0,
                "gradient_norms": list(np.linalg.norm(g, axis=1)),
                "alignment": float(np.sum(g.sum(0) ** 2) / (layers * np.sum(g**2))),
            }
            for g in (one, two, (one + two) / 2)
        ]
        found.append(Split.of(*rows).noise.mean())
    error = np.std(found) / math.sqrt(draws)
    assert abs(np.mean(found) - 4.0 * size) < 5 * error
