"""A causal model in the stock decoder classes: logits, loss, cached generation, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bert.data.vocab import Vocabulary
from bert.huggingface.config import class_name
from bert.huggingface.convert import to_hugging_face
from bert.huggingface.export import describe, export_model
from bert.huggingface.pretrained import load_pretrained
from bert.model.config import Placement, named_config
from bert.model.cross_entropy import mean_cross_entropy
from bert.model.encoder import Bert, build_bert
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from tests.bert.huggingface.test_export import edit_json, logits, some_inputs

# Float64: two orders of the same sums, of logits up to some ten.
CLOSE = 1e-11
CASES: list[tuple[Placement, Layout, str]] = [
    ("post", Layout.untied(4), "BertLMHeadModel, 4 layers"),
    ("pre", Layout.untied(4), "RobertaPreLayerNormForCausalLM, 4 layers"),
    ("post", Layout.tied(4), "BertLMHeadModel, 4 layers: untied copies"),
    ("pre", Layout.tied(4, 2), "RobertaPreLayerNormForCausalLM, 4 layers: untied copies"),
]


def a_model(vocabulary: Vocabulary, placement: Placement, layout: Layout) -> Bert:
    shape = named_config(
        "4x32", vocabulary=vocabulary.size, placement=placement, dropout=0.0, causal=True
    )
    model = build_bert(replace(shape, positions=20), 0)
    model.stack.retie(layout)
    draw = torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.3)
    return model.eval()


def greedy(model: Bert, inputs: Tensor, count: int) -> Tensor:
    """(B, S) -> (B, S + count): the likeliest token, again and again, without any cache."""
    for _ in range(count):
        inputs = torch.cat([inputs, logits(model, inputs)[:, -1:].argmax(-1)], 1)
    return inputs


@pytest.mark.parametrize(("placement", "layout", "said"), CASES, ids=str)
def test_a_stock_decoder_is_our_causal_model(
    vocabulary: Vocabulary, tmp_path: Path, placement: Placement, layout: Layout, said: str
) -> None:
    transformers = pytest.importorskip("transformers")
    model = a_model(vocabulary, placement, layout)
    family = export_model(model, vocabulary, tmp_path / "out")
    assert describe(model, family).startswith(said)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert type(theirs).__name__ == said.split(",")[0]
    assert not any(report.values()), "every tensor is found, and none is left over"
    inputs = some_inputs(vocabulary)
    model, theirs = model.double(), theirs.eval().double()
    ours = logits(model, inputs)
    with torch.no_grad():
        got = theirs(inputs)
        # Their labels are shifted inside; -100 is not counted, as our loss leaves out [SEP].
        labels = torch.cat([inputs[:, :-1], torch.full((3, 1), -100)], 1)
        loss = theirs(inputs, labels=labels).loss
    assert float(ours.abs().max()) > 1
    torch.testing.assert_close(got.logits, ours, rtol=CLOSE, atol=CLOSE)
    mean = mean_cross_entropy(ours[:, :-2].flatten(0, 1), inputs[:, 1:-1].flatten())
    assert float(loss) == pytest.approx(float(mean), rel=1e-6), "theirs is in float32"

    theirs.float().save_pretrained(tmp_path / "back")
    transformers.AutoTokenizer.from_pretrained(tmp_path / "out").save_pretrained(tmp_path / "back")
    back = load_pretrained(tmp_path / "back")
    assert (back.config, back.dropped, back.fresh) == (model.config, (), ())
    again = logits(back.model.eval().double(), inputs)
    torch.testing.assert_close(again, ours, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_generation_with_and_without_a_cache(
    vocabulary: Vocabulary, tmp_path: Path, placement: Placement
) -> None:
    """The same tokens as ours by greedy decoding, to the last position; [SEP] does not end it."""
    transformers = pytest.importorskip("transformers")
    model = a_model(vocabulary, placement, Layout.untied(4))
    export_model(model, vocabulary, tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval().double()
    ids = theirs.generation_config
    assert (ids.bos_token_id, ids.eos_token_id) == (vocabulary.cls_id, vocabulary.sep_id)
    assert ids.pad_token_id == vocabulary.pad_id
    ids.eos_token_id = None
    prompt = some_inputs(vocabulary)[:, :5]
    expected = greedy(model.double(), prompt, 15)
    options: dict[str, Any] = {"max_new_tokens": 15, "do_sample": False}
    for cache in (True, False):
        got = theirs.generate(
            prompt, attention_mask=torch.ones_like(prompt), use_cache=cache, **options
        )
        assert torch.equal(got, expected), cache
    assert len({tuple(row) for row in expected[:, 5:].tolist()}) > 1


def test_what_is_no_decoder_is_refused(vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = a_model(vocabulary, "post", Layout.tied(4))
    with pytest.raises(ConfigError, match="family = 'albert': must be another"):
        to_hugging_face(model.state_dict(), model.config, model.stack.layout, "albert")
    with pytest.raises(ConfigError, match="family = 'albert': must be one of bert, roberta"):
        class_name("albert", True)
    masked = Bert(replace(model.config, causal=False))
    masked.stack.retie(Layout.tied(4))
    assert export_model(masked, vocabulary, tmp_path / "out") == "albert"
    edit_json(tmp_path / "out" / "config.json", is_decoder=True)
    with pytest.raises(ConfigError, match="is_decoder = True: must be False for this model"):
        load_pretrained(tmp_path / "out")


def test_a_masked_folder_stays_masked(vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = a_model(vocabulary, "post", Layout.untied(4))
    masked = Bert(replace(model.config, causal=False)).eval()
    masked.load_state_dict(model.state_dict())
    export_model(masked, vocabulary, tmp_path / "out")
    assert load_pretrained(tmp_path / "out").config == masked.config
    inputs = some_inputs(vocabulary)
    assert not torch.allclose(logits(masked, inputs), logits(model, inputs))
