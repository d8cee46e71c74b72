"""Layers are compared by position in everything: what differs is named, or kept by request."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt, share
from swe.sharing.alike import differences
from swe.sharing.layout import Layout
from swe.sharing.schedule import EqualStart, Schedule, SweFixed
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import SharedStack, find_stack
from swe.sharing.walk import counts
from tests.swe.sharing.foreign import models
from tests.swe.sharing.foreign.copies import loss_of
from tests.swe.sharing.foreign.models import DEPTH, WIDTH, Layer, Model


def shifted(by: float) -> Callable[[float], float]:
    return lambda value: value + by


class Setting:
    """A plain object, as a layer's configuration may be."""

    def __init__(self, rate: float) -> None:
        self.rate = rate


DIFFERENT: dict[str, tuple[Callable[[int, Any], None], str]] = {
    "float": (lambda i, m: setattr(m, "rate", 0.1 * (i == 2)), "layers.2.rate = 0.1"),
    "growing float": (lambda i, m: setattr(m, "rate", 0.1 * i), "layers.1.rate = 0.1"),
    "tuple": (lambda i, m: setattr(m, "size", (3, 1 + (i == 2))), r"layers.2.size\[1\] = 2"),
    "list": (lambda i, m: setattr(m, "sizes", [1] * (1 + (i == 3))), r"layers.3.sizes = \[1, 1\]"),
    "dict": (lambda i, m: setattr(m, "scale", {"a": 1.0 + (i == 1)}), r"layers.1.scale\['a'\]"),
    "function": (
        lambda i, m: setattr(m, "act", torch.tanh if i == 1 else torch.relu),
        r"layers.1.act = .*tanh",
    ),
    "closure": (lambda i, m: setattr(m, "act", shifted(0.1 * (i == 2))), "layers.2.act.closure"),
    "partial": (
        lambda i, m: setattr(m, "act", functools.partial(max, 1 + (i == 2))),
        r"layers.2.act.args\[0\] = 2",
    ),
    "set": (lambda i, m: setattr(m, "tags", {"a", "b" if i == 2 else "c"}), "layers.2.tags"),
    "class": (
        lambda i, m: m.add_module("act", nn.GELU() if i == 1 else nn.ReLU()),
        "layers.1.act = GELU, in layer 0 it is ReLU",
    ),
    "type": (lambda i, m: setattr(m, "kind", int if i == 2 else float), "layers.2.kind = int"),
    "dtype": (
        lambda i, m: setattr(m, "to", torch.float16 if i == 2 else torch.float32),
        "layers.2.to = torch.float16",
    ),
    "object": (lambda i, m: setattr(m, "config", Setting(0.1 * (i == 2))), "layers.2.config.rate"),
    "true or one": (lambda i, m: setattr(m, "flag", True if i == 2 else 1), "layers.2.flag = True"),
    "absent": (lambda i, m: setattr(m, "extra", 1) if i == 2 else None, "layers.2.extra = 1"),
    "method": (
        lambda i, m: setattr(m, "run", m.inner.forward if i == 2 else m.forward),
        "layers.2.run.__func__",
    ),
    "frozen": (
        lambda i, m: m.inner.weight.requires_grad_(i != 2),
        "layers.2.inner.weight.requires_grad = False.*layers=",
    ),
    "buffer": (
        lambda i, m: m.register_buffer("mask", torch.ones(2) if i == 2 else None),
        "layers.2.mask",
    ),
    "two numbers": (
        lambda i, m: setattr(m, "name", f"{i} of {i * i}"),
        "layers.2.name|layers.1.name",
    ),
}


def built(change: Callable[[int, Any], Any]) -> Model:
    model = Model()
    for index, layer in enumerate(model.layers):
        change(index, layer)
    return model


@pytest.mark.parametrize("kind", DIFFERENT)
def test_a_difference_is_named_and_nothing_changes(kind: str) -> None:
    change, message = DIFFERENT[kind]
    model = built(change)
    held = [id(p) for p in model.parameters()]
    with pytest.raises(ConfigError, match=message) as refusal:
        share(model, "layers", SweFixed(until=2))
    assert "\n" not in str(refusal.value)
    assert [id(p) for p in model.parameters()] == held
    layers = list(built(change).layers)
    with pytest.raises(ConfigError, match="tied layers must agree"):
        SharedStack(layers, Layout.tied(DEPTH))
    assert SharedStack(layers, Layout.untied(DEPTH)).layout.is_untied


def lock(index: int, layer: Any) -> None:
    layer.guard, layer.source = threading.Lock(), torch.Generator()


def nan(index: int, layer: Any) -> None:
    layer.limit, layer.both = float("nan"), [float("nan"), 1]


def numbered(index: int, layer: Any) -> None:
    layer.num, layer.backwards, layer.inner.label = 3 + 2 * index, -index, f"decoder.{index}.mlp"
    layer.nested = {"place": (index, DEPTH)}


