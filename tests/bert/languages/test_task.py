"""A language as a task of the core: metrics by hand, the oracle at the floor, exact resume."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bert.languages.composition import Composition
from bert.languages.task import HELD_OUT_SEED, LanguageTask
from bert.model.config import Placement, named_config
from bert.model.encoder import Bert, Layer
from swe.base.errors import ConfigError
from swe.base.interrupt import Interrupted
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import NeverShared, SweFixed
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack
from tests.swe.run.crash import differences, outcome

LANGUAGE = Composition(symbols=4, hops=3, facts=0.25, relations=2, query="hop")
TASK = LanguageTask(
    named_config("2x16", vocabulary=LANGUAGE.vocabulary, dropout=0.1), LANGUAGE, 8, 20
)


class Told(nn.Module):
    """Says what it is told to, batch after batch."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.said = logits, 0

    def forward(self, inputs: Tensor, masked: Tensor) -> Tensor:
        """Logits (B * M, V) of the next rows."""
        said, self.said = self.said, self.said + masked.numel()
        return self.logits[said : self.said]


def test_the_oracle_reaches_the_floor_in_every_group() -> None:
    labels = torch.from_numpy(TASK.held_out().labels).flatten()
    oracle = 100.0 * nn.functional.one_hot(labels, TASK.config.padded_vocabulary).float()
    found = TASK.evaluate(Told(oracle), torch.device("cpu"))
    assert found.pop("predictions") == 80
    assert set(found) == {
        f"{kind}{group}"
        for kind in ("loss", "accuracy", "floor")
        for group in ("", "_hop_1", "_hop_2", "_hop_3", "_fact")
    }
    for name, value in found.items():
        best = 1.0 if name.startswith("accuracy") else 0.0
        assert value == pytest.approx(best, abs=1e-6)


def test_metrics_by_group_are_those_computed_by_hand() -> None:
    """A batch size that does not divide the held-out rows; sums in plain Python."""
    task = replace(TASK, rows=7)
    rows = task.held_out()
    logits = torch.randn(80, 64, generator=torch.Generator().manual_seed(0))
    found = task.evaluate(Told(logits), torch.device("cpu"))
    groups: dict[str, list[tuple[float, bool]]] = {}
    for scores, label, group in zip(
        logits.tolist(), rows.labels.ravel(), rows.groups.ravel(), strict=True
    ):
        loss = math.log(math.fsum(map(math.exp, scores))) - scores[label]
        for name in ("", f"_{LANGUAGE.group_names[group]}"):
            groups.setdefault(name, []).append((loss, max(scores) == scores[label]))
    for name, each in groups.items():
        assert found[f"loss{name}"] == pytest.approx(
            math.fsum(loss for loss, _ in each) / len(each), rel=1e-5
        )
        assert found[f"accuracy{name}"] == sum(hit for _, hit in each) / len(each)
    assert len(groups) == 5


def test_a_group_that_does_not_occur_is_left_out() -> None:
    language = Composition(symbols=6, hops=50, query="hop")
    task = LanguageTask(named_config("1x16", vocabulary=56, dropout=0.0), language, 2, 1)
    found = task.evaluate(task.build(0), torch.device("cpu"))
    assert sum(name.startswith("loss_hop_") for name in found) == len(
        np.unique(task.held_out().groups)
    )
    assert all(map(math.isfinite, found.values()))


def test_the_model_is_asked_at_the_queries_alone() -> None:
    batch = TASK.batch(1, 2)
    model = TASK.build(0).eval()
    assert isinstance(model, Bert)
    assert set(batch) == {"inputs", "masked", "labels"}
    assert model(batch["inputs"], batch["masked"]).shape == (32, 64)
    assert (batch["inputs"].shape, TASK.tokens_per_batch) == ((8, 12), 96)
    expected = 8 * TASK.config.flops_per_row(12, 4)
    assert (TASK.depth, TASK.masked, TASK.flops_per_batch) == (2, 4, expected)
    loss = float(TASK.loss(model, batch).detach())
    assert loss == pytest.approx(math.log(64), rel=0.1)
    assert TASK.describe()["data"]["kind"] == "composition"


def test_held_out_rows_are_fixed_and_no_training_rows() -> None:
    rows = TASK.held_out()
    assert np.array_equal(rows.inputs, replace(TASK, rows=3).held_out().inputs)
    assert np.array_equal(rows.inputs, LANGUAGE.rows(HELD_OUT_SEED, 0, 20).inputs)
    model = TASK.build(0).eval()
    device = torch.device("cpu")
    assert TASK.evaluate(model, device) == TASK.evaluate(model, device)


