"""The relaxed model of CoRe, and the BERT that it is multiplied out into."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from bert.model.config import Placement
from bert.model.encoder import Bert, build_bert
from bert.model.factored import FactoredLinear, build_factored, decomposed
from swe.base.errors import ConfigError
from swe.transforms.factors import factored_cost, multiplied_state, multiplied_weights
from swe.transforms.growth import Growth
from tests.swe.transforms.test_growth import SMALL, grow, logits, loss, shake, shaken


def weights_of(model: Bert) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters())


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_multiplied_out_the_function_stays(placement: Placement) -> None:
    config = replace(SMALL, placement=placement)
    model = shake(build_factored(config, 3, 1))
    found = multiplied_weights(weights_of(model))
    whole = build_bert(config, 2).double()
    whole.load_state_dict(found)
    assert torch.allclose(logits(whole), logits(model), rtol=0, atol=1e-12)
    for name in ("attention.qkv", "attention.output", "inner", "outer"):
        matrix = found[f"stack.blocks.0.{name}.weight"]
        blocks = matrix.reshape(3, -1, matrix.shape[1]) if "qkv" in name else matrix[None]
        assert torch.linalg.matrix_rank(blocks).tolist() == [3] * len(blocks)


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_nearest_products_of_copied_units_are_the_model(placement: Placement) -> None:
    """Twice as wide by copies, each matrix has the small one's rank, 8 at most, and rank 7 not."""
    small = shaken(replace(SMALL, placement=placement))
    large = replace(small.config, hidden=16, heads=4, intermediate=24)
    model, _ = grow(small, large, Growth(width="fpi"))
    expected = logits(model)
    near = decomposed(deepcopy(model), 8)
    assert isinstance(near.stack.blocks[1].get_submodule("attention.qkv"), FactoredLinear)
    assert torch.allclose(logits(near), expected, rtol=0, atol=1e-10)
    assert not torch.allclose(logits(decomposed(model, 7)), expected, rtol=0, atol=1e-4)


def test_products_have_no_moments_and_the_rest_keeps_its_own() -> None:
    model = shake(build_factored(SMALL, 3, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    loss(model).backward()
    optimizer.step()
    states = {
        name: optimizer.state[p] for name, p in model.named_parameters() if p.grad is not None
    }
    found = multiplied_state(states)
    assert {n for n in states if n not in found} == {
        n for n in states if n.endswith((".left", ".right"))
    }
    bias = "stack.blocks.1.attention.qkv.bias"
    assert torch.equal(found[bias]["exp_avg"], states[bias]["exp_avg"])
    assert found[bias]["exp_avg"] is not states[bias]["exp_avg"]
    assert found[bias]["step"] == 1


def test_what_a_product_and_a_matrix_draw_is_equally_large() -> None:
    """Of the variance 4 standard errors: 2 / n of n entries at most, for both factors and a matrix.

    Without what the cut at two deviations takes it would be off by 7 of them.
    """
    config = replace(SMALL, hidden=128, heads=2, intermediate=128, initial_std=0.02)
    found = multiplied_weights(weights_of(build_factored(config, 32, 1)))
    whole = weights_of(build_bert(config, 1))
    error = (2 * 2 / (128 * 32) + 2 / 128**2) ** 0.5
    for name in ("attention.output", "inner"):
        one, other = (w[f"stack.blocks.0.{name}.weight"].detach().var() for w in (found, whole))
        assert float(one / other) == pytest.approx(1, abs=4 * error)
    qkv = found["stack.blocks.0.attention.qkv.weight"].var()
    assert float(qkv / other) == pytest.approx(1, abs=4 * error)
    assert torch.equal(found["words.weight"], whole["words.weight"])


def test_a_rank_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank = 5: must be at most 4, the whole matrix's"):
        FactoredLinear(4, 8, 5)
    with pytest.raises(ConfigError, match="rank"):
        FactoredLinear(4, 8, 0)


def test_cost_is_the_factors_entries_over_the_matrix() -> None:
    thin = FactoredLinear(8, 12, 3)
    entries = thin.left.numel() + thin.right.numel()
    assert factored_cost(12, 8, 3) == entries / (8 * 12)
