"""What a model does behind its list's back is refused by name, before any update."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from swe.base.errors import ConfigError, FunctionChangedError
from swe.sharing.adopt import adopt
from swe.sharing.layout import Layout
from swe.sharing.schedule import SweAdaptive, SweFixed, SweMultistage
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.stack import SharedStack
from tests.swe.sharing.foreign import models
from tests.swe.sharing.foreign.copies import STEPS, loss_of
from tests.swe.sharing.foreign.models import DEPTH, Layer, Model


class FirstOnly(Model):
    """Runs its first layer as often as it has layers."""

    def body(self, hidden: Tensor) -> Tensor:
        for _ in self.layers:
            hidden = self.layers[0](hidden)
        return hidden


class OtherList(Model):
    """Loops over modules that are not those of the list."""

    def __init__(self) -> None:
        super().__init__()
        self.others = [Layer() for _ in range(DEPTH)]

    def body(self, hidden: Tensor) -> Tensor:
        for layer in (self.layers[0], *self.others):
            hidden = layer(hidden)
        return hidden


class SkipsOne(Model):
    def body(self, hidden: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            hidden = hidden if index == 2 else layer(hidden)
        return hidden


class Captured(Model):
    """Each forward is a closure over the weight itself."""

    def __init__(self) -> None:
        super().__init__()
        for layer in self.layers:
            layer.forward = self._over(layer.inner.weight)

    @staticmethod
    def _over(weight: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda hidden: hidden + torch.tanh(functional.linear(hidden, weight))


class Remembers(Model):
    """Adds what it computed for the same weight before: a cache by the weight's identity."""

    def body(self, hidden: Tensor) -> Tensor:
        kept: dict[int, Tensor] = {}
        for layer in self.layers:
            hidden = layer(hidden) + kept.get(id(layer.inner.weight), torch.zeros(()))
            kept[id(layer.inner.weight)] = hidden
        return hidden


class DrawsByWeight(Model):
    """Draws one number for each weight it has not met."""

    def body(self, hidden: Tensor) -> Tensor:
        seen = set()
        for layer in self.layers:
            hidden = layer(hidden)
            if id(layer.inner.weight) not in seen:
                torch.rand(())
            seen.add(id(layer.inner.weight))
        return hidden


def numpy_state() -> int:
    """How far numpy's global generator has drawn."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return int(state[2])


def adopted(model: nn.Module, **options: Any) -> ShareThenUnshare:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return adopt(model, "layers", SweFixed(until=3), optimizer, STEPS, **options)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (FirstOnly, r"layers\.1, layers\.2, layers\.3: gets no gradient"),
        (OtherList, r"layers\.1, layers\.2, layers\.3: gets no gradient"),
        (SkipsOne, r"^layers\.2: gets no gradient"),
        (Captured, r"layers\.0, layers\.1, layers\.2, layers\.3: gets no gradient"),
        (Remembers, r"layers\.2: its output differs"),
        (DrawsByWeight, "random numbers are drawn otherwise"),
    ],
)
def test_a_model_that_fools_the_list_is_refused(build: type[Model], message: str) -> None:
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    swe = adopted(model)
    tied = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigError, match=message) as refusal:
        swe.begin_step(0, lambda: loss_of(model, 0))
    assert "\n" not in str(refusal.value)
    assert before.keys() == tied.keys()
    assert all(torch.equal(tensor, tied[name]) for name, tensor in model.state_dict().items())
    assert adopted(build(), guards=False).begin_step(0, lambda: loss_of(model, 0)) is None


def test_a_loss_that_draws_new_batches_is_told() -> None:
    swe = adopted(model := Model())
    counter = iter(range(100))
    with pytest.raises(ConfigError, match="loss: is not the same twice on the same weights"):
        swe.begin_step(0, lambda: loss_of(model, next(counter)))


class Counting(models.Normed):
    """State of all sorts: statistics, a count, a history, a lazily made table."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.calls, self.history = 0, [0]

    def forward(self, hidden: Tensor) -> Tensor:
        self.calls += 1
        self.history.append(self.calls)
        self.last = hidden
        random.random()
        np.random.rand()  # noqa: NPY002 (as people do)
        return super().forward(nn.functional.dropout(hidden, 0.1))


@pytest.mark.parametrize(
    "schedule", [SweFixed(until=1), SweAdaptive(interval=1), SweMultistage(interval=1)], ids=str
)
def test_guards_and_probes_leave_no_trace(schedule: Any) -> None:
    torch.manual_seed(0)
    model = Model(Counting)
    hooked: list[int] = []
    total = 0

    def hook(*_: Any) -> None:
        nonlocal total
        total += 1
        hooked.append(total)

    model.layers[1].register_forward_hook(hook)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    swe = adopt(model, "layers", schedule, optimizer, STEPS)
    loss_of(model, 0).backward()
    kept = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.layers[2].eval()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    states = torch.get_rng_state(), random.getstate(), numpy_state()
    for step in range(3):
        swe.begin_step(step, lambda: loss_of(model, 0), measure=True)
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), numpy_state())
    assert [layer.calls for layer in model.layers] == [1] * DEPTH
    assert [layer.history for layer in model.layers] == [[0, 1]] * DEPTH
    assert (total, hooked) == (1, [1])
    assert [layer.training for layer in model.layers] == [True, True, False, True]
    found = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(one, other) for one, other in zip(kept, found[: len(kept)], strict=True))


def test_a_new_block_without_a_gradient_is_told() -> None:
    """The weights are captured between the first step and the untie."""
    model = Model()
    swe = adopted(model)
    swe.begin_step(0, lambda: loss_of(model, 0))
    weight = model.layers[0].inner.weight
    model.layers[1].inner.forward = lambda hidden: functional.linear(hidden, weight)
    with pytest.raises(FunctionChangedError, match=r"layers\.1\.inner\.\w+: gets no gradient"):
        swe.begin_step(3, lambda: loss_of(model, 0))


def test_what_the_held_batch_did_not_run_is_noted() -> None:
    torch.manual_seed(0)
    model = Model(models.Experts)
    swe = adopted(model)
    event = swe.begin_step(3, lambda: loss_of(model, 0))
    assert event is not None
    assert all(note.endswith("did not run on the held batch") for note in event.notes)
    tied = adopted(plain := Model())
    settled = tied.begin_step(3, lambda: loss_of(plain, 0))
    assert settled is not None
    assert settled.notes == ()


def test_a_shared_stack_is_guarded_too() -> None:
    class Elsewhere(Layer):
        """Runs a weight that is no parameter of it."""

        def forward(self, hidden: Tensor) -> Tensor:
            weight = self.__dict__.setdefault("kept", self.inner.weight)
            return hidden + functional.linear(hidden, weight)

    layers = [Elsewhere() for _ in range(DEPTH)]
    layers[0](torch.ones(1, 4))
    stack = SharedStack(layers[:1], Layout.tied(DEPTH))
    optimizer = torch.optim.SGD(stack.parameters(), lr=0.1)
    swe = ShareThenUnshare(stack, optimizer, SweFixed(until=3), STEPS)
    with pytest.raises(ConfigError, match="0, 1, 2, 3: gets no gradient"):
        swe.begin_step(0, lambda: loss_of(stack, 0))
