"""An encoder of transformers in ours' place: the same function, the same law, the core's door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from bert.huggingface.convert import from_hugging_face, to_hugging_face
from bert.huggingface.names import body_prefix
from bert.huggingface.stock import NO_PADDING, StockEncoder, build_stock, stock_family, stock_shape
from bert.languages.composition import Composition
from bert.languages.task import LanguageTask
from bert.model.config import BertConfig, Placement, named_config
from bert.model.encoder import Bert, build_bert
from bert.study.stock_language import StockLanguageTask
from swe.base.errors import ConfigError
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig, build_adamw, set_learning_rate
from swe.run.run_config import TrainConfig
from swe.sharing.adopt import adopt
from swe.sharing.layout import Layout
from swe.sharing.schedule import SweFixed
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack

pytest.importorskip("transformers")

LANGUAGE = Composition(symbols=4, hops=3)
PLACEMENTS: tuple[Placement, ...] = ("pre", "post")


def shape(placement: Placement) -> BertConfig:
    plain = named_config("3x32", vocabulary=LANGUAGE.vocabulary, placement=placement, dropout=0.0)
    return replace(plain, heads=2)


def ours_with_the_weights_of(config: BertConfig, seed: int) -> tuple[Bert, StockLanguageTask]:
    """Our encoder with the stock model's start, and the task that starts so."""
    task = StockLanguageTask(config, LANGUAGE, 16, 20)
    wide, untied = stock_shape(config), Layout.untied(config.layers)
    ours = build_bert(wide, seed + 1)
    given = build_stock(config, seed).model.state_dict()
    ours.load_state_dict(
        from_hugging_face(given, wide, untied, stock_family(config), pad_id=NO_PADDING)
    )
    return ours, task


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_loss_and_gradients_are_our_encoders(placement: Placement, tied: bool) -> None:
    """Single precision over other kernels: 1e-6 of a loss near 4, 1e-4 of a gradient's norm."""
    ours, task = ours_with_the_weights_of(shape(placement), 0)
    theirs = task.build(0)
    layout = Layout.tied(3) if tied else Layout.untied(3)
    for model in (ours, theirs):
        find_stack(model)[1].retie(layout)
    batch = task.batch(0, 0)
    assert 0 in batch["inputs"], "the token that BERT takes for padding"
    losses = [task.loss(model, batch) for model in (ours, theirs)]
    for loss in losses:
        loss.backward()
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), rel=1e-6)
    wide = stock_shape(task.config)
    mine = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    expected = to_hugging_face(mine, wide, layout, stock_family(wide), pad_id=NO_PADDING)
    found = {n.removeprefix("model."): p.grad for n, p in theirs.named_parameters()}
    assert len(found) == len(expected) - tied * 2 * len(list(layer_names(expected)))
    for name, have in found.items():
        want = expected[name]
        assert have is not None, name
        if name.endswith("key.bias"):  # zero in exact arithmetic: softmax ignores a common shift
            assert have.norm() < 1e-4 * expected[name.replace("key", "query")].norm(), name
        else:
            assert (have - want).norm() <= 1e-4 * want.norm(), name


def layer_names(names: Iterable[str]) -> Iterator[str]:
    """The names of one layer's parameters."""
    return (name for name in names if ".layer.0." in name)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_start_has_the_law_of_ours(placement: Placement) -> None:
    config = shape(placement)
    state = torch.get_rng_state()
    one, again, other = (build_stock(config, seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    ours = build_bert(config, 0)
    assert sum(p.numel() for p in one.parameters()) == sum(p.numel() for p in ours.parameters())
    drawn = []
    for (name, first), second, third in zip(
        one.named_parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(first, second), name
        if first.ndim >= 2:
            assert not torch.equal(first, third), name
            drawn.append(first.detach().flatten())
        else:
            constant = float("LayerNorm.weight" in name or "layer_norm.weight" in name)
            assert torch.equal(first, torch.full_like(first, constant)), name
    values = torch.cat(drawn)
    mine = torch.cat([p.detach().flatten() for p in ours.parameters() if p.ndim >= 2])
    assert values.abs().max() <= 2 * config.initial_std
    # Each deviation is known to 1 / sqrt(2 n) of itself; five of those, and both are drawn.
    assert float(values.std() / mine.std()) == pytest.approx(1, abs=5 / len(mine) ** 0.5)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_loop_is_adopt_in_a_plain_loop(placement: Placement, tmp_path: Path) -> None:
    """Five updates with the untie before the fourth, bit for bit: what a user would have run."""
    task = StockLanguageTask(shape(placement), LANGUAGE, 8, 20)
    schedule, optimizer = SweFixed(until=0.6), OptimizerConfig(peak_lr=3e-3, warmup=0.2)
    config = TrainConfig(steps=5, seed=7, schedule=schedule, optimizer=optimizer)
    found = train(task, config, tmp_path)["valid"]

    built = build_stock(task.config, 7).model
    plain = type(built)(built.config)  # as transformers makes it: nothing is adopted yet
    plain.load_state_dict(built.state_dict())
    model = StockEncoder(plain)
    where = f"{body_prefix(stock_family(task.config))}encoder.layer"
    theirs = build_adamw(plain, optimizer)
    swe = adopt(plain, where, schedule, theirs, 5, clip_norm=1.0)
    unties = []
    for step in range(5):
        batch = task.batch(7, step)
        event = swe.begin_step(step, partial(task.loss, model, batch))
        unties += [step] if event else []
        task.loss(model, batch).backward()
        swe.finish_gradients()
        set_learning_rate(theirs, optimizer.learning_rate(step, 5))
        theirs.step()
        theirs.zero_grad()
    assert unties == [3]
    assert task.evaluate(model.eval(), torch.device("cpu")) == found


def test_the_layers_are_tied_in_their_own_list() -> None:
    model = build_stock(shape("post"), 0)
    name, stack = find_stack(model)
    assert name == "model.bert.encoder.layer"
    untied = sum(p.numel() for p in model.parameters())
    prepare(stack, SweFixed(until=0.5))
    layer = sum(p.numel() for p in stack.blocks[0].parameters())
    assert untied - sum(p.numel() for p in model.parameters()) == 2 * layer


def test_without_transformers_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert.huggingface.stock.find_spec", lambda name: None)
    said = r"^encoder = 'transformers': must be 'own', since transformers is not installed: pip"
    with pytest.raises(ConfigError, match=said):
        StockLanguageTask(shape("pre"), LANGUAGE, 8, 20)
    with pytest.raises(ConfigError, match=said):
        build_stock(shape("pre"), 0)
    assert LanguageTask(shape("pre"), LANGUAGE, 8, 20).depth == 3, "ours needs none"
