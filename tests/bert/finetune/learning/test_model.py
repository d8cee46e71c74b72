"""The encoder with segments and padding, the heads, and where their weights come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from bert.finetune.learning.model import SentenceModel, SpanModel, build, sentence_loss, span_loss
from bert.finetune.learning.start import StartingPoint, of_model, open_start
from bert.huggingface.export import export_model
from bert.model.config import Placement
from bert.model.encoder import Bert, build_bert
from swe.base.errors import ConfigError
from swe.run import checkpoint
from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared
from swe.sharing.share_then_unshare import prepare


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_padding_changes_nothing_but_the_last_digits(
    start: StartingPoint, placement: Placement
) -> None:
    """A row alone and the same row beside a longer one: float32 sums in another order."""
    config = replace(start.config, placement=placement)
    model = build_bert(config, 0).double().eval()
    inputs = torch.randint(0, config.vocabulary, (2, 16))
    segments = (torch.arange(16) > 4).long().expand(2, -1)
    both = model.encode(inputs, segments, torch.tensor([16, 9]))
    alone = model.encode(inputs[1:, :9], segments[1:, :9])
    torch.testing.assert_close(both[1, :9], alone[0], rtol=1e-12, atol=1e-12)
    other = inputs.clone()
    other[1, 9:] = 7
    changed = model.encode(other, segments, torch.tensor([16, 9]))
    assert torch.equal(changed[1, :9], both[1, :9]), "what stands in the padding is not seen"


def test_defaults_are_the_pretraining_path(start: StartingPoint) -> None:
    model = build_bert(start.config, 0).eval()
    inputs = torch.randint(0, start.config.vocabulary, (3, 8))
    plain = model.encode(inputs)
    assert torch.equal(plain, model.encode(inputs, torch.zeros_like(inputs)))
    full = model.encode(inputs, lengths=torch.tensor([8, 8, 8]))
    torch.testing.assert_close(full, plain, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(plain, model.encode(inputs, torch.ones_like(inputs)))


def test_the_head_is_the_textbooks(start: StartingPoint) -> None:
    model = build(start.config, 3, start.state, 5)
    assert isinstance(model, SentenceModel)
    model.eval()
    inputs, lengths = torch.randint(0, 40, (2, 8)), torch.tensor([8, 5])
    segments = torch.zeros_like(inputs)
    first = model.encoder.encode(inputs, segments, lengths)[:, 0]
    pooled = torch.tanh(first @ model.pooler.weight.T + model.pooler.bias)
    expected = pooled @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model(inputs, segments, lengths), expected)
    for name, parameter in model.encoder.named_parameters():
        assert torch.equal(parameter, start.state[name]), name
    again, other = (build(start.config, 3, start.state, seed) for seed in (5, 6))
    assert isinstance(again, SentenceModel)
    assert torch.equal(again.pooler.weight, model.pooler.weight)
    assert not torch.equal(other.output.weight, model.output.weight)


def test_spans_never_point_into_the_padding(start: StartingPoint) -> None:
    model = build(start.config, None, start.state, 0)
    assert isinstance(model, SpanModel)
    inputs = torch.randint(0, 40, (2, 8))
    logits = model(inputs, torch.zeros_like(inputs), torch.tensor([8, 5]))
    assert logits.shape == (2, 2, 8)
    assert (logits.softmax(-1)[:, 1, 5:] == 0).all()
    loss = span_loss(logits, torch.tensor([1, 2]), torch.tensor([3, 4]))
    by_hand = (
        -(
            logits[0].log_softmax(-1)[[0, 1], [1, 2]] + logits[1].log_softmax(-1)[[0, 1], [3, 4]]
        ).mean()
        / 2
    )
    torch.testing.assert_close(loss, by_hand)


def test_losses() -> None:
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    assert torch.equal(sentence_loss(logits, labels), functional.cross_entropy(logits, labels))
    scores = torch.tensor([0.0, 5.0])
    assert float(sentence_loss(torch.tensor([[1.0], [3.0]]), scores)) == (1 + 4) / 2


@pytest.mark.parametrize(("name", "layout"), [("untied", "2x1"), ("tied", "1x2")])
def test_a_finished_run_is_read_whole(
    run_folder: Callable[[str], Path], name: str, layout: str
) -> None:
    """The starting point computes what the run's own model computes."""
    folder = run_folder(name)
    found = open_start(folder)
    assert str(found.layout) == found.origin["layout"] == layout
    own = Bert(found.config)
    if name == "tied":
        prepare(own.stack, AlwaysShared())
    last = checkpoint.latest(folder / "checkpoints", print)
    assert last is not None
    last.load_weights(own)
    fine = build(replace(found.config, dropout=0.0), 2, found.state, 0).eval()
    inputs = torch.randint(0, found.config.vocabulary, (2, 8))
    assert torch.equal(fine.encoder.encode(inputs), own.eval().encode(inputs))


