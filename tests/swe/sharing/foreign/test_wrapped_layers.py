"""Layers and models inside wrappers that stand between a model and its parameters' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    checkpoint_wrapper,
)

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.layout import Layout
from swe.sharing.schedule import SweFixed
from swe.sharing.stack import SharedStack
from tests.swe.sharing.foreign.copies import assert_as_copies
from tests.swe.sharing.foreign.models import Layer, Model


def _each(change: Callable[[nn.Module], nn.Module]) -> Model:
    model = Model()
    model.layers = nn.ModuleList([change(layer) for layer in model.layers])
    return model


@pytest.mark.parametrize("kind", list(CheckpointImpl))
def test_checkpoint_wrapped_layers_are_copies(kind: CheckpointImpl) -> None:
    assert_as_copies(lambda: _each(lambda layer: checkpoint_wrapper(layer, kind)), "layers")


def test_a_wrapped_checkpoint_opens_unwrapped() -> None:
    model = _each(checkpoint_wrapper)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adopt(model, "layers", SweFixed(until=2), optimizer, 4)
    plain = Model()
    plain.load_state_dict(model.state_dict())
    hidden = torch.ones(1, 2, 4)
    assert torch.equal(plain(hidden), model(hidden))


def test_wrapped_layers_load_what_is_tied_and_nothing_else() -> None:
    model = _each(checkpoint_wrapper)
    adopt(model, "layers", SweFixed(until=2), torch.optim.SGD(model.parameters(), lr=0.1), 4)
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.load_state_dict(saved)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())
    saved["layers.2.inner.weight"] += 1
    with pytest.raises(ConfigError, match=r"layers\.2\.inner\.weight: differs from layers\.0"):
        model.load_state_dict(saved)


def test_a_shared_stack_of_wrapped_layers_unties() -> None:
    stack = SharedStack([checkpoint_wrapper(Layer(i)) for i in range(4)], Layout.tied(4))
    origin = stack.relayout(Layout.untied(4))
    assert origin.keys() == {name for name, _ in stack.named_parameters()}


def test_layers_that_note_their_own_identity_are_alike() -> None:
    """As those that torch.compile made."""

    class Noted(Layer):
        def __init__(self, index: int) -> None:
            super().__init__()
            self.mine, self.inner_one = id(self), id(self.inner)

    assert_as_copies(lambda: Model(Noted), "layers")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_layers_are_copies() -> None:
    def compiled(layer: nn.Module) -> Any:
        return torch.compile(layer, backend="eager")

    assert_as_copies(lambda: _each(compiled), "layers")


class TwoWays(nn.Module):
    """Keeps the model, and what it calls in its place, under two names, as wrappers do."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.called = model
        self.original = model

    def forward(self, hidden: Tensor) -> Any:
        return self.called(hidden)


def test_a_model_reached_by_two_names_is_copies() -> None:
    assert_as_copies(lambda: TwoWays(Model()), "called.layers")


def test_a_weight_reached_by_another_module_is_refused() -> None:
    model = Model()
    model.beside = nn.Linear(4, 4)
    model.beside.register_parameter("weight", model.get_parameter("layers.2.inner.weight"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=r"layers\.2\.inner\.weight.*beside\.weight"):
        adopt(model, "layers", SweFixed(until=2), optimizer, 4)
