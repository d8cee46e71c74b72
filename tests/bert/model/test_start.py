"""Weights to start with: the mean by hand, one layer, the same function where nothing is tied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bert.model.config import BertConfig, named_config
from bert.model.encoder import Bert, build_bert
from bert.model.start import Start, Tie, digest_of, untied_weights
from bert.pretraining.next_sentence import PairBert
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.schedule import EqualStart, NeverShared, Schedule, SweFixed
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack

CONFIG = replace(named_config("6x16", vocabulary=100, dropout=0.0), positions=12)


def trained(config: BertConfig = CONFIG, layout: Layout | None = None) -> Bert:
    """Every parameter off its start, so that none equals another's by chance."""
    model = build_bert(config, 7)
    if layout is not None:
        model.stack.retie(layout)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.1)
    return model.eval()


def started(model: Bert, schedule: Schedule, tie: Tie = "average") -> Bert:
    """A model with another draw that starts from ``model`` as ``schedule`` begins."""
    layout = schedule.start(6).layout
    if schedule.equal_start:
        layout = Layout.tied(6, schedule.unit)
    weights = untied_weights(model)
    fresh = build_bert(CONFIG, 8)
    Start(CONFIG, weights, digest_of(CONFIG, weights), layout, tie).apply(fresh)
    prepare(find_stack(fresh)[1], schedule)
    return fresh.eval()


def logits(model: Bert) -> Tensor:
    inputs = torch.randint(100, (3, 12), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return model(inputs, torch.arange(12).expand(3, -1))


def block(model: Bert, index: int) -> dict[str, np.ndarray]:
    return {
        name: parameter.detach().numpy()
        for name, parameter in model.stack.blocks[index].named_parameters()
    }


def test_an_untied_start_is_the_same_function_bit_for_bit() -> None:
    source = trained()
    assert torch.equal(logits(started(source, NeverShared())), logits(source))


@pytest.mark.parametrize(
    "layout", [Layout.tied(6), Layout(6, 1, (2, 4)), Layout.tied(6, 2)], ids=str
)
def test_from_a_tied_model_too(layout: Layout) -> None:
    """Its layers are copies: untied, tied as it is, and their mean are all its function."""
    source = trained(layout=layout)
    assert torch.equal(logits(started(source, NeverShared())), logits(source))
    if layout.groups == (6,) or layout.unit == 2:
        tied = started(source, SweFixed(unit=layout.unit))
        assert torch.equal(logits(tied), logits(source))


@pytest.mark.parametrize("schedule", [SweFixed(), SweFixed(unit=2), SweFixed(unit=3)], ids=str)
def test_tied_layers_start_at_their_mean(schedule: SweFixed) -> None:
    source = trained()
    model = started(source, schedule)
    assert len(model.stack.blocks) == schedule.unit
    for position in range(schedule.unit):
        members = [block(source, layer) for layer in range(position, 6, schedule.unit)]
        for name, found in block(model, position).items():
            by_hand = sum(m[name].astype(np.float64) for m in members) / len(members)
            # One rounding of the float64 mean to float32: half a unit in the last place.
            np.testing.assert_allclose(found, by_hand, rtol=2**-24, atol=0)
    for name in ("words.weight", "positions.weight", "transform.weight", "decoder_bias"):
        assert torch.equal(model.get_parameter(name), source.get_parameter(name))


def test_an_equal_start_has_the_mean_in_every_layer() -> None:
    source = trained()
    model = started(source, EqualStart())
    tied = block(started(source, SweFixed()), 0)
    for layer in range(6):
        for name, found in block(model, layer).items():
            np.testing.assert_array_equal(found, tied[name])


@pytest.mark.parametrize(("unit", "tie"), [(1, 0), (1, 5), (2, 1)])
def test_tied_layers_may_take_one_of_theirs(unit: int, tie: int) -> None:
    source = trained()
    model = started(source, SweFixed(unit=unit), tie)
    for position in range(unit):
        for name, found in block(model, position).items():
            np.testing.assert_array_equal(found, block(source, tie * unit + position)[name])


@pytest.mark.parametrize(("unit", "tie"), [(1, 6), (2, 3), (1, -1)])
def test_a_layer_that_is_not_there_is_refused(unit: int, tie: int) -> None:
    with pytest.raises(ConfigError, match=f"--start-tie = {tie}: must be average, or a layer"):
        Start(CONFIG, {}, "", Layout.tied(6, unit), tie)


def test_a_weight_of_another_model_is_refused() -> None:
    start = Start(CONFIG, {"pooler.weight": torch.zeros(1)}, "", Layout.tied(6))
    with pytest.raises(ConfigError, match=r"--start-from = 'pooler.weight': must be a weight of"):
        start.apply(build_bert(CONFIG, 0))


def test_a_head_that_the_weights_lack_keeps_its_draw() -> None:
    weights = untied_weights(trained())
    drawn = build_bert(CONFIG, 8, PairBert)
    model = build_bert(CONFIG, 8, PairBert)
    Start(CONFIG, weights, digest_of(CONFIG, weights), Layout.untied(6)).apply(model)
    own = {name for name, _ in model.named_parameters()} - weights.keys()
    assert own == {
        f"{head}.{kind}" for head in ("pooler", "follows") for kind in ("weight", "bias")
    }
    for name, parameter in model.named_parameters():
        expected = drawn.get_parameter(name) if name in own else weights[name]
        assert torch.equal(parameter, expected), name


def test_the_digest_tells_one_bit_and_not_the_dropout() -> None:
    weights = untied_weights(trained())
    digest = digest_of(CONFIG, weights)
    assert digest_of(replace(CONFIG, dropout=0.5), dict(reversed(weights.items()))) == digest
    assert digest_of(replace(CONFIG, heads=2), weights) != digest
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    entry = changed["stack.blocks.3.inner.weight"].view(-1)
    entry[5] = torch.nextafter(entry[5], torch.tensor(9.0))
    assert digest_of(CONFIG, changed) != digest
    assert Start(CONFIG, weights, digest, Layout.tied(6), 2).describe() == {
        "sha256": digest, "tie": 2,
    }  # fmt: skip
    assert Start(CONFIG, weights, digest, Layout.untied(6)).describe() == {"sha256": digest}
