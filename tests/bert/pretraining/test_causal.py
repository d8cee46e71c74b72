"""The next token as objective: nothing looks ahead, the loss is a loop's, runs go on as others."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bert.data.next_token import shift_rows
from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from bert.model.config import BertConfig, Placement, named_config
from bert.model.encoder import Bert, Layer, build_bert
from bert.model.start import digest_of
from bert.pretraining.causal import CausalLanguageTask
from bert.pretraining.task import MaskedLanguageTask
from bert.study.arms import StudyConfig
from bert.study.comparison import StudyData, build_task, prepare_data
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_lines
from swe.base.interrupt import Interrupted
from swe.probes.curvature import curvature
from swe.run.checkpoint import latest
from swe.run.loop import train
from swe.sharing.layout import Layout

STUDY = StudyConfig(
    size="3x16",
    vocabulary=200,
    length=16,
    rows=4,
    steps=12,
    seeds=1,
    tau=0.5,
    check=0.2,
    validation_rows=10,
    arms=("baseline", "swe-f"),
    objective="causal",
)
PLACEMENTS: list[Placement] = ["pre", "post"]


def a_model(placement: Placement, layout: Layout | None = None, scale: float = 1.0) -> Bert:
    """Float64, all weights away from their start, so that no gradient is zero by chance."""
    shape = named_config("4x16", vocabulary=70, placement=placement, dropout=0.0, causal=True)
    model = build_bert(replace(shape, branch_scale=scale), 0).double()
    model.stack.retie(layout or Layout.untied(4))
    draw = torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw).double(), alpha=0.2)
    return model


def ids(rows: int, length: int) -> Tensor:
    return torch.randint(70, (rows, length), generator=torch.manual_seed(2))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(2, 7))) for _ in range(60)]
    folder = tmp_path_factory.mktemp("causal")
    texts = [" ".join(rng.choice(words, size=40)) for _ in range(500)]
    (folder / "text.txt").write_text("\n\n".join(texts))
    return prepare_data(STUDY, folder / "data", text=[folder / "text.txt"])


@pytest.fixture(scope="module")
def task(data: StudyData) -> CausalLanguageTask:
    task = build_task(STUDY, data)
    assert isinstance(task, CausalLanguageTask)
    return task


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("layout", [Layout.untied(4), Layout.tied(4)], ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_no_logit_depends_on_a_later_token(
    placement: Placement, layout: Layout, training: bool
) -> None:
    """Exactly zero, with the kernel of evaluation and, under dropout, the one of training."""
    model = a_model(placement, layout).train(training)
    for block in model.stack.blocks:
        assert isinstance(block, Layer)
        block.attention.dropout = 0.2
    seen: list[Tensor] = []
    model.words.register_forward_hook(lambda _m, _i, out: seen.append(out))
    inputs, length = ids(2, 7), 7
    for place in range(length):
        seen.clear()
        logits = model(inputs, torch.full((2, 1), place))
        [gradient] = torch.autograd.grad(logits.sin().sum(), seen)
        size = gradient.abs().amax(-1)
        assert (size[:, place + 1 :] == 0).all()
        assert training or (size[:, : place + 1] > 0).all()
    everywhere = replace(model.config, causal=False)
    looking = Bert(everywhere).double()
    looking.stack.retie(layout)
    looking.load_state_dict(model.state_dict())
    looking.words.register_forward_hook(lambda _m, _i, out: seen.append(out))
    seen.clear()
    [gradient] = torch.autograd.grad(looking(inputs, torch.zeros(2, 1).long()).sin().sum(), seen)
    assert (gradient.abs().amax(-1) > 0).all(), "the same weights without it look ahead"


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_loss_is_a_loop_over_prefixes(
    task: CausalLanguageTask, placement: Placement, scale: float
) -> None:
    """Every prefix alone, its last logits, its token: what the model is asked at once."""
    shape = replace(task.config, placement=placement, branch_scale=scale)
    model = build_bert(shape, 3).double()
    batch = task.batch(1, 0)
    total, count = 0.0, 0
    with torch.no_grad():
        for row in batch["inputs"]:
            for end in range(1, task.length - 1):
                [logits] = model(row[None, :end], torch.tensor([[end - 1]]))
                total -= float(logits.log_softmax(-1)[row[end]])
                count += 1
    assert count == task.rows * task.masked == 4 * 14
    loss = task.loss(model, batch)
    # Sums of some 100 terms in another order: 1e-14.
    assert float(loss.detach()) == pytest.approx(total / count, rel=1e-12)


def test_rows_are_shifted_by_one(vocabulary: Vocabulary) -> None:
    cls, sep = vocabulary.cls_id, vocabulary.sep_id
    a, b, c = vocabulary.ordinary_ids[:3]
    rows = np.array([[cls, a, b, c, sep], [cls, c, sep, a, sep]], dtype=np.uint16)
    batch = shift_rows(rows, vocabulary)
    assert batch.inputs.tolist() == rows.tolist()
    assert batch.positions.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert batch.labels.tolist() == [[a, b, c], [c, sep, a]]
    with pytest.raises(DataError, match="row 1 holds a token id outside the vocabulary"):
        shift_rows(np.where(rows == b, 0, rows + np.array([[0], [vocabulary.size]])), vocabulary)
    with pytest.raises(ValueError, match="must be 2-D"):
        shift_rows(rows[0], vocabulary)


def test_batches_are_the_masked_ones_uncovered(task: CausalLanguageTask, data: StudyData) -> None:
    """The order of the rows depends on the seed alone, on neither objective nor arm."""
    masked = build_task(replace(STUDY, objective="masked"), data)
    assert type(masked) is MaskedLanguageTask
    for index in (0, 5):
        ours, theirs = task.batch(2, index), masked.batch(2, index)
        uncovered = theirs["inputs"].scatter(1, theirs["masked"], theirs["labels"])
        assert torch.equal(ours["inputs"], uncovered)
        assert not torch.equal(uncovered, theirs["inputs"])
    assert task.masked == 14
    assert task.flops_per_batch == 4 * task.config.flops_per_row(16, 14)


def test_evaluation_is_per_token(task: CausalLanguageTask) -> None:
    model = task.build(0)
    found = task.evaluate(model, torch.device("cpu"))
    assert set(found) == {"loss", "accuracy", "predictions", "perplexity"}
    assert found["predictions"] == 10 * 14
    assert found["perplexity"] == math.exp(found["loss"])
    assert isinstance(model, Bert)
    rows = task.store.valid[task.validation_places()]
    inputs = torch.from_numpy(rows.astype(np.int64))
    with torch.no_grad():
        logits = model(inputs, torch.arange(14).expand(10, -1)).view(10, 14, -1)
    labels = inputs[:, 1:15]
    loss = -logits.double().log_softmax(-1).gather(2, labels[..., None]).mean()
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert found["accuracy"] == float((logits.argmax(-1) == labels).double().mean())
    with torch.no_grad():  # as after a divergence: e to the loss is no float, and JSON has no inf
        model.decoder_bias.copy_(1e5 * torch.arange(len(model.decoder_bias)))
    assert math.isfinite(task.evaluate(model, torch.device("cpu"))["perplexity"])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_tied_is_copies_and_gradients_add(placement: Placement) -> None:
    tied, copies = a_model(placement, Layout.tied(4, 2)), a_model(placement)
    copies.load_state_dict(
        {
            name: tensor
            for layer in range(4)
            for old, tensor in tied.state_dict().items()
            for name in [old.replace(f"blocks.{layer % 2}.", f"blocks.{layer}.")]
        }
    )
    inputs, place = ids(3, 9), torch.arange(9).expand(3, -1)
    one, many = tied(inputs, place), copies(inputs, place)
    assert torch.equal(one, many)
    one.cos().mean().backward()
    many.cos().mean().backward()
    for (name, shared), first, second in zip(
        tied.stack.blocks[1].named_parameters(),
        copies.stack.blocks[1].parameters(),
        copies.stack.blocks[3].parameters(),
        strict=True,
    ):
        assert first.grad is not None
        assert second.grad is not None
        torch.testing.assert_close(
            shared.grad, first.grad + second.grad, rtol=1e-10, atol=1e-14, msg=name
        )


def test_a_stopped_run_ends_as_an_unbroken_one(task: CausalLanguageTask, tmp_path: Path) -> None:
    """Stopped while tied, and after the untie: the same end, bit for bit."""
    config = replace(STUDY.train_config("swe-f", 0), checkpoint_interval=100)
    whole = train(task, config, tmp_path / "whole")
    stopped = []
    for updates in (5, 2):
        calls = iter(range(1000))
        with pytest.raises(Interrupted):
            train(task, config, tmp_path / "parts", stop=lambda: next(calls) >= updates)  # noqa: B023
        found = latest(tmp_path / "parts" / "checkpoints", pytest.fail)
        assert found is not None
        stopped.append(found.step)
    assert stopped[0] < 6 < stopped[1] < 12
    parts = train(task, config, tmp_path / "parts")
    assert parts["valid"] == whole["valid"]
    events = read_lines(tmp_path / "whole" / "events.jsonl")
    assert [event["step"] for event in events] == [6]
    one, other = (
        latest(tmp_path / name / "checkpoints", pytest.fail) for name in ("whole", "parts")
    )
    assert one is not None
    assert other is not None
    models = [task.build(0), task.build(0)]
    for found, model in zip((one, other), models, strict=True):
        found.load_weights(model)
    for mine, theirs in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(mine, theirs)


def test_curvature_of_a_causal_model(task: CausalLanguageTask) -> None:
    model, batch = task.build(0), task.batch(0, 0)
    assert isinstance(model, Bert)

    def loss() -> Tensor:
        logits = model(batch["inputs"], batch["masked"])
        return torch.nn.functional.cross_entropy(logits, batch["labels"].flatten())

    exact = curvature(model.stack, loss, samples=2)
    ours = curvature(model.stack, lambda: task.loss(model, batch), samples=2)
    assert (exact.method, ours.method) == ("exact", "differences")
    assert ours.sharpness == pytest.approx(exact.sharpness, rel=10 * ours.difference_error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "prefix"}, "objective = 'prefix': must be masked or causal"),
        ({"whole_word": True}, "whole_word = True: must be false with objective=causal"),
        (
            {"pairs": "next-sentence", "documents": "apart"},
            "pairs = 'next-sentence': must be none with objective=causal",
        ),
    ],
)
def test_impossible_combinations_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(STUDY, **change)
    assert str(caught.value) == message


def test_a_task_needs_its_own_attention(task: CausalLanguageTask, data: StudyData) -> None:
    with pytest.raises(ConfigError, match="causal = False: must be true for the next token"):
        replace(task, config=replace(task.config, causal=False))
    masked = build_task(replace(STUDY, objective="masked"), data)
    with pytest.raises(ConfigError, match="causal = True: must be false for masked tokens"):
        replace(masked, config=task.config)


def test_what_was_recorded_before_reads_as_masked(data: StudyData) -> None:
    """Names, digests and descriptions of masked runs are those from before there was a choice."""
    masked = replace(STUDY, objective="masked")
    fields = to_dict(masked)
    assert not fields.keys() & {"objective", "branch_scale"}
    assert from_dict(StudyConfig, fields) == masked
    assert to_dict(STUDY) == fields | {"objective": "causal"}
    described = build_task(masked, data).describe()
    assert list(described)[:4] == ["task", "model", "rows", "whole_word"]
    assert "causal" not in described["model"]
    assert from_dict(BertConfig, described["model"]) == masked.shape(
        described["model"]["vocabulary"]
    )
    shape = named_config("2x16", vocabulary=70)
    assert digest_of(shape, {}) != digest_of(replace(shape, causal=True), {})
    ours = build_task(STUDY, data).describe()
    assert (ours["task"], ours["model"]["causal"]) == ("causal language modelling", True)
    assert "whole_word" not in ours
