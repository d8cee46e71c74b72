"""The layer-similarity penalty: its gradient by autograd, its zeros, and runs with it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines
from swe.run.compatible import require_compatible
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Batch
from swe.sharing.layers import share_layers
from swe.sharing.layout import Layout
from swe.sharing.placement import Mode
from swe.sharing.schedule import AlwaysShared, SweFixed
from swe.sharing.similarity import LayerSimilarity
from swe.sharing.stack import SharedStack, Stack, find_stack
from swe.transforms.stage import Stage
from tests.swe.sharing.residual import GrowingRegression, RegressionTask, ResidualBlock

TASK = RegressionTask(depth=4, dtype=torch.float64)
CPU = torch.device("cpu")
LAYOUTS = [
    Layout.untied(6),
    Layout.untied(6, 2),
    Layout.tied(6),
    Layout.tied(6, 2),
    Layout(6, 1, (1, 3, 2)),
]


def stack_of(layout: Layout, seed: int = 0) -> SharedStack:
    torch.manual_seed(seed)
    return SharedStack([ResidualBlock(5) for _ in range(layout.depth)], layout).double()


def penalty(stack: Stack, strength: float, unit: int) -> Tensor:
    """The definition, group by group, differentiable, by torch's own cosine."""
    layers = [dict(module.named_parameters()) for module in stack.layer_modules()]
    groups = [layers[at : at + unit] for at in range(0, len(layers), unit)]
    total = torch.zeros((), dtype=torch.float64)
    for name in ("inner.weight", "outer.weight"):
        cosines = [
            functional.cosine_similarity(one[name].flatten(), other[name].flatten(), dim=0)
            for group, following in itertools.pairwise(groups)
            for one, other in zip(group, following, strict=True)
        ]
        assert len(cosines) == len(layers) - unit
        total = total + 1 - torch.stack(cosines).mean()
    return strength * total


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("unit", [1, 2, 3])
def test_the_gradient_is_autograds(layout: Layout, unit: int) -> None:
    stack, rule = stack_of(layout), LayerSimilarity(strength=0.7, unit=unit)
    value = penalty(stack, 0.7, unit)
    assert 0.7 * rule.value(stack).item() == pytest.approx(value.item(), abs=1e-13)
    value.backward()
    expected = {n: p.grad for n, p in stack.named_parameters()}
    for parameter in stack.parameters():
        parameter.grad = torch.ones_like(parameter)
    rule.add_gradient(stack)
    for name, parameter in stack.named_parameters():
        assert parameter.grad is not None
        found, own = parameter.grad - 1, expected[name]
        own = torch.zeros_like(found) if own is None else own
        assert torch.allclose(found, own, rtol=1e-9, atol=1e-14), name
        assert parameter.ndim >= 2 or not found.any(), "vectors have no part in it"


def test_layers_of_one_block_have_exactly_none() -> None:
    stack, rule = stack_of(Layout.tied(6, 2)), LayerSimilarity(strength=3.0, unit=2)
    assert rule.value(stack).item() == 0.0
    rule.add_gradient(stack)
    assert all(parameter.grad is None for parameter in stack.parameters())


def test_a_step_along_it_draws_layers_together() -> None:
    stack, rule = stack_of(Layout.untied(6)), LayerSimilarity(strength=1.0)
    values = []
    for _ in range(200):
        rule.add_gradient(stack)
        with torch.no_grad():
            for parameter in stack.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.5 * parameter.grad)
                    parameter.grad = None
        values.append(rule.value(stack).item())
    assert values[-1] < 0.1 * values[0]
    assert all(after < before for before, after in itertools.pairwise(values))


def test_a_matrix_of_zeros_has_no_direction() -> None:
    stack, rule = stack_of(Layout.untied(3)), LayerSimilarity(strength=1.0)
    with torch.no_grad():
        stack.blocks[1].get_parameter("outer.weight").zero_()
    rule.add_gradient(stack)
    for block in stack.blocks:
        gradient = block.get_parameter("outer.weight").grad
        assert gradient is not None
        assert not gradient.any(), "its neighbours' cosine with it is constant as well"