def own_parts(index: int, layer: Any) -> None:
    layer.parts = [layer.inner, (layer.inner.weight, layer.inner.forward)]
    layer.act = functools.partial(layer.inner.forward)
    layer.call = lambda hidden: layer.inner(hidden)


def same_settings(index: int, layer: Any) -> None:
    layer.config, layer.act = Setting(0.5), shifted(0)


@pytest.mark.parametrize("change", [lock, nan, numbered, own_parts, same_settings])
def test_no_difference_is_seen_where_there_is_none(change: Callable[[int, Any], None]) -> None:
    layers = list(built(change).layers)
    assert differences(layers, Layout.tied(len(layers)))[0] == []
    share(built(change), "layers", SweFixed(until=2))


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(2, 9))
def test_what_counts_is_arithmetic(first: int, step: int, count: int) -> None:
    numbers = [first + step * i for i in range(count)]
    assert counts(numbers) == (step != 0)
    assert counts([f"layer {abs(n)}" for n in range(count)])
    if count > 2:
        assert not counts([*numbers[:-1], numbers[-1] + 1])
    turned = [*range(0, 3 * count, 3), 3 * count + 1]
    counted = [first + step * number for number in turned]
    assert counts(counted, turned) == (step != 0)
    assert not counts(counted)


def test_what_is_kept_per_layer_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"no layer of layers has 'drop_prb'.*differs: drop_path"):
        share(Model(models.DropPath), "layers", SweFixed(until=2), per_layer=("drop_prb",))
    with pytest.raises(ConfigError, match="no layer of layers has 'rate'; nothing differs"):
        share(Model(), "layers", SweFixed(until=2), ignore=("rate",))
    share(built(DIFFERENT["float"][0]), "layers", SweFixed(until=2), ignore=("rate",))
    with pytest.raises(ConfigError, match="has 'drop_prb'"):
        share(Model(), "layers", EqualStart(), per_layer=("drop_prb",))
    with pytest.raises(ConfigError, match="no layer of modules has 'drop_prb'"):
        SharedStack([Layer()], Layout.tied(DEPTH), per_layer=("drop_prb",))


def stacked(**options: Any) -> tuple[SharedStack, list[Any]]:
    torch.manual_seed(0)
    layers: list[Any] = [models.DropPath(index) for index in range(DEPTH)]
    return SharedStack(layers, Layout.tied(DEPTH), **options), layers


def test_a_shared_stack_keeps_what_it_is_told_to() -> None:
    """Against a loop over the modules with the first one's weights; and after an untie."""
    stack, layers = stacked(per_layer=("drop_path",))
    assert len(list(stack.parameters())) == len(list(layers[0].parameters()))
    hidden = torch.randn(3, WIDTH)
    for layout in (Layout.tied(DEPTH).split([1]), Layout.untied(DEPTH)):
        torch.manual_seed(1)
        expected = hidden
        for index in range(DEPTH):
            rate = 0.1 * index
            inner = torch.tanh(layers[0].inner(expected))
            expected = expected + nn.functional.dropout(inner, rate, training=index > 0)
        torch.manual_seed(1)
        assert torch.equal(stack(hidden), expected)
        stack.relayout(layout)
    assert len({id(p) for p in stack.parameters()}) == DEPTH * 2
    assert [type(block.drop_path) for block in stack.blocks] == [nn.Identity] + [nn.Dropout] * 3
    stack.eval()
    assert not any(module.training for layer in layers for module in layer.modules())


def test_own_modules_follow_mode_dtype_and_state() -> None:
    stack, layers = stacked(per_layer=("drop_path",))
    stack.eval()
    assert not any(module.training for layer in layers for module in layer.modules())
    stack.double()
    assert all(p.dtype is torch.float64 for layer in layers for p in layer.parameters())
    again, _ = stacked(per_layer=("drop_path",))
    again.double().load_state_dict(stack.state_dict())
    hidden = torch.randn(3, WIDTH, dtype=torch.float64)
    assert torch.equal(again.eval()(hidden), stack(hidden))


class Sloped(Layer):
    """A constant of its own in a buffer, as ALiBi's slopes or a rotary base."""

    slope: torch.Tensor

    def __init__(self, index: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.tensor(1.0 + index))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.slope * super().forward(hidden)


def test_a_shared_stack_keeps_buffers_and_saves_them() -> None:
    def stack(scale: float) -> SharedStack:
        torch.manual_seed(0)
        layers = [Sloped(index) for index in range(DEPTH)]
        for layer in layers:
            layer.slope *= scale
        return SharedStack(layers, Layout.tied(DEPTH), per_layer=("slope",))

    one, other = stack(1.0), stack(2.0)
    hidden = torch.randn(3, WIDTH)
    assert not torch.equal(one(hidden), other(hidden))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(hidden), other(hidden))
    assert sorted(k for k in one.state_dict() if "slope" in k) == [
        "blocks.0.slope",
        *(f"own.{index}.slope" for index in range(1, DEPTH)),
    ]
    one.relayout(Layout.untied(DEPTH))
    assert torch.equal(one(hidden), other(hidden))


