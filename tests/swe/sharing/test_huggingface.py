"""Models and Trainer of transformers: tied, untied, resumed, as our own loop does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared, Schedule, SweAdaptive, SweFixed, SweMultistage
from swe.sharing.statistics import probe

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from swe.sharing.huggingface import (  # noqa: E402
    ShareThenUnshareCallback,
    share_then_unshare,
    spread_albert,
)

DEPTH, STEPS = 4, 8
SHAPE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
    "hidden_act": "gelu",
}


def bert(seed: int = 0, dropout: float = 0.0) -> Any:
    torch.manual_seed(seed)
    return transformers.BertForMaskedLM(
        transformers.BertConfig(
            **SHAPE,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            initializer_range=0.2,
        )
    )


def albert(inner: int = 1) -> Any:
    torch.manual_seed(0)
    return transformers.AlbertForMaskedLM(
        transformers.AlbertConfig(
            **SHAPE, embedding_size=16, inner_group_num=inner, initializer_range=0.2
        )
    )


def rows(count: int = 16) -> list[dict[str, Tensor]]:
    source = torch.Generator().manual_seed(5)
    out = []
    for _ in range(count):
        ids = torch.randint(5, 40, (12,), generator=source)
        labels = torch.where(torch.rand(12, generator=source) < 0.3, ids, -100)
        labels[0] = ids[0]
        out.append({"input_ids": ids, "labels": labels})
    return out


def collate(picked: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in picked]) for name in picked[0]}


def loss_of(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    out: Tensor = model(**batch).loss
    return out


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("schedule", [SweFixed(until=3), SweFixed(until=3, unit=2)], ids=str)
def test_bert_model_is_tied_and_untied_in_place(schedule: Schedule) -> None:
    model = bert(dropout=0.1).train()
    encoder, keys = model.bert.encoder.layer, list(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    swe = adopt(model, "bert.encoder.layer", schedule, optimizer, STEPS, clip_norm=1.0)
    batch = collate(rows(4))
    events, losses = [], []
    for step in range(STEPS):
        event = swe.begin_step(step, partial(loss_of, model, batch), measure=True)
        events += [event] if event else []
        weights_held = {tuple(map(id, layer.parameters())) for layer in encoder}
        assert len(weights_held) == (schedule.unit if step < 3 else DEPTH)
        loss = loss_of(model, batch)
        loss.backward()
        losses.append(float(loss.detach()))
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()
    assert [event.step for event in events] == [3]
    assert losses[-1] < losses[0]
    assert list(model.state_dict()) == keys
    first, last = encoder[0].output.dense.weight, encoder[DEPTH - 1].output.dense.weight
    assert not torch.equal(first, last)
    assert [layer.attention.self.layer_idx for layer in encoder] == list(range(DEPTH))


def test_gradient_checkpointing_gives_the_same_probe() -> None:
    """The recomputed layers must be those with leaves of their own, not the shared module."""
    batch, grams = collate(rows(4)), []
    for checkpointing in (False, True):
        model = bert().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        swe = adopt(model, "bert.encoder.layer", AlwaysShared(), optimizer, STEPS)
        grams.append(torch.tensor(probe(swe.stack, partial(loss_of, model, batch)).gram))
    assert float(grams[0].diagonal().min()) > 0
    torch.testing.assert_close(grams[1], grams[0], rtol=1e-6, atol=0)


def test_hidden_states_are_those_of_every_layer() -> None:
    """The library collects them by hooks, which see one module run many times, then copies."""
    model, batch = bert().eval(), collate(rows(2))
    swe = adopt(
        model,
        "bert.encoder.layer",
        SweFixed(until=1),
        torch.optim.SGD(model.parameters(), lr=0.1),
        4,
    )
    for step in range(2):
        swe.begin_step(step, partial(loss_of, model, batch))
        plain = bert(1).eval()
        plain.load_state_dict(model.state_dict())
        got = model(**batch, output_hidden_states=True).hidden_states
        expected = plain(**batch, output_hidden_states=True).hidden_states
        assert len(got) == len(expected) == DEPTH + 1
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
        loss_of(model, batch).backward()
        swe.finish_gradients()
        swe.optimizer.step()
        swe.optimizer.zero_grad()


@pytest.mark.parametrize("inner", [1, 2])
def test_albert_is_spread_and_untied(inner: int, tmp_path: Path) -> None:
    """One group used many times becomes as many groups; the untied model is a stock ALBERT."""
    model = albert(inner).train()
    batch = collate(rows(4))
    before = loss_of(model, batch)
    count = sum(p.numel() for p in model.parameters())
    where = spread_albert(model)
    assert where == "albert.encoder.albert_layer_groups"
    assert torch.equal(loss_of(model, batch), before)
    assert sum(p.numel() for p in model.parameters()) == count
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    swe = adopt(model, where, SweFixed(until=3), optimizer, STEPS)
    for step in range(STEPS):
        swe.begin_step(step, partial(loss_of, model, batch))
        loss_of(model, batch).backward()
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()
    assert swe.state.layout == Layout.untied(DEPTH)
    model.save_pretrained(tmp_path)
    opened = transformers.AlbertForMaskedLM.from_pretrained(tmp_path)
    assert opened.config.num_hidden_groups == DEPTH
    assert torch.equal(loss_of(opened.train(), batch), loss_of(model, batch))
    with pytest.raises(ConfigError, match="a BertForMaskedLM has no albert_layer_groups"):
        spread_albert(bert())


class Seen(list[dict[str, Tensor]]):
    """A collator that remembers its batches, in the order of training."""

    def __call__(self, picked: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        batch = collate(picked)
        self.append(batch)
        return batch


def a_trainer(model: Any, folder: Path, collator: Any = collate, **changes: Any) -> Any:
    options: dict[str, Any] = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "max_grad_norm": 0.5,
        "weight_decay": 0.1,
        "lr_scheduler_type": "constant",
        "seed": 3,
        "save_strategy": "no",
        "logging_steps": 2,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    args = transformers.TrainingArguments(output_dir=str(folder), **(options | changes))
    return transformers.Trainer(
        model=model, args=args, train_dataset=rows(), data_collator=collator
    )


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(
    "schedule",
    [
        SweFixed(until=3),
        SweAdaptive(interval=2, rho=1.0, patience=2),
        SweMultistage(interval=2, rho=0.9),
    ],
    ids=lambda schedule: schedule.kind,
)
def test_the_trainer_makes_the_updates_of_a_plain_loop(
    schedule: Schedule, accumulation: int, tmp_path: Path
) -> None:
    """Mean gradients, our clipping and the untie, bit for bit as in a loop written out."""
    seen = Seen()
    trainer = a_trainer(bert(), tmp_path, seen, gradient_accumulation_steps=accumulation)
    callback = share_then_unshare(trainer, "bert.encoder.layer", schedule, collate(rows(4)))
    trainer.train()
    assert trainer.args.max_grad_norm == 0.5

    model = bert().train()
    decayed = [n for n, p in model.named_parameters() if p.ndim > 1]
    groups = [
        {"params": [p for n, p in model.named_parameters() if n in decayed], "weight_decay": 0.1},
        {
            "params": [p for n, p in model.named_parameters() if n not in decayed],
            "weight_decay": 0.0,
        },
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, fused=True)
    swe = adopt(model, "bert.encoder.layer", schedule, optimizer, STEPS, clip_norm=0.5)
    held, events = collate(rows(4)), []
    norms = []
    for step in range(STEPS):
        event = swe.begin_step(step, partial(loss_of, model, held))
        events += [event] if event else []
        batches = seen[step * accumulation : (step + 1) * accumulation]
        for batch in batches:  # the Trainer leaves the average to losses that take **kwargs
            share = 1 if trainer.model_accepts_loss_kwargs else accumulation
            (loss_of(model, batch) / share).backward()
        norms.append(float(swe.finish_gradients()))
        optimizer.step()
        optimizer.zero_grad()
    assert max(norms) > 0.5, "clipping acts"
    assert [e["step"] for e in callback.events] == [e.step for e in events] != []
    assert [e["held_loss"] for e in callback.events] == [e.loss for e in events]
    assert_equal(weights(trainer.model), weights(model))


@pytest.mark.parametrize("at", [2, 4, 6])
def test_resuming_from_a_trainer_checkpoint_is_exact(at: int, tmp_path: Path) -> None:
    """Before the untie (2), at it (4, still tied on disk) and after it (6)."""
    schedule, held = SweFixed(until=4), collate(rows(4))
    unbroken = a_trainer(bert(dropout=0.1), tmp_path / "a", save_strategy="steps", save_steps=2)
    reference = share_then_unshare(unbroken, "bert.encoder.layer", schedule, held)
    unbroken.train()

    resumed = a_trainer(
        bert(1, dropout=0.1), tmp_path / "b", restore_callback_states_from_checkpoint=at == 6
    )
    callback = share_then_unshare(resumed, "bert.encoder.layer", schedule, held)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / f"checkpoint-{at}"))
    assert callback.events == reference.events
    assert [event["step"] for event in callback.events] == [4]
    assert callback.swe is not None
    assert callback.swe.state.layout.is_untied
    assert_equal(weights(resumed.model), weights(unbroken.model))


def test_a_checkpoint_of_the_tied_phase_opens_in_the_stock_class(tmp_path: Path) -> None:
    trainer = a_trainer(bert(), tmp_path, save_strategy="steps", save_steps=4)
    share_then_unshare(trainer, "bert.encoder.layer", AlwaysShared(), collate(rows(4)))
    trainer.train()
    opened, report = transformers.BertForMaskedLM.from_pretrained(
        tmp_path / "checkpoint-4", output_loading_info=True
    )
    assert not any(report.values())
    layers = opened.bert.encoder.layer
    assert len({id(p) for p in layers.parameters()}) == DEPTH * len(list(layers[0].parameters()))
    assert_equal(layers[0].state_dict(), layers[3].state_dict())


def test_what_the_callback_cannot_drive_is_refused(tmp_path: Path) -> None:
    held = collate(rows(4))
    with pytest.raises(ConfigError, match="auto_find_batch_size = True: the Trainer callback"):
        share_then_unshare(
            a_trainer(bert(), tmp_path, auto_find_batch_size=True),
            "bert.encoder.layer",
            SweFixed(until=3),
            held,
        )
    trainer = a_trainer(bert(), tmp_path)
    share_then_unshare(trainer, "bert.encoder.layer", SweFixed(until=STEPS), held)
    with pytest.raises(ConfigError, match="until = 8: must be a step in"):
        trainer.train()
    trainer = a_trainer(bert(), tmp_path)
    trainer.add_callback(ShareThenUnshareCallback())
    with pytest.raises(ConfigError, match="callback: has no trainer"):
        trainer.train()
    plain = a_trainer(bert(), tmp_path / "plain", save_strategy="steps", save_steps=4)
    plain.train()
    trainer = a_trainer(bert(), tmp_path)
    share_then_unshare(trainer, "bert.encoder.layer", SweFixed(until=3), held)
    with pytest.raises(ConfigError, match="no state of the schedule"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "plain" / "checkpoint-4"))
