"""The Trainer's optimiser, however a user makes it, and accelerate's wrapper around one."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.schedule import SweFixed

transformers = pytest.importorskip("transformers")
accelerate = pytest.importorskip("accelerate")

from swe.sharing.huggingface import share_then_unshare  # noqa: E402
from tests.swe.sharing.test_huggingface import (  # noqa: E402
    DEPTH,
    STEPS,
    a_trainer,
    assert_equal,
    bert,
    collate,
    loss_of,
    rows,
    weights,
)

LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


def depth_of(name: str) -> int:
    found = LAYER.search(name)
    return int(found[1]) if found else DEPTH


def by_layer(trainer: Any, decay: float, kind: Any = torch.optim.AdamW) -> Any:
    """As recipes for fine-tuning have it: the rate falls from layer to layer, from the top down."""

    def create_optimizer(model: nn.Module | None = None) -> Any:
        rates: dict[float, list[nn.Parameter]] = {}
        for name, p in trainer.model.named_parameters():
            rates.setdefault(0.01 * decay ** (DEPTH - depth_of(name)), []).append(p)
        groups = [{"params": params, "lr": rate} for rate, params in rates.items()]
        trainer.optimizer = kind(groups, weight_decay=0.0)
        return trainer.optimizer

    return create_optimizer


def names_of_decay(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p.ndim > 1 and depth_of(name) != 2]


@pytest.mark.parametrize("way", ["create_optimizer", "get_decay_parameter_names"])
def test_layer_wise_rates_of_a_trainer_are_refused(way: str, tmp_path: Path) -> None:
    trainer = a_trainer(bert(), tmp_path)
    if way == "create_optimizer":
        trainer.create_optimizer = by_layer(trainer, 0.9)
        message = r"optimizer: lr = .* for bert\.encoder\.layer\.1\.\S+, .* for the layer it is"
    else:
        trainer.get_decay_parameter_names = names_of_decay
        message = r"optimizer: weight_decay = 0\.0 for bert\.encoder\.layer\.2\.\S+, 0\.1 for"
    share_then_unshare(trainer, "bert.encoder.layer", SweFixed(until=3), collate(rows(4)))
    with pytest.raises(ConfigError, match=message):
        trainer.train()
    assert len({id(layer) for layer in trainer.model.bert.encoder.layer}) == DEPTH


def test_equal_rates_of_an_own_optimizer_are_taken(tmp_path: Path) -> None:
    """An overridden create_optimizer that treats layers alike trains as the stock one."""
    trained = []
    for own in (False, True):
        options = {"weight_decay": 0.0, "adam_epsilon": 1e-8, "optim": "adamw_torch"}
        trainer = a_trainer(bert(), tmp_path / str(own), **options)
        if own:
            trainer.create_optimizer = by_layer(trainer, 1.0)
        callback = share_then_unshare(
            trainer, "bert.encoder.layer", SweFixed(until=3), collate(rows(4))
        )
        trainer.train()
        assert [event["step"] for event in callback.events] == [3]
        trained.append(weights(trainer.model))
    assert_equal(*trained)


def test_accelerates_wrapper_follows_as_what_it_wraps() -> None:
    trained = []
    for wrapped in (False, True):
        model = bert()
        optimizer: Any = torch.optim.AdamW(model.named_parameters(), lr=0.01)
        if wrapped:
            model, optimizer = accelerate.Accelerator(cpu=True).prepare(model, optimizer)
        swe = adopt(model, "bert.encoder.layer", SweFixed(until=3), optimizer, STEPS, clip_norm=1.0)
        for step in range(STEPS):
            batch = collate(rows(4))
            swe.begin_step(step, partial(loss_of, model, batch))
            loss_of(model, batch).backward()
            swe.finish_gradients()
            optimizer.step()
            optimizer.zero_grad()
        group = optimizer.param_groups[0]
        assert group["param_names"] == [name for name, _ in model.named_parameters()]
        trained.append(weights(model))
    assert_equal(*trained)
