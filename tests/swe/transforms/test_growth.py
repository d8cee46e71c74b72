"""Growth of a BERT: what keeps the function keeps it, and gradients go by the dual."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bert.model.anatomy import bert_anatomy
from bert.model.config import BertConfig, Placement
from bert.model.encoder import Bert, build_bert
from bert.model.start import untied_weights
from swe.base.errors import ConfigError
from swe.transforms.carry import grown_state, grown_weights
from swe.transforms.growth import METHODS, Grown, Growth
from swe.transforms.maps import Dense, Term, Units

SMALL = BertConfig(
    layers=2, hidden=8, heads=2, intermediate=12, vocabulary=16, positions=6, dropout=0.0,
    initial_std=0.3,
)  # fmt: skip


def wide(config: BertConfig) -> BertConfig:
    """Twice as wide, and with some more inner units."""
    return replace(config, hidden=16, heads=4, intermediate=20)


def shaken(config: BertConfig) -> Bert:
    """A model in float64 without a zero bias or a LayerNorm that is the identity."""
    return shake(build_bert(config, 1))


def shake(model: Bert) -> Bert:
    """The model itself, in float64, every parameter moved."""
    model.double()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=draw, dtype=torch.float64), alpha=0.1
            )
    return model


def grow(model: Bert, large: BertConfig, growth: Growth, seed: int = 0) -> tuple[Bert, Grown]:
    """The large model of a small one."""
    draw = torch.Generator().manual_seed(seed)
    planned = growth.plan(bert_anatomy(model.config), bert_anatomy(large), draw)
    new = build_bert(large, 3).double()
    shapes = {name: parameter.shape for name, parameter in new.named_parameters()}
    weights = grown_weights(planned.lines, untied_weights(model), shapes)
    new.load_state_dict(weights, strict=False)
    return new, planned


def logits(model: Bert) -> Tensor:
    rows = torch.arange(12).reshape(2, 6) % model.config.vocabulary
    return model(rows, torch.tensor([[0, 3], [1, 5]]))


def loss(model: Bert) -> Tensor:
    return functional.cross_entropy(logits(model)[:, :16], torch.tensor([3, 1, 4, 1]))


@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("width", ["fpi", "net2net"])
def test_wider_inside_the_layers_keeps_the_function(placement: Placement, width: str) -> None:
    """Inner units and heads pass no LayerNorm: any copies do, in any number."""
    model = shaken(replace(SMALL, placement=placement))
    new, planned = grow(model, replace(model.config, intermediate=19), Growth(width=width))
    assert planned.preserves
    assert torch.allclose(logits(new), logits(model), rtol=0, atol=1e-12)


@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("times", [2, 3])
def test_a_multiple_of_the_width_keeps_the_function(placement: Placement, times: int) -> None:
    model = shaken(replace(SMALL, placement=placement))
    large = replace(model.config, hidden=8 * times, heads=2 * times, intermediate=30)
    new, planned = grow(model, large, Growth(width="fpi"))
    assert planned.preserves
    assert torch.allclose(logits(new), logits(model), rtol=0, atol=1e-12)


def test_uneven_copies_say_that_they_change_it() -> None:
    model = shaken(SMALL)
    large = replace(SMALL, hidden=12, heads=3)
    new, planned = grow(model, large, Growth(width="fpi"))
    assert "LayerNorm sees hidden units that are copied unequally often (8 to 12" in planned.why_not
    assert not torch.allclose(logits(new), logits(model), rtol=0, atol=1e-3)


def test_identity_layers_keep_the_function() -> None:
    """Pre-LN nothing is added; Post-LN each norm but the last of the copies only normalises, which
    of what is normalised is 1 - eps / 2, 1e-12 of it, and rounding."""
    model = shaken(SMALL)
    new, planned = grow(model, replace(SMALL, layers=5), Growth(depth="identity"))
    assert planned.preserves
    assert torch.equal(logits(new), logits(model)), "to the last bit"
    model = shaken(replace(SMALL, placement="post"))
    for large in (replace(model.config, layers=5), replace(wide(model.config), layers=7)):
        new, planned = grow(model, large, Growth(depth="identity"))
        assert planned.preserves
        assert torch.allclose(logits(new), logits(model), rtol=0, atol=1e-10)


def test_an_identity_layer_hands_its_norm_on() -> None:
    """By hand: 2 layers to 5 are 0 0 0 1 1, of which layers 0 and 3 act."""
    model = shaken(replace(SMALL, placement="post"))
    new, planned = grow(model, replace(model.config, layers=5), Growth(depth="identity"))
    old = [dict(block.named_parameters()) for block in model.stack.blocks]
    plain = {"weight": torch.ones(8).double(), "bias": torch.zeros(8).double()}
    for layer, (origin, active, last) in enumerate(
        [(0, 1, 0), (0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1)]
    ):
        own = dict(new.stack.blocks[layer].named_parameters())
        for part, value in plain.items():
            for norm, kept in (("attention_norm", active), ("output_norm", last)):
                name = f"{norm}.{part}"
                assert torch.equal(own[name], old[origin][name] if kept else value), (layer, name)
        assert bool(own["outer.weight"].any()) == bool(active)
    states = {
        name: {"step": torch.tensor(3.0), "exp_avg": p} for name, p in model.named_parameters()
    }
    carried = grown_state(planned.lines, states, "mapped")
    head = "stack.blocks.{}.output_norm.weight"
    assert [head.format(layer) in carried for layer in range(5)] == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_without_ends_there_are_no_identity_layers() -> None:
    anatomy = replace(bert_anatomy(SMALL), ends=())
    with pytest.raises(ConfigError, match="its anatomy has no ends"):
        Growth(depth="identity").plan(anatomy, replace(anatomy, depth=5), torch.Generator())


@pytest.mark.parametrize(
    ("depth", "origins"),
    [("stack", [0, 1, 0, 1, 1]), ("interpolate", [0, 0, 0, 1, 1])],
)
def test_layers_are_copies_of_their_origins(depth: str, origins: list[int]) -> None:
    model = shaken(SMALL)
    new, planned = grow(model, replace(SMALL, layers=5), Growth(depth=depth))
    assert planned.why_not == "every layer is run more than once"
    for layer, origin in enumerate(origins):
        for name, weight in new.stack.blocks[layer].named_parameters():
            assert torch.equal(weight, dict(model.stack.blocks[origin].named_parameters())[name])


def test_advanced_knowledge_takes_new_units_from_above() -> None:
    model = shaken(SMALL)
    new, planned = grow(model, wide(SMALL), Growth(width="aki"))
    assert planned.why_not == "new units compute what the next layer's do"
    old, above = (dict(block.named_parameters()) for block in model.stack.blocks)
    own = dict(new.stack.blocks[0].named_parameters())["inner.bias"]
    assert torch.equal(own[:12], old["inner.bias"])
    assert all(value in above["inner.bias"] for value in own[12:])
    last = dict(new.stack.blocks[1].named_parameters())["inner.bias"]
    assert all(value in above["inner.bias"] for value in last)


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_gradients_go_by_the_dual_of_the_map(placement: Placement) -> None:
    """So the moments are those of the large model constrained to the map, second ones squared."""
    model = shaken(replace(SMALL, placement=placement))
    new, planned = grow(model, wide(model.config), Growth(width="fpi"))
    loss(model).backward()
    loss(new).backward()
    states = {
        name: {"step": torch.tensor(3.0), "exp_avg": p.grad, "exp_avg_sq": p.grad**2}
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    found = grown_state(planned.lines, states, "mapped")
    assert set(found) == {name for name, p in new.named_parameters() if p.grad is not None}
    for name, parameter in new.named_parameters():
        if parameter.grad is not None:
            first, second = found[name]["exp_avg"], found[name]["exp_avg_sq"]
            assert torch.allclose(first, parameter.grad, rtol=1e-9, atol=1e-13), name
            assert torch.allclose(second, parameter.grad**2, rtol=1e-9, atol=1e-20), name
            assert found[name]["step"] == 3
    assert grown_state(planned.lines, states, "reset") == {}
    copied = grown_state(planned.lines, states, "copy")["stack.blocks.0.inner.bias"]["exp_avg"]
    assert set(copied.tolist()) == set(states["stack.blocks.0.inner.bias"]["exp_avg"].tolist())


def test_new_layers_that_do_nothing_begin_without_moments() -> None:
    model = shaken(SMALL)
    _, planned = grow(model, replace(SMALL, layers=3), Growth(depth="identity"))
    states = {name: {"exp_avg": p.detach()} for name, p in model.named_parameters()}
    found = grown_state(planned.lines, states, "mapped")
    silent = {name for name in planned.lines if name not in found}
    ends = ("attention.output", "outer")
    assert silent == {f"stack.blocks.1.{e}.{p}" for e in ends for p in ("weight", "bias")}


def test_every_method_by_name_grows_depth_and_width() -> None:
    model = shaken(SMALL)
    for name, growth in METHODS.items():
        new, planned = grow(model, wide(replace(SMALL, layers=4)), growth)
        assert torch.isfinite(loss(new)), name
        same = torch.allclose(logits(new), logits(model), rtol=0, atol=1e-11)
        assert same == planned.preserves, name


@pytest.mark.parametrize(
    ("index", "old", "shares", "said"),
    [
        ([0, 1, 2], 2, None, "copies of 0..2, there are 0..1"),
        ([0, 0], 2, None, "every old unit needs a copy"),
        ([0, 1, 1], 2, [1.0, 0.5, 0.6], "must add up to 1"),
    ],
)
def test_impossible_copies_are_refused(
    index: list[int], old: int, shares: list[float] | None, said: str
) -> None:
    given = None if shares is None else torch.tensor(shares, dtype=torch.float64)
    with pytest.raises(ConfigError, match=said):
        Units.of(index, old, given)


def test_a_dense_map_of_copies_is_the_copies() -> None:
    """The dual of least norm is that of the shares where those are equal."""
    units = Units.of([0, 1, 1, 0, 1], 2)
    weight = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for copies in (units.out(), units.into()):
        matrix = torch.zeros(5, 2, dtype=torch.float64)
        matrix[torch.arange(5), units.index] = copies.scale
        dense, sparse = (Term("w", (None, one)) for one in (Dense(matrix), copies))
        assert torch.allclose(dense.weight({"w": weight}), sparse.weight({"w": weight}))
        for power in (1, 2):
            assert torch.allclose(dense.moment(weight, power), sparse.moment(weight, power))


def test_a_smaller_or_another_model_is_refused() -> None:
    one = bert_anatomy(SMALL)
    draw = torch.Generator()
    with pytest.raises(ConfigError, match="depth"):
        Growth().plan(one, bert_anatomy(replace(SMALL, layers=1)), draw)
    with pytest.raises(ConfigError, match="width of inner"):
        Growth().plan(one, bert_anatomy(replace(SMALL, intermediate=8)), draw)
    with pytest.raises(ConfigError, match="final_norm"):
        Growth().plan(one, bert_anatomy(replace(SMALL, placement="post")), draw)
    with pytest.raises(ConfigError, match="one of stack, interpolate, identity"):
        Growth(depth="double")