def test_any_model_can_be_the_start(vocabulary: Vocabulary, start: StartingPoint) -> None:
    """Groups of unequal size, as SWE-M leaves them, and the names of layers, not of blocks."""
    config = replace(start.config, layers=3)
    model = build_bert(config, 3)
    model.stack.retie(Layout(3, 1, (2, 1)))
    found = of_model(model, vocabulary, {"kind": "test"})
    assert found.state["stack.blocks.0.inner.weight"] is found.state["stack.blocks.1.inner.weight"]
    fine = build(config, 2, found.state, 0).eval()
    inputs = torch.randint(0, config.vocabulary, (2, 8))
    assert torch.equal(fine.encoder.encode(inputs), model.eval().encode(inputs))
    with pytest.raises(DataError, match="the model has 7"):
        replace(found, config=replace(config, vocabulary=7))


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_an_exported_model_is_the_same_start(
    start: StartingPoint, placement: Placement, tmp_path: Path
) -> None:
    """Out to the stock class and in again: same weights, same tokens.

    With segments and padding that class computes what ours does: a second route to ``encode``.
    """
    config = replace(start.config, placement=placement)
    model = build_bert(config, 4)
    export_model(model, start.vocabulary, tmp_path / "hf")
    found = open_start(tmp_path / "hf")
    same = of_model(model, start.vocabulary, {})
    assert found.vocabulary == start.vocabulary
    for name, parameter in same.state.items():
        if name not in ("words.weight", "decoder_bias"):  # padding rows are not exported
            assert torch.equal(found.state[name], parameter), name
    with pytest.raises(ConfigError, match="--vocab"):
        open_start(tmp_path / "hf", tmp_path / "vocab.txt")
    if placement == "post":
        transformers = pytest.importorskip("transformers")
        theirs = transformers.BertModel.from_pretrained(tmp_path / "hf").eval()
        inputs = torch.randint(5, start.vocabulary.size, (2, 16))
        segments = (torch.arange(16) > 4).long().expand(2, -1)
        lengths = torch.tensor([16, 9])
        mask = (torch.arange(16) < lengths[:, None]).long()
        with torch.no_grad():
            expected = theirs(
                input_ids=inputs, token_type_ids=segments, attention_mask=mask
            ).last_hidden_state
            ours = model.eval().encode(inputs, segments, lengths)
        torch.testing.assert_close(ours[0], expected[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(ours[1, :9], expected[1, :9], rtol=0, atol=1e-5)


def test_folders_that_are_no_start(run_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run folder and no checkpoint"):
        open_start(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json cannot be read"):
        open_start(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ConfigError, match="is no run folder of a language model"):
        open_start(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ConfigError, match="gpt2"):
        open_start(tmp_path)
    folder = run_folder("untied")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ConfigError, match="not finished"):
        open_start(tmp_path)
    wrong = tmp_path / "vocab.txt"
    [vocabulary] = (folder.parents[2] / "data").glob("vocab-*.txt")
    wrong.write_text(vocabulary.read_text() + "more\n")
    with pytest.raises(DataError, match="is not the vocabulary of"):
        open_start(folder, wrong)