def test_frozen_and_adopted_layers() -> None:
    stack = stack_of(Layout.untied(4))
    model = torch.nn.Sequential(*stack.blocks)
    adopted = share_layers(model, model, Layout.untied(4))
    frozen = stack.blocks[1].get_parameter("inner.weight").requires_grad_(False)
    value = penalty(adopted, 1.0, 1)
    wanted = [p for n, p in model.named_parameters() if n.endswith(".weight") and p is not frozen]
    expected = torch.autograd.grad(value, wanted)
    LayerSimilarity(strength=1.0).add_gradient(adopted)
    assert frozen.grad is None
    for parameter, own in zip(wanted, expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, own, rtol=1e-9, atol=1e-14)


def test_an_update_is_that_of_the_sum_of_both_losses() -> None:
    """Clipped together, the logged loss the task's own: against one loss by autograd."""

    class Summed(RegressionTask):
        def loss(self, model: torch.nn.Module, batch: Batch) -> Tensor:
            both = penalty(find_stack(model)[1], 0.3, 1) if model.training else 0.0
            return super().loss(model, batch) + both

    summed = Summed(depth=4, dtype=torch.float64)
    config = TrainConfig(
        steps=9, schedule=SweFixed(until=3), optimizer=OptimizerConfig(clip_norm=0.1)
    )
    one = Engine(TASK, replace(config, similarity=LayerSimilarity(strength=0.3)), CPU, "one")
    other = Engine(summed, config, CPU, "other")
    for step in range(9):
        batch = TASK.batch(0, step)
        for engine in (one, other):
            engine.begin(step, batch, measure=False)
        expected = TASK.loss(one.model, batch)
        loss, norm = one.update(step, batch)
        both, summed_norm = other.update(step, batch)
        assert loss.item() == expected.item()
        assert norm.item() == pytest.approx(summed_norm.item(), rel=1e-9)
        assert (both - loss > 1e-9) == (step > 3), "tied, and of copies, there is none"
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-12)


def test_a_run_says_what_was_left_of_it(tmp_path: Path) -> None:
    config = TrainConfig(steps=6, log_interval=2, similarity=LayerSimilarity(strength=0.5, unit=2))
    summary = train(TASK, config, tmp_path / "run")
    stored = read_json(tmp_path / "run" / "config.json")["train"]
    assert stored["similarity"] == {"strength": 0.5, "unit": 2}
    assert from_dict(TrainConfig, stored) == config
    assert 0 < summary["similarity_penalty"] < 0.5 * 2 * 2, "two matrices, 1 - R at most 2"
    train(TASK, replace(config, similarity=None), tmp_path / "plain")
    assert "similarity" not in to_dict(replace(config, similarity=None))
    losses = [
        [row["loss"] for row in read_lines(tmp_path / name / "metrics.jsonl") if "loss" in row]
        for name in ("run", "plain")
    ]
    assert losses[0] != losses[1]
    tied = replace(config, schedule=AlwaysShared(unit=2))
    for name, one in (("tied", tied), ("tied-plain", replace(tied, similarity=None))):
        train(TASK, one, tmp_path / name)
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_lines(path)]
        for path in (tmp_path / name / "metrics.jsonl" for name in ("tied", "tied-plain"))
    ]
    assert rows[0] == rows[1], "of tied layers it is nothing, bit for bit"


@pytest.mark.parametrize(
    ("changes", "parallel", "message"),
    [
        ({"unit": 3}, "none", r"similarity.unit = 3: must be a divisor of the depth 4, and less"),
        ({"unit": 4}, "none", r"similarity.unit = 4: must be a divisor of the depth 4, and less"),
        ({}, "fsdp", r"parallel = 'fsdp': must be none or ddp with similarity"),
    ],
)
def test_what_does_not_go_together_is_refused(
    changes: dict[str, Any], parallel: Mode, message: str
) -> None:
    config = TrainConfig(steps=5, similarity=LayerSimilarity(strength=1.0, **changes))
    with pytest.raises(ConfigError, match=message):
        require_compatible(4, config, SpeedConfig(), parallel)


def test_stages_must_be_made_of_groups_as_well(tmp_path: Path) -> None:
    config = TrainConfig(
        steps=5,
        similarity=LayerSimilarity(strength=1.0, unit=2),
        stages=(Stage(until=2, depth=2),),
    )
    with pytest.raises(ConfigError, match=r"similarity.unit = 2: must be a divisor of the depth 2"):
        train(GrowingRegression(depth=4), config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_impossible_strengths_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"strength = 0.0: must be in \(0, "):
        LayerSimilarity(strength=0.0)