def test_a_narrow_model_starts_wider_with_heads_of_32() -> None:
    config = named_config("8x64", vocabulary=12, dropout=0.0)
    assert (config.heads, config.initial_std) == (2, 0.02 * math.sqrt(12))


def test_an_initial_scale_multiplies_the_matrices() -> None:
    """The same draws by (seed, name), so twice the deviation is twice every number."""
    one, two = TASK.build(3), replace(TASK, initial_scale=2.0).build(3)
    for (name, small), large in zip(one.named_parameters(), two.parameters(), strict=True):
        factor = 2.0 if small.ndim >= 2 else 1.0
        assert torch.allclose(factor * small, large, rtol=1e-6, atol=0), name
    assert replace(TASK, initial_scale=2.0).describe()["initial_scale"] == 2.0


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocabulary = 10: must be the language's 9"):
        replace(TASK, config=replace(TASK.config, vocabulary=10))
    with pytest.raises(ConfigError, match="length = 12: must be at most positions = 8"):
        replace(TASK, config=replace(TASK.config, positions=8))
    with pytest.raises(ConfigError, match=r"branch_scale = 0: must be in \(0, 100\]"):
        replace(TASK, config=replace(TASK.config, branch_scale=0))
    with pytest.raises(ConfigError, match="initial_scale = 99: must be in"):
        replace(TASK, initial_scale=99)
    for field in ("rows", "validation_rows"):
        change: dict[str, Any] = {field: 0}
        with pytest.raises(ConfigError, match=f"{field} = 0: must be an integer"):
            replace(TASK, **change)


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_a_branch_scale_is_one_of_its_last_matrices(placement: Placement) -> None:
    """s (W x + b) = (s W) x + s b, tied and untied."""
    config = replace(TASK.config, placement=placement, dropout=0.0)
    plain, scaled = (
        replace(TASK, config=replace(config, branch_scale=scale)) for scale in (1.0, 0.25)
    )
    assert "branch_scale" not in plain.describe()["model"], "runs from before there was one go on"
    assert scaled.describe()["model"]["branch_scale"] == 0.25
    batch = TASK.batch(0, 0)
    models = [task.build(0).eval() for task in (plain, scaled)]
    for tied in (False, True):
        if tied:
            for model in models:
                prepare(find_stack(model)[1], SweFixed(until=0.5))
        folded = copy.deepcopy(models[0])
        with torch.no_grad():
            for block in find_stack(folded)[1].blocks:
                assert isinstance(block, Layer)
                for last in (block.attention.output, block.outer):
                    last.weight.mul_(0.25)
                    last.bias.mul_(0.25)
        have, want, without = (
            model(batch["inputs"], batch["masked"]) for model in (models[1], folded, models[0])
        )
        assert torch.allclose(have, want, atol=1e-6, rtol=1e-5)
        assert not torch.allclose(have, without, atol=1e-3)


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_a_run_cut_anywhere_resumes_bit_for_bit(placement: Placement, tmp_path: Path) -> None:
    """Stopped before, at and after the untie; dropout, evaluations and weights are the same."""
    task = replace(TASK, config=replace(TASK.config, placement=placement))
    config = TrainConfig(
        steps=9, schedule=SweFixed(until=4 / 9), eval_interval=2, checkpoint_interval=3
    )
    train(task, config, tmp_path / "one")
    for cut in (3, 4, 6):
        folder, asked = tmp_path / f"cut-{cut}", [False] * cut + [True]
        with pytest.raises(Interrupted):
            train(task, config, folder, stop=partial(asked.pop, 0))
        train(task, config, folder)
        assert not differences(outcome(tmp_path / "one", 9), outcome(folder, 9))


def test_the_facts_are_learnt_by_heart(tmp_path: Path) -> None:
    """What the row does not say is learnt from the answers: chance is 1 in 4."""
    language = Composition(symbols=4, hops=2, facts=0.75, relations=2, query="hop")
    shape = named_config("1x32", vocabulary=8, dropout=0.0)
    task = LanguageTask(shape, language, 16, 64)
    config = TrainConfig(steps=120, schedule=NeverShared(), eval_interval=120)
    config = replace(config, optimizer=replace(config.optimizer, peak_lr=1e-2))
    found = train(task, config, tmp_path)["valid"]
    assert found["accuracy_fact"] == 1.0