def test_an_equal_start_keeps_the_same_buffers_as_a_tied_one() -> None:
    """Or the control of a tied run would be another model."""

    def stack(schedule: Schedule) -> SharedStack:
        torch.manual_seed(0)
        layers = [Sloped(index) for index in range(DEPTH)]
        made = SharedStack(layers, Layout.untied(DEPTH), per_layer=("slope",))
        prepare(made, schedule)
        return made

    hidden = torch.randn(3, WIDTH)
    tied, equal = stack(SweFixed(until=2)), stack(EqualStart())
    assert torch.equal(tied(hidden), equal(hidden))
    slopes = [float(buffer) for _, buffer in equal.named_buffers()]
    assert slopes == [1.0, 2.0, 3.0, 4.0]


def test_hooks_of_layers_go_on_in_a_shared_stack() -> None:
    layers = [Layer() for _ in range(DEPTH)]
    called: list[int] = []
    for index, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, index=index: called.append(index))
    stack = SharedStack(layers, Layout.tied(DEPTH))
    stack(torch.randn(2, WIDTH))
    assert called == list(range(DEPTH))
    stack.relayout(Layout.untied(DEPTH))
    stack(torch.randn(2, WIDTH))
    assert called == 2 * list(range(DEPTH))


def test_one_configuration_stays_one() -> None:
    config = Setting(0.5)
    layers = [Layer() for _ in range(2)]
    for layer in layers:
        layer.__dict__["config"] = config
    stack = SharedStack(layers[:1], Layout.tied(2))
    stack.relayout(Layout.untied(2))
    assert all(vars(block)["config"] is config for block in stack.blocks)


def test_attributes_and_hooks_of_parameters_follow() -> None:
    model = Model()
    share(model, "layers", SweFixed(until=2))
    weight: Any = model.layers[0].inner.weight
    weight.no_decay = True
    seen: list[float] = []
    weight.register_hook(lambda gradient: seen.append(float(gradient.norm())))
    find_stack(model)[1].relayout(Layout.untied(DEPTH))
    assert all(layer.inner.weight.no_decay for layer in model.layers)
    loss_of(model, 0).backward()
    assert len(seen) == DEPTH


def hooked(model: Model) -> None:
    weight: Any = model.layers[1].inner.weight
    weight.register_hook(lambda gradient: gradient)


def on_meta(model: Model) -> None:
    model.to("meta")


def lazy(model: Model) -> None:
    for layer in model.layers:
        layer.inner = nn.LazyLinear(WIDTH)


def kept_aside(model: Model) -> None:
    vars(model)["weights"] = [layer.inner.weight for layer in model.layers]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (hooked, r"layers\.1\.inner\.weight: has a hook on the parameter.*register it after adopt"),
        (on_meta, r"layers\.0\.inner\.weight: is on the meta device"),
        (lazy, r"layers\.0\.inner\.weight: has no shape yet"),
        (kept_aside, r"layers\.0\.inner\.weight: the model also keeps it in its attribute weights"),
    ],
)
def test_parameters_that_cannot_be_shared(change: Callable[[Model], None], message: str) -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    change(model)
    with pytest.raises(ConfigError, match=message):
        share(model, "layers", SweFixed(until=2))
    assert optimizer.param_groups[0]["params"]


def test_a_block_that_cannot_be_copied_is_refused_at_once() -> None:
    class Uncopyable(Layer):
        def __deepcopy__(self, memo: Any) -> Any:
            raise RuntimeError("no copies of this")

    with pytest.raises(ConfigError, match=r"modules\[0\]: cannot be copied .*no copies of this"):
        SharedStack([Uncopyable()], Layout.tied(DEPTH))
    model = Model(lambda index: Uncopyable())
    adopt(model, "layers", SweFixed(until=2), torch.optim.SGD(model.parameters(), 0.1), 4)
    find_stack(model)[1].relayout(Layout.untied(DEPTH))
    assert len(list(model.layers.parameters())) == 2 * DEPTH


def test_part_of_a_list_is_taken_by_place() -> None:
    for wrong, message in (
        ([0, 9], "layers: 9 is not among the 4 of layers"),
        ([2, 1], r"layers = \[2, 1\]: must take one or more"),
        ([], r"layers = \[\]: must take one or more"),
        ([1, 1], "each once"),
        (slice(4, 9), "must take one or more of the 4 layers"),
    ):
        with pytest.raises(ConfigError, match=message):
            share(Model(), "layers", SweFixed(until=2), layers=wrong)
    model = Model(lambda index: Layer(width=WIDTH))
    share(model, "layers", SweFixed(until=2), layers=[0, 2, -1])
    weights = [layer.inner.weight for layer in model.layers]
    assert weights[0] is weights[2] is weights[3]
    assert weights[1] is not weights[0]


def test_loading_by_assignment_keeps_the_sharing() -> None:
    model = Model()
    share(model, "layers", SweFixed(until=2))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    assert len({id(layer.inner.weight) for layer in model.layers}) == 1
