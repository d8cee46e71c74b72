"""Layer drop: probabilities and draws of the samplers; what a stack computes behind its gates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.run.run_config import TrainConfig
from swe.sharing.blocks import run_block
from swe.sharing.dropping import Dropping, LayerDrop, ProgressiveLayerDrop
from swe.sharing.gates import Gates
from swe.sharing.layers import share_layers
from swe.sharing.layout import Layout
from swe.sharing.stack import SharedStack, find_stack
from tests.swe.sharing.residual import ResidualBlock, ResidualNet, start

PROGRESSIVE = ProgressiveLayerDrop(theta=0.4, decay=5.0)
WIDTH = 6


def test_progressive_probabilities_at_begin_middle_and_end() -> None:
    """By the curve's own straight line: log((theta(t) - theta) / (1 - theta)) = -decay t / T."""
    assert PROGRESSIVE.keep(0, 1000, 4) == (1.0, 1.0, 1.0, 1.0)
    for step in (1, 500, 999):
        first, second, third, last = PROGRESSIVE.keep(step, 1000, 4)
        assert math.log((last - 0.4) / 0.6) == pytest.approx(-5.0 * step / 1000, rel=1e-9)
        assert [1 - first, 1 - second, 1 - third] == pytest.approx(
            [(1 - last) * share for share in (0.25, 0.5, 0.75)], rel=1e-12
        )
    assert PROGRESSIVE.keep(1000, 1000, 4)[-1] == pytest.approx(0.4 + 0.6 * math.exp(-5))
    assert LayerDrop(rate=0.25).keep(7, 1000, 3) == (0.75, 0.75, 0.75)


@pytest.mark.parametrize("sampler", [LayerDrop(rate=0.3), PROGRESSIVE], ids=lambda one: one.kind)
def test_draws_have_the_probabilities_and_are_independent(sampler: Dropping) -> None:
    """Within 5 standard errors, of every layer and of every pair, at one point of the schedule."""
    n, depth = 4000, 4
    keep = sampler.keep(300, 1000, depth)
    draws = [set(sampler.active(300, 1000, depth, seed)) for seed in range(n)]
    for layer, p in enumerate(keep):
        share = sum(layer in drawn for drawn in draws) / n
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / n)
    for one, other in itertools.combinations(range(depth), 2):
        p = keep[one] * keep[other]
        share = sum({one, other} <= drawn for drawn in draws) / n
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / n)


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    drop = LayerDrop(rate=0.5)
    drawn = [[drop.active(step, 99, 12, seed) for step in range(20)] for seed in (0, 1)]
    torch.manual_seed(4)
    assert drawn[0] == [drop.active(step, 99, 12, 0) for step in range(20)]
    assert drawn[0] != drawn[1]
    assert len({tuple(one) for one in drawn[0]}) == 20
    assert list(drop.active(3, 99, 6, 0)) == [i for i in drop.active(3, 99, 12, 0) if i < 6]


def test_scales_are_one_over_the_probability_or_one() -> None:
    for step in (0, 40, 99):
        keep = PROGRESSIVE.keep(step, 100, 5)
        active = PROGRESSIVE.active(step, 100, 5, 1)
        assert active == {layer: 1 / keep[layer] for layer in active}
    assert set(PROGRESSIVE.active(0, 100, 5, 1).items()) == {(layer, 1.0) for layer in range(5)}
    assert set(LayerDrop(rate=0.5).active(2, 100, 64, 0).values()) == {1.0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "layer-drop", "rate": 1.0}, r"rate = 1.0: must be in \[0, 1\)"),
        ({"kind": "progressive-layer-drop", "theta": 0.0}, r"theta = 0.0: must be in \(0, 1\]"),
        ({"kind": "progressive-layer-drop", "decay": 0.0}, r"decay = 0.0: must be in \(0, "),
        ({"kind": "drop"}, r"kind = 'drop': must be one of layer-drop, progressive-layer-drop"),
    ],
)
def test_impossible_samplers_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(TrainConfig, {"steps": 9, "dropping": data})
    config = TrainConfig(steps=9, dropping=PROGRESSIVE)
    assert from_dict(TrainConfig, to_dict(config)) == config


