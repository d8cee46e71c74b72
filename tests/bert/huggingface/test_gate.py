"""The gate: with the same weights our encoder is Hugging Face's, loss and every gradient.

Float32, no dropout. The loss agrees within 1e-5 relative; each parameter's gradient within 1e-4 of
its norm. Two orders of the same float32 sums over a width of 768 and 12 layers differ by some 1e-6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bert.huggingface.config import CLASSES, to_config_json
from bert.huggingface.convert import PADDING_BIAS, from_hugging_face, to_hugging_face
from bert.huggingface.families import Family, family_of
from bert.model.config import BertConfig, Placement, named_config
from bert.model.encoder import Bert, build_bert
from swe.sharing.layout import Layout

transformers = pytest.importorskip("transformers")

LOSS, GRADIENT = 1e-5, 1e-4
# A vocabulary with padding rows, and enough biases and norms off their start to tell them apart.
SMALL = replace(named_config("6x64", vocabulary=1000, dropout=0.0), positions=40)
BASE = named_config("base", dropout=0.0)


def a_pair(config: BertConfig, layout: Layout) -> tuple[Bert, Any, Family]:
    """Our model and the stock class with the same random weights, biases and norms included."""
    family = family_of(config, layout)
    assert family is not None
    ours = build_bert(config, 0)
    ours.stack.retie(layout)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.02)
        ours.words.weight[config.vocabulary :] = 0
        ours.decoder_bias[config.vocabulary :] = PADDING_BIAS
    data = to_config_json(config, layout, family, pad_id=0, cls_id=2, sep_id=3)
    with torch.device("meta"):
        theirs = getattr(transformers, CLASSES[family])._from_config(
            transformers.AutoConfig.for_model(**data)
        )
    theirs.to_empty(device="cpu")
    body = getattr(theirs, theirs.base_model_prefix)
    length = data["max_position_embeddings"]
    body.embeddings.position_ids = torch.arange(length).expand(1, -1)
    body.embeddings.token_type_ids = torch.zeros(1, length, dtype=torch.int64)
    theirs.tie_weights()
    loaded = theirs.load_state_dict(
        to_hugging_face(ours.state_dict(), config, layout, family), strict=False
    )
    assert all(".decoder." in name for name in loaded.missing_keys)
    assert not loaded.unexpected_keys
    return ours, theirs, family


def losses(ours: Bert, theirs: Any, rows: int, length: int) -> tuple[Tensor, Tensor]:
    """Masked-language loss of both on the same rows, 15 % of the positions asked for."""
    pick = torch.Generator().manual_seed(2)
    inputs = torch.randint(4, ours.config.vocabulary, (rows, length), generator=pick)
    masked = torch.stack(
        [torch.randperm(length, generator=pick)[: max(1, length * 15 // 100)] for _ in range(rows)]
    )
    labels = torch.randint(4, ours.config.vocabulary, masked.shape, generator=pick)
    everywhere = torch.full_like(inputs, -100).scatter(1, masked, labels)
    mine = functional.cross_entropy(ours(inputs, masked), labels.flatten())
    return mine, theirs(input_ids=inputs, labels=everywhere).loss


def gate(config: BertConfig, layout: Layout, rows: int, length: int) -> None:
    ours, theirs, family = a_pair(config, layout)
    mine, reference = losses(ours, theirs, rows, length)
    mine.backward()
    reference.backward()
    assert float(mine.detach()) == pytest.approx(float(reference.detach()), rel=LOSS)
    gradients = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert gradients.keys() == dict(ours.named_parameters()).keys()
    expected = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    compared = to_hugging_face(gradients, config, layout, family)
    if family == "albert":  # the identity map is no parameter of ours
        for name in [n for n in expected if "mapping_in" in n]:
            del expected[name], compared[name]
    assert compared.keys() == expected.keys()
    for name, gradient in compared.items():
        want = expected[name]
        if name.endswith("key.bias"):  # zero in exact arithmetic: softmax ignores a common shift
            scale = expected[name.replace("key", "query")].norm()
            assert gradient.norm() < 1e-4 * scale, name
            assert want.norm() < 1e-4 * scale, name
        else:
            assert want.norm() > 0, name
            assert (gradient - want).norm() < GRADIENT * want.norm(), name


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_small_shape(placement: Placement) -> None:
    gate(replace(SMALL, placement=placement), Layout.untied(6), rows=4, length=40)


@pytest.mark.parametrize(
    "layout", [Layout.tied(6), Layout.tied(6, 2), Layout(6, 1, (3, 3))], ids=str
)
def test_tied_stack_against_albert(layout: Layout) -> None:
    """Autograd's sum over the uses, on both sides."""
    gate(replace(SMALL, placement="post"), layout, rows=4, length=40)


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["post", "pre"])
def test_base_shape(placement: Placement) -> None:
    gate(replace(BASE, placement=placement), Layout.untied(12), rows=1, length=24)


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_a_wrong_weight_would_be_seen(placement: Placement) -> None:
    """One query and key exchanged in one layer: the gate is not blind."""
    config = replace(SMALL, placement=placement)
    ours, theirs, family = a_pair(config, Layout.untied(6))
    state = to_hugging_face(ours.state_dict(), config, Layout.untied(6), family)
    query = next(name for name in state if name.endswith("layer.3.attention.self.query.weight"))
    key = query.replace("query", "key")
    state[query], state[key] = state[key], state[query]
    ours.load_state_dict(from_hugging_face(state, config, Layout.untied(6), family))
    mine, reference = losses(ours, theirs, 4, 40)
    assert abs(float(mine.detach()) / float(reference.detach()) - 1) > 10 * LOSS
