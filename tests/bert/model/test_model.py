"""Shapes, exact parameter counts, and an encoder written out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bert.model.config import BertConfig, Placement, named_config
from bert.model.encoder import Bert, Layer, build_bert
from swe.base.errors import ConfigError
from swe.sharing.gradients import parameter_uses
from swe.sharing.schedule import AlwaysShared, EqualStart
from swe.sharing.share_then_unshare import prepare

PLACEMENTS: list[Placement] = ["pre", "post"]
SMALL = replace(named_config("3x32", vocabulary=100, dropout=0.0), positions=16)


@pytest.mark.parametrize(("name", "count"), [("base", 109_514_298), ("large", 335_174_458)])
def test_published_parameter_counts(name: str, count: int) -> None:
    """Post-LN without pooler; the vocabulary's padding rows are not BERT's."""
    config = named_config(name, placement="post")
    with torch.device("meta"):
        model = Bert(config)
    padding = (config.padded_vocabulary - config.vocabulary) * (config.hidden + 1)
    assert sum(p.numel() for p in model.parameters()) - padding == count
    assert config.parameters == count


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", ["tiny", "mini", "small", "5x48"])
def test_the_formula_counts_what_is_built(name: str, placement: Placement) -> None:
    config = named_config(name, vocabulary=128, placement=placement)
    model = build_bert(config, 0) if name == "tiny" else None
    if model is None:
        with torch.device("meta"):
            model = Bert(config)
    assert sum(p.numel() for p in model.parameters()) == config.parameters
    tied = named_config(name, vocabulary=128, placement=placement)
    prepare(model.stack, AlwaysShared())
    saved = (tied.layers - 1) * tied.layer_parameters
    assert sum(p.numel() for p in model.parameters()) == config.parameters - saved


def test_tied_large_is_an_eighth_of_the_parameters() -> None:
    """One layer kept of 24: 45.5 M of 335.2 M."""
    config = named_config("large", placement="post")
    tied = config.parameters - 23 * config.layer_parameters
    assert round(tied / 1e6, 1) == 45.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "heads = 3: must be a divisor of hidden 32"),
        ({"layers": 0}, "layers = 0"),
        ({"placement": "sandwich"}, "placement = 'sandwich': must be pre or post"),
        ({"dropout": 1.0}, r"dropout = 1.0: must be in \[0, 1\)"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize("name", ["giant", "12x", "0x64", "axb"])
def test_unknown_sizes_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"size = '{name}': must be one of tiny, mini"):
        named_config(name)


def by_hand(layer: Layer, x: Tensor, config: BertConfig) -> Tensor:
    """The textbook layer, head by head, with explicit softmax."""
    h = config.hidden // config.heads

    def attend(x: Tensor) -> Tensor:
        query, key, value = (x @ layer.attention.qkv.weight.T + layer.attention.qkv.bias).split(
            config.hidden, -1
        )
        heads = []
        for i in range(config.heads):
            part = slice(i * h, (i + 1) * h)
            scores = query[..., part] @ key[..., part].transpose(-1, -2) / math.sqrt(h)
            heads.append(torch.softmax(scores, -1) @ value[..., part])
        output = layer.attention.output
        return torch.cat(heads, -1) @ output.weight.T + output.bias

    def feed(x: Tensor) -> Tensor:
        inner = x @ layer.inner.weight.T + layer.inner.bias
        gelu = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
        return gelu @ layer.outer.weight.T + layer.outer.bias

    first, second = layer.attention_norm, layer.output_norm
    if config.placement == "pre":
        x = x + attend(first(x))
        return x + feed(second(x))
    x = first(x + attend(x))
    return second(x + feed(x))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_layer_against_the_textbook(placement: Placement) -> None:
    config = replace(SMALL, placement=placement, initial_std=0.3)
    layer = build_bert(config, 0).double().stack.blocks[1]
    assert isinstance(layer, Layer)
    x = torch.randn(2, 7, config.hidden, dtype=torch.float64)
    torch.testing.assert_close(layer(x), by_hand(layer, x, config), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_logits_at_masked_positions_equal_the_full_head(placement: Placement) -> None:
    """Gathering before the head is gathering after it."""
    model = build_bert(replace(SMALL, placement=placement), 0).eval()
    inputs = torch.randint(0, 100, (3, 16))
    masked = torch.stack([torch.randperm(16)[:4] for _ in range(3)])
    everywhere = torch.arange(16).expand(3, -1)
    full = model(inputs, everywhere).view(3, 16, -1)
    picked = full.gather(1, masked.unsqueeze(-1).expand(-1, -1, full.shape[-1])).flatten(0, 1)
    torch.testing.assert_close(model(inputs, masked), picked, rtol=1e-5, atol=1e-6)


def test_weights_depend_on_seed_and_name_alone() -> None:
    """A deeper model of the same width has the same first layers; another seed has not."""
    one, deeper = build_bert(SMALL, 1), build_bert(replace(SMALL, layers=5), 1)
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, deeper.get_parameter(name)), name
    other = build_bert(SMALL, 2)
    assert not torch.equal(one.words.weight, other.words.weight)
    first, second = (block.get_parameter("inner.weight") for block in one.stack.blocks[:2])
    assert not torch.equal(first, second)
    assert float(one.words.weight.detach().std()) == pytest.approx(
        0.88 * SMALL.initial_std, rel=0.05
    )


def test_flops_agree_with_a_counter() -> None:
    """The analytic count against torch's own, forward and backward, matrix products alone.

    The counter does not see the skipped gradient of the embedding lookup, nor do we count it.
    """
    config = replace(SMALL, layers=2)
    model = build_bert(config, 0)
    inputs = torch.randint(0, 100, (2, 16))
    masked = torch.arange(3).expand(2, -1)
    # The math attention is made of plain products, which the counter knows on the CPU.
    with (
        nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        model(inputs, masked).sum().backward()
    ours = 2 * replace(config, vocabulary=config.padded_vocabulary).flops_per_row(16, 3)
    assert counter.get_total_flops() == pytest.approx(ours, rel=1e-9)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_tying_and_equal_start_compute_the_same_function(placement: Placement) -> None:
    config = replace(SMALL, placement=placement)
    tied, equal = build_bert(config, 0), build_bert(config, 0)
    prepare(tied.stack, AlwaysShared())
    prepare(equal.stack, EqualStart())
    inputs, masked = torch.randint(0, 100, (2, 16)), torch.arange(3).expand(2, -1)
    assert torch.equal(tied(inputs, masked), equal(inputs, masked))
    uses = parameter_uses(tied)
    assert uses["stack.blocks.0.inner.weight"] == 3
    assert uses["words.weight"] == 1, "the decoder is the embedding, not a second use to average"