class Looped(nn.Module):
    """Layers in a plain list of the model's own, as foreign models have them."""

    def __init__(self, layers: list[nn.Module], wrapped: bool = False) -> None:
        super().__init__()
        self.embed = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList(layers)
        self.wrapped = wrapped

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.embed(hidden)
        for layer in self.layers:
            out = layer(hidden)
            hidden = out[0] if self.wrapped else out
        return hidden


class InATuple(ResidualBlock):
    def forward(self, hidden: Tensor) -> Any:
        return (super().forward(hidden),)


def foreign(layout: Layout, wrapped: bool = False) -> nn.Module:
    kind = InATuple if wrapped else ResidualBlock
    model = Looped([kind(WIDTH) for _ in range(layout.depth)], wrapped).double()
    start(model, 0)
    share_layers(model, "layers", layout)
    return model


class Own(nn.Module):
    """The same layers in a stack of ours."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.embed = nn.Linear(WIDTH, WIDTH)
        self.layers = SharedStack([ResidualBlock(WIDTH) for _ in range(layout.depth)], layout)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.layers(self.embed(hidden))
        return out


def own(layout: Layout) -> nn.Module:
    model = Own(layout).double()
    start(model, 0)
    return model


KINDS: dict[str, Callable[[Layout], nn.Module]] = {
    "own": own,
    "foreign": foreign,
    "foreign in tuples": lambda layout: foreign(layout, wrapped=True),
}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[[Layout], nn.Module]:
    return KINDS[request.param]


def gated(model: nn.Module, inputs: Tensor) -> Gates:
    gates = Gates()
    gates.check(model, lambda: model(inputs))
    return gates


def by_hand(model: nn.Module, inputs: Tensor, scales: dict[int, float]) -> Tensor:
    """h + s (f(h) - h), in a loop over the layers."""
    hidden: Tensor = model.get_submodule("embed")(inputs)
    for layer, module in enumerate(find_stack(model)[1].layer_modules()):
        if layer in scales:
            out = module(hidden)
            out = out[0] if isinstance(out, tuple) else out
            hidden = hidden + scales[layer] * (out - hidden)
    return hidden


@pytest.mark.parametrize("layout", [Layout.untied(3), Layout.tied(3)], ids=str)
def test_a_stack_computes_what_its_gates_say(
    make: Callable[[Layout], nn.Module], layout: Layout
) -> None:
    model = make(layout)
    inputs = torch.randn(2, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stack, gates = find_stack(model)[1], gated(model, inputs)
    whole = model(inputs)
    for scales in ({}, {1: 1.0}, {0: 1.5, 2: 2.0}, {0: 1.0, 1: 1.0, 2: 1.25}):
        with gates.within(stack, scales):
            found = model(inputs)
        assert torch.allclose(found, by_hand(model, inputs, scales), rtol=1e-14, atol=1e-14)
        assert torch.equal(model(inputs), whole), "outside the context it is what it was"
    with gates.within(stack, {0: 1.0, 1: 1.0, 2: 1.0}):
        assert torch.equal(model(inputs), whole), "a scale of one computes nothing anew"


def test_gates_leave_no_trace() -> None:
    inputs = torch.randn(2, WIDTH, dtype=torch.float64)
    model = own(Layout.untied(2))
    with gated(model, inputs).within(find_stack(model)[1], {}):
        pass
    stack = find_stack(model)[1]
    assert isinstance(stack, SharedStack)
    assert stack.run_layer is run_block
    assert stack.on_layer is None
    model = foreign(Layout.untied(2))
    with gated(model, inputs).within(find_stack(model)[1], {}):
        assert all("forward" in vars(layer) for layer in find_stack(model)[1].layer_modules())
    assert not any("forward" in vars(layer) for layer in find_stack(model)[1].layer_modules())


def test_the_mean_over_all_gates_of_one_layer_is_the_layer(
    make: Callable[[Layout], nn.Module],
) -> None:
    """E[h + (g / p) (f(h) - h)] = f(h), both gates enumerated."""
    model, p = make(Layout.untied(1)), 0.3
    inputs = torch.randn(4, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    stack, gates = find_stack(model)[1], gated(model, inputs)
    mean = torch.zeros(4, WIDTH, dtype=torch.float64)
    for weight, active in ((p, {0: 1 / p}), (1 - p, {})):
        with gates.within(stack, active):
            mean += weight * model(inputs)
    assert torch.allclose(mean, model(inputs), rtol=1e-13, atol=1e-13)


def test_the_mean_of_linear_layers_is_the_whole_network() -> None:
    """E prod_l (1 + (g_l / p_l) A_l) = prod_l (1 + A_l), over all 2^3 gates of a draw."""

    class Linear(ResidualBlock):
        def forward(self, hidden: Tensor) -> Tensor:
            return hidden + self.outer(hidden)

    model = Looped([Linear(WIDTH) for _ in range(3)]).double()
    start(model, 3)
    share_layers(model, "layers", Layout.untied(3))
    inputs = torch.randn(2, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    gates, keep = gated(model, inputs), PROGRESSIVE.keep(50, 100, 3)
    mean = torch.zeros(2, WIDTH, dtype=torch.float64)
    for drawn in itertools.product((False, True), repeat=3):
        weight = math.prod(p if g else 1 - p for p, g in zip(keep, drawn, strict=True))
        active = {layer: 1 / keep[layer] for layer in range(3) if drawn[layer]}
        with gates.within(find_stack(model)[1], active):
            mean += weight * model(inputs)
    assert torch.allclose(mean, model(inputs), rtol=1e-13, atol=1e-13)


class Returns(ResidualBlock):
    """A layer that returns, or does, something of its own with its hidden state."""

    def __init__(self, what: Callable[[Tensor], Any]) -> None:
        super().__init__(WIDTH)
        self.what = what

    def forward(self, hidden: Tensor) -> Any:
        return self.what(super().forward(hidden))


class Writes(ResidualBlock):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.add_(1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Returns(lambda h: (h, h)), r"layer 0 returns 2 values, not its hidden state \[2, 6\]"),
        (Returns(lambda h: h[:, :1]), r"layer 0 returns \[2, 1\], not its hidden state"),
        (Returns(lambda h: {"hidden": h}), r"layer 0 returns dict, not its hidden state"),
        (Writes(WIDTH), r"layer 0 writes into its input"),
    ],
)
def test_layers_that_cannot_be_left_out_are_refused(layer: nn.Module, message: str) -> None:
    model = nn.ModuleDict({"embed": nn.Linear(WIDTH, WIDTH)})
    model["stack"] = SharedStack([layer], Layout.untied(1))
    inputs = torch.randn(2, WIDTH)
    with torch.no_grad(), pytest.raises(ConfigError, match=message):
        Gates().check(model, lambda: model["stack"](inputs))


def test_a_hidden_state_that_is_given_by_name_is_refused() -> None:
    model = Looped([ResidualBlock(WIDTH)])
    share_layers(model, "layers", Layout.untied(1))
    [layer], inputs = model.layers, torch.zeros(2, WIDTH)
    with pytest.raises(ConfigError, match="is not given its hidden state, a tensor, as its first"):
        Gates().check(model, lambda: layer(hidden=inputs))
    assert "forward" not in vars(layer), "refused, it is put back all the same"


def test_a_model_of_nothing_but_layers_is_refused() -> None:
    stack = SharedStack([ResidualBlock(WIDTH)], Layout.untied(1))
    with pytest.raises(ConfigError, match="trains nothing but its layers"):
        Gates().check(stack, lambda: stack(torch.zeros(1, WIDTH)))
    net = ResidualNet(2, WIDTH)
    with pytest.raises(ConfigError, match="no layer ran"):
        Gates().check(net, lambda: net.embed(torch.zeros(1, WIDTH)))
