"""Multi-stage layerwise training: the plan, and what a model does under it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bert.model.anatomy import bert_anatomy
from bert.model.encoder import Bert
from swe.base.errors import ConfigError
from swe.transforms.depth import stacked
from swe.transforms.growth import Growth
from swe.transforms.layerwise import LayerStage, added_stages, layerwise, mean_cost, stage_at
from swe.transforms.same import Keep
from tests.swe.transforms.test_growth import SMALL, grow, loss, shaken

BELOW = {"words", "positions", "segments", "embedding_norm"}
ABOVE = {"transform", "transform_norm", "decoder_bias", "final_norm"}


def freeze(model: Bert, stage: LayerStage) -> set[str]:
    """Take the gradient from all that the stage does not train; return what it does."""
    trained = set(stage.parameters(bert_anatomy(model.config)))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    return trained


def test_the_plan_of_bert_base_in_four_stages() -> None:
    plan = layerwise(12, 4, 100, 20)
    assert [(s.begin, s.depth, s.trained) for s in plan] == [
        (0, 3, 3),
        (20, 6, 3),
        (40, 9, 3),
        (60, 12, 3),
        (80, 12, 12),
    ]
    assert [stage_at(plan, update).depth for update in (0, 19, 20, 79, 99)] == [3, 3, 6, 12, 12]
    assert [s.cost(12) for s in plan] == pytest.approx([9 / 36, 12 / 36, 15 / 36, 18 / 36, 1])
    assert mean_cost(plan, 100) == pytest.approx(0.2 * (54 / 36 + 1))


def test_lots_on_top_of_a_model_that_is_there() -> None:
    """3 layers to 11, by hand: three lots in 60 %; each is a copy of the top, as in MSLT."""
    stages = added_stages(3, 11, 0.4)
    assert [(s.depth, s.trained) for s in stages] == [(6, 3), (9, 3), (11, 2)]
    assert [s.until for s in stages] == pytest.approx([0.2, 0.4, 0.6])
    assert [s.growth for s in stages] == [Growth(depth="stack"), Growth(depth="stack"), Keep()]
    [only] = added_stages(6, 8, 0.4)
    assert (only.depth, only.trained, only.until) == (8, 2, 0.6)
    with pytest.raises(ConfigError, match="depth = 3: must be an integer, at least 4"):
        added_stages(3, 3, 0.4)
    with pytest.raises(ConfigError, match="joint"):
        added_stages(3, 6, 0.0)


@pytest.mark.parametrize(("depth", "stages"), [(5, 2), (7, 3), (11, 4), (4, 4), (24, 5)])
def test_every_layer_is_new_once_and_never_without_a_model(depth: int, stages: int) -> None:
    """As many new layers as there are can be copies of the top ones."""
    plan = layerwise(depth, stages, 50, 0)
    assert sum(stage.trained for stage in plan) == depth == plan[-1].depth
    for before, stage in pairwise(plan):
        assert 1 <= stage.trained == stage.depth - before.depth <= before.depth
        assert stage.begin > before.begin
        top = tuple(range(before.depth - stage.trained, before.depth))
        assert stacked(before.depth, stage.depth).parents[before.depth :] == top


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((12, 1, 100, 20), "stages"),
        ((3, 4, 100, 20), "depth"),
        ((12, 4, 23, 20), "updates"),
        ((12, 4, 100, -1), "joint"),
    ],
)
def test_plans_without_updates_or_layers_are_refused(
    given: tuple[int, int, int, int], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        layerwise(*given)


def test_only_what_a_stage_names_moves_through_a_whole_plan() -> None:
    """Bit for bit, under decay and momentum."""
    plan = layerwise(4, 2, 6, 2)
    model = shaken(replace(SMALL, layers=plan[0].depth))
    names = []
    for before, stage in zip((None, *plan), plan, strict=False):
        if before is not None and before.depth < stage.depth:
            large = replace(model.config, layers=stage.depth)
            model, _ = grow(model, large, Growth(depth="stack"))
        trained = freeze(model, stage)
        names.append({name.split(".")[0] for name in trained})
        kept = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, kept[n])}
        assert moved == trained
    assert names == [BELOW | ABOVE | {"stack"}, ABOVE | {"stack"}, BELOW | ABOVE | {"stack"}]
    with pytest.raises(ConfigError, match="is of 2 layers, the model has 4"):
        freeze(model, plan[0])


def test_cost_is_what_the_layers_products_count() -> None:
    """Forward and backward through the stack, by torch's own count; attention's kernel aside."""
    model = shaken(replace(SMALL, layers=4))
    counts = []
    for stage in (LayerStage(begin=0, depth=4, trained=1), LayerStage(begin=0, depth=4, trained=4)):
        freeze(model, stage)
        with FlopCounterMode(display=False) as counter:
            model.stack(torch.ones(1, 6, 8, dtype=torch.float64)).square().sum().backward()
        ops = counter.get_flop_counts()["Global"]
        counts.append(sum(n for op, n in ops.items() if "mm" in str(op)))
        forward = 2 * 6 * (8 * 24 + 8 * 8 + 2 * 8 * 12)
        assert counts[-1] == forward * (4 + 2 * stage.trained)
    assert counts[0] / counts[1] == LayerStage(begin=0, depth=4, trained=1).cost(4)
