"""Several lists of one model in one call: encoder and decoder are tied and untied together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.foreign.route import average_gradients
from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt, share
from swe.sharing.schedule import CycleReversed, Schedule, SweFixed, SweMultistage
from swe.sharing.stack import find_stack
from tests.swe.sharing.foreign.copies import (
    RATE,
    STEPS,
    UNTIE,
    batch,
    make_equal,
    trained_tied,
)
from tests.swe.sharing.foreign.models import DEPTH, WIDTH, Layer


class Crossed(Layer):
    """A decoder's layer: other weights than an encoder's."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.other = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor, memory: Tensor | None = None) -> Tensor:
        assert memory is not None
        return hidden + torch.tanh(self.inner(hidden) + self.other(memory))


class EncoderDecoder(nn.Module):
    def __init__(self, encoders: int = DEPTH, decoders: int = DEPTH) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([Layer(index) for index in range(encoders)])
        self.decoder = nn.ModuleList([Crossed(index) for index in range(decoders)])

    def forward(self, inputs: Tensor) -> Tensor:
        memory = hidden = inputs
        for layer in self.encoder:
            memory = layer(memory)
        for layer in self.decoder:
            hidden = layer(hidden, memory)
        return hidden


def loss_of(model: nn.Module, step: int) -> Tensor:
    inputs, targets = batch(step)
    return (model(inputs) - targets).square().mean()


BOTH = ["encoder", "decoder"]


def expected_losses(model: EncoderDecoder, unit: int, clip: float) -> list[float]:
    """Untied copies, gradients averaged within each list, one norm over both."""
    families = [
        list(layers)[position::unit]
        for layers in (model.encoder, model.decoder)
        for position in range(unit)
    ]
    for family in families:
        make_equal(family, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    losses = []
    for step in range(STEPS):
        value = loss_of(model, step)
        value.backward()
        for family in families if step < UNTIE else []:
            average_gradients(family)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(value.detach()))
    return losses


@pytest.mark.parametrize("unit", [1, 2])
def test_both_lists_train_as_copies_with_one_norm(unit: int) -> None:
    torch.manual_seed(0)
    model = EncoderDecoder()
    torch.manual_seed(0)
    expected = expected_losses(EncoderDecoder(), unit, 0.05)
    losses, swe = trained_tied(model, BOTH, SweFixed(until=UNTIE, unit=unit), clip_norm=0.05)
    # As in copies.py: sums over uses in another order, in float32.
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-5, atol=1e-7)
    assert swe.state.layout.is_untied


@pytest.mark.parametrize(
    "schedule",
    [SweFixed(until=3), SweMultistage(interval=2, rho=0.9), CycleReversed(until=3)],
    ids=str,
)
def test_resuming_both_is_exact(schedule: Schedule) -> None:
    def fresh(state: Any = None) -> tuple[EncoderDecoder, Any]:
        torch.manual_seed(5 if state else 0)
        model = EncoderDecoder()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        if state:
            model.load_state_dict(state[0])
        swe = adopt(model, BOTH, schedule, optimizer, STEPS, resume=state[2] if state else None)
        if state:
            optimizer.load_state_dict(state[1])
        return model, swe

    def run(model: EncoderDecoder, swe: Any, first: int, last: int) -> None:
        for step in range(first, last):
            swe.begin_step(step, lambda: loss_of(model, 100))
            loss_of(model, step).backward()
            swe.finish_gradients()
            swe.optimizer.step()
            swe.optimizer.zero_grad()

    for at in (1, 3, 4):
        model, swe = fresh()
        run(model, swe, 0, at)
        state = (
            {name: tensor.clone() for name, tensor in model.state_dict().items()},
            swe.optimizer.state_dict(),
            swe.to_json(),
        )
        resumed, again = fresh(state)
        run(resumed, again, at, STEPS)
        torch.manual_seed(0)
        whole, unbroken = fresh()
        run(whole, unbroken, 0, STEPS)
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_stock_class_opens_the_tied_checkpoint() -> None:
    model = EncoderDecoder()
    keys = list(model.state_dict())
    share(model, BOTH, SweFixed(until=3, unit=2))
    assert list(model.state_dict()) == keys
    plain = EncoderDecoder()
    plain.load_state_dict(model.state_dict())
    inputs, _ = batch(0)
    assert torch.equal(plain(inputs), model(inputs))
    assert len({id(p) for p in model.encoder.parameters()}) == 2
    assert len({id(p) for p in model.decoder.parameters()}) == 4
    assert find_stack(model)[1].layout.unit == 2


def test_lists_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="the lists have encoder 4, decoder 2 layers"):
        share(EncoderDecoder(4, 2), BOTH, SweFixed(until=3, unit=2))
    part = {"encoder": slice(0, 2)}
    share(EncoderDecoder(4, 2), BOTH, SweFixed(until=3, unit=2), layers=part)
    with pytest.raises(ConfigError, match="names a list twice"):
        share(EncoderDecoder(), ["encoder", "encoder"], SweFixed(until=3, unit=2))
    with pytest.raises(ConfigError, match="no list of layers is named"):
        share(EncoderDecoder(), [], SweFixed(until=3))
    model = EncoderDecoder()
    model.decoder[2].other = nn.Linear(WIDTH, WIDTH, bias=False)
    with pytest.raises(ConfigError, match=r"decoder\.2\.other\.bias is absent"):
        share(model, BOTH, SweFixed(until=3, unit=2))
