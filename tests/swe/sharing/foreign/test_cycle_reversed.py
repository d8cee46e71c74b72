"""CYCLE (REV) in lists of other people's models: one list, or encoder and decoder, each turned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.foreign.route import average_gradients
from swe.base.errors import ConfigError
from swe.sharing.adopt import share
from swe.sharing.schedule import AlwaysShared, CycleReversed
from swe.sharing.stack import find_stack
from tests.swe.sharing.foreign.copies import RATE, STEPS, UNTIE, make_equal, trained_tied
from tests.swe.sharing.foreign.models import Layer, Model
from tests.swe.sharing.foreign.test_lists import BOTH, EncoderDecoder, loss_of

DEPTH, FAMILIES = 6, ((0, 2, 5), (1, 3, 4))
"""Layers that share in three turns of two."""


def numbered(lists: int) -> Any:
    """A model whose layers keep their numbers: 0, 2 and 5 are one family and no series."""
    torch.manual_seed(0)
    model = Model(Layer, DEPTH) if lists == 1 else EncoderDecoder(DEPTH, DEPTH)
    for layers in lists_of(model):
        for index, layer in enumerate(layers):
            layer.__dict__.update(layer_idx=index, label=f"layer {index}")
    return model


def lists_of(model: Any) -> list[nn.ModuleList]:
    return [model.layers] if isinstance(model, Model) else [model.encoder, model.decoder]


@pytest.mark.parametrize("where", ["layers", BOTH], ids=["one list", "two"])
def test_each_list_trains_as_copies_and_keeps_its_numbers(where: str | list[str]) -> None:
    lists = 1 if isinstance(where, str) else len(where)
    model, copies = numbered(lists), numbered(lists)
    families = [[own[i] for i in family] for own in lists_of(copies) for family in FAMILIES]
    for family in families:
        make_equal(family, 1)
    optimizer = torch.optim.SGD(copies.parameters(), lr=RATE, momentum=0.9)
    expected = []
    for step in range(STEPS):
        value = loss_of(copies, step)
        value.backward()
        for family in families if step < UNTIE else []:
            average_gradients(family)
        nn.utils.clip_grad_norm_(copies.parameters(), 0.05)
        optimizer.step()
        optimizer.zero_grad()
        expected.append(float(value.detach()))
    schedule = CycleReversed(unit=2, until=UNTIE)
    losses, swe = trained_tied(model, where, schedule, loss_of, clip_norm=0.05)
    # As in copies.py: sums over uses in another order, in float32.
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-5, atol=1e-7)
    assert swe.state.layout.is_untied
    for own in lists_of(model):
        assert [layer.layer_idx for layer in own] == list(range(DEPTH))


def test_a_list_that_shares_so_already_is_taken_as_it_is() -> None:
    model = Model(Layer, DEPTH)
    for first, *later in FAMILIES:
        for index in later:
            model.layers[index] = model.layers[first]
    share(model, "layers", CycleReversed())
    layout = find_stack(model)[1].layout
    assert (layout.owner, layout.last_reversed) == ((0, 1, 0, 1, 1, 0), True)
    assert len({id(p) for p in model.layers.parameters()}) == 4


def test_a_list_that_shares_otherwise_is_refused() -> None:
    model = Model(Layer, DEPTH)
    for index in range(2, DEPTH):
        model.layers[index] = model.layers[index % 2]
    said = r"layers repeat as \(0, 1, 0, 1, 0, 1\), not in units of 2, the last one reversed"
    with pytest.raises(ConfigError, match=said):
        share(model, "layers", CycleReversed())
    share(model, "layers", AlwaysShared(unit=2))


def test_layers_that_alternate_cannot_be_turned() -> None:
    model = Model(Layer, DEPTH)
    for index, layer in enumerate(model.layers):
        layer.wide = index % 2 == 0
    with pytest.raises(ConfigError, match=r"layers\.5\.wide = False, in layer 0 it is True"):
        share(model, "layers", CycleReversed())
