"""Weights to Hugging Face names and back, without that library: exact, complete, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bert.huggingface.convert import PADDING_BIAS, from_hugging_face, to_hugging_face
from bert.huggingface.families import Family, albert_groups, family_of
from bert.huggingface.names import hugging_face_shapes
from bert.model.config import BertConfig, named_config
from bert.model.encoder import Bert, build_bert
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout

SMALL = replace(named_config("6x16", vocabulary=100, dropout=0.0), positions=12)
CASES: list[tuple[Family, Layout]] = [
    ("bert", Layout.untied(6)),
    ("roberta-prelayernorm", Layout.untied(6)),
    ("albert", Layout.tied(6)),
    ("albert", Layout.tied(6, 2)),
    ("albert", Layout(6, 1, (3, 3))),
]


def shape_of(family: Family) -> BertConfig:
    return replace(SMALL, placement="pre" if family == "roberta-prelayernorm" else "post")


def a_model(config: BertConfig, layout: Layout) -> Bert:
    """Every tensor random, biases and norms too, so that no two may be swapped unseen."""
    model = build_bert(config, 0)
    model.stack.retie(layout)
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("pad_id", [0, 3])
@pytest.mark.parametrize(("family", "layout"), CASES, ids=str)
def test_there_and_back(family: Family, layout: Layout, pad_id: int) -> None:
    """The same bits but for the padding rows, whose logits vanish from every softmax."""
    config = shape_of(family)
    state = a_model(config, layout).state_dict()
    theirs = to_hugging_face(state, config, layout, family, pad_id=pad_id)
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.items()}
    assert shapes == hugging_face_shapes(config, layout, family, pad_id)
    pointers = [tensor.data_ptr() for tensor in theirs.values()]
    assert len(set(pointers)) == len(pointers), "safetensors takes no shared storage"
    back = from_hugging_face(theirs, config, layout, family, pad_id=pad_id)
    assert back.keys() == state.keys()
    v = config.vocabulary
    for name, tensor in state.items():
        rows = v if name in ("words.weight", "decoder_bias") else len(tensor)
        assert torch.equal(back[name][:rows], tensor[:rows]), name
    assert not back["words.weight"][v:].any()
    assert (back["decoder_bias"][v:] == PADDING_BIAS).all()
    assert torch.exp(torch.tensor(PADDING_BIAS, dtype=torch.float64)) == 0


@pytest.mark.parametrize(("family", "layout"), CASES, ids=str)
def test_a_branch_scale_goes_into_the_weights(family: Family, layout: Layout) -> None:
    """No stock class has one: what it holds is the same function, of a scale of 1."""
    plain = shape_of(family)
    scaled = replace(plain, branch_scale=0.3)
    model = a_model(scaled, layout).double().eval()
    theirs = to_hugging_face(model.state_dict(), scaled, layout, family)
    folded = a_model(plain, layout).double().eval()
    folded.load_state_dict(from_hugging_face(theirs, plain, layout, family))
    inputs, masked = torch.arange(24).view(2, 12), torch.tensor([[1, 5], [0, 11]])
    found, expected = folded(inputs, masked)[:, :100], model(inputs, masked)[:, :100]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(ConfigError, match=r"branch_scale = 0\.3: must be 1"):
        from_hugging_face(theirs, scaled, layout, family)


def test_tied_blocks_become_equal_copies_and_are_found_again() -> None:
    layout, config = Layout(6, 2, (2, 1)), shape_of("bert")
    state = a_model(config, layout).state_dict()
    theirs = to_hugging_face(state, config, layout, "bert")
    name = "bert.encoder.layer.{}.intermediate.dense.weight"
    for layer, block in enumerate(layout.owner):
        assert torch.equal(theirs[name.format(layer)], state[f"stack.blocks.{block}.inner.weight"])
    assert from_hugging_face(theirs, config, layout, "bert").keys() == state.keys()
    with pytest.raises(ConfigError, match=r"layer\.4\..* differs from the layer it would share"):
        from_hugging_face(theirs, config, Layout.tied(6, 2), "bert")


def test_which_class_holds_which_model() -> None:
    pre, post = shape_of("roberta-prelayernorm"), shape_of("bert")
    assert family_of(post, Layout.untied(6)) == "bert"
    assert family_of(pre, Layout.untied(6)) == "roberta-prelayernorm"
    assert family_of(pre, Layout.tied(6)) is None, "ALBERT is Post-LN"
    assert family_of(post, Layout.tied(6, 3)) == "albert"
    assert family_of(post, Layout(6, 1, (3, 3))) == "albert"
    assert family_of(post, Layout(6, 1, (1, 5))) is None
    turned = Layout.tied(6, 2, last_reversed=True)
    assert family_of(post, turned) is None, "ALBERT runs its groups forward"
    assert family_of(post, Layout(6, 2, (1, 2), last_reversed=True)) is None
    assert family_of(post, turned.untie()) == "bert"
    # ALBERT's rule with unequal groups, written out: floor(i / 2.5).
    assert albert_groups(5, 2) == (0, 0, 0, 1, 1)
    assert family_of(replace(post, layers=5), Layout(5, 1, (3, 2))) == "albert"


def broken(state: dict[str, Tensor], change: str) -> None:
    if change == "decoder":
        state["cls.predictions.decoder.weight"] = torch.zeros(100, 16)
    elif change == "missing":
        del state["bert.encoder.layer.5.output.dense.bias"]
    elif change == "unknown":
        state["bert.encoder.layer.6.output.dense.bias"] = torch.zeros(16)
    else:
        state["bert.embeddings.word_embeddings.weight"] = torch.zeros(99, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("decoder", r"cls\.predictions\.decoder\.weight: differs from bert\.embeddings"),
        ("missing", r"layer\.5\.output\.dense\.bias: is absent"),
        ("unknown", r"layer\.6\.output\.dense\.bias: is of shape \[16\], the model's is absent"),
        ("shape", r"word_embeddings\.weight: is of shape \[99, 16\], the model's is \[100, 16\]"),
    ],
)
def test_foreign_tensors_are_refused_by_name(change: str, message: str) -> None:
    config, layout = shape_of("bert"), Layout.untied(6)
    state = to_hugging_face(a_model(config, layout).state_dict(), config, layout, "bert")
    broken(state, change)
    with pytest.raises(ConfigError, match=message):
        from_hugging_face(state, config, layout, "bert")


def test_a_map_before_the_first_layer_is_refused() -> None:
    config, layout = shape_of("albert"), Layout.tied(6)
    state = to_hugging_face(a_model(config, layout).state_dict(), config, layout, "albert")
    state["albert.encoder.embedding_hidden_mapping_in.weight"][0, 1] = 1e-3
    with pytest.raises(ConfigError, match="mapping_in: is not the identity"):
        from_hugging_face(state, config, layout, "albert")


@pytest.mark.parametrize(
    ("family", "layout", "message"),
    [
        ("bert", Layout.untied(6), "placement = 'pre': must be post: bert has no other"),
        ("roberta-prelayernorm", Layout.untied(5), "layout = '5x1': must be of depth 6"),
        ("gpt2", Layout.untied(6), "family = 'gpt2': must be one of bert, "),
    ],
)
def test_a_family_that_cannot_hold_the_model(family: Family, layout: Layout, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_hugging_face({}, replace(SMALL, placement="pre"), layout, family)
