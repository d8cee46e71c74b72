"""What adopt refuses of a list, with nothing changed: layers, places, times, wrappers, rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt, share
from swe.sharing.layers import share_layers
from swe.sharing.layout import Layout
from swe.sharing.schedule import SweFixed
from tests.swe.sharing.test_adopt import DEPTH, STEPS, WIDTH, Own, own, run


def change_rate(model: Own) -> None:
    model.body.layers[2].dropout.p = 0.3


def change_shape(model: Own) -> None:
    model.body.layers[2].inner = nn.Linear(WIDTH, WIDTH, bias=False)


def share_bias(model: Own) -> None:
    layers: Any = model.body.layers
    layers[3].inner.bias = layers[1].inner.bias


def other_way(model: Own) -> None:
    model.add_module("shortcut", model.body.layers[4].inner)


def odd_pattern(model: Own) -> None:
    layers: Any = model.body.layers
    layers[5] = layers[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_rate, r"body\.layers\.2\.dropout\.p = 0\.3, in layer 0 it is 0\.0"),
        (change_shape, r"body\.layers\.2\.inner\.bias is absent"),
        (share_bias, r"layers\.3\.inner\.bias: is the same parameter as body\.layers\.1\."),
        (other_way, r"layers\.4\.inner\.\w+: the model also reaches it as shortcut\."),
        (odd_pattern, r"layers repeat as \(0, 1, 2, 3, 4, 0\), not in units of 1"),
    ],
)
def test_layers_that_cannot_be_tied(change: Callable[[Own], None], message: str) -> None:
    model = own()
    change(model)
    optimizer = torch.optim.AdamW(model.parameters())
    before = list(optimizer.param_groups[0]["params"])
    layers = list(model.body.layers)
    with pytest.raises(ConfigError, match=message):
        adopt(model, "body.layers", SweFixed(until=3), optimizer, STEPS)
    assert optimizer.param_groups[0]["params"] == before
    assert list(model.body.layers) == layers


def test_wrong_places_and_times_are_refused() -> None:
    model = own()
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(ConfigError, match=r"'layer' is not in it; its lists: body\.layers$"):
        adopt(model, "layer", SweFixed(until=3), optimizer, STEPS)
    with pytest.raises(ConfigError, match="into: is a Linear, must be a ModuleList, Sequential"):
        adopt(model, "into", SweFixed(until=3), optimizer, STEPS)
    with pytest.raises(ConfigError, match="until = 12: must be a step in"):
        adopt(model, "body.layers", SweFixed(until=STEPS), optimizer, STEPS)
    with pytest.raises(ConfigError, match="unit = 4: must be a divisor of depth 6"):
        adopt(model, "body.layers", SweFixed(unit=4), optimizer, STEPS)
    with pytest.raises(ConfigError, match="6 layers, the layout 5x1 is for 5"):
        share_layers(model, "body.layers", Layout.untied(5))
    swe = adopt(model, "body.layers", SweFixed(until=3), optimizer, STEPS)
    with pytest.raises(ConfigError, match=r"body\.layers is a shared stack already"):
        adopt(model, "body.layers", SweFixed(until=3), optimizer, STEPS)
    run(swe, 0, 2)
    with pytest.raises(ConfigError, match=r"layers\.1\..*load that run's weights first"):
        share(own(1), "body.layers", SweFixed(until=3), resume=swe.to_json())


def test_a_wrapper_that_would_miss_the_new_layers_is_refused() -> None:
    model = nn.DataParallel(own())
    with pytest.raises(ConfigError, match="it is wrapped in DataParallel"):
        share(model, "module.body.layers", SweFixed(until=3))


def test_layer_wise_rates_are_refused() -> None:
    """Tied layers have one rate; silently taking the first layer's would change the recipe."""
    model = own()
    layers: Any = model.body.layers
    optimizer = torch.optim.SGD(
        [{"params": layer.parameters(), "lr": 0.1 * 0.9**i} for i, layer in enumerate(layers)]
    )
    with pytest.raises(ConfigError, match=r"lr = 0\.09.* for body\.layers\.1\..*, 0\.1 for"):
        adopt(model, "body.layers", SweFixed(until=3), optimizer, STEPS)
    assert [len(group["params"]) for group in optimizer.param_groups] == [3] * DEPTH
    partial = torch.optim.SGD(layers[:2].parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=r"does not hold the parameter body\.layers\.2\."):
        adopt(model, "body.layers", SweFixed(until=3), partial, STEPS)
