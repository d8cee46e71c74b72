"""LiGO and Mango: their starts are copies, their fits find a planted map and touch nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from bert.model.anatomy import bert_anatomy
from bert.model.config import BertConfig
from bert.model.encoder import Bert, build_bert
from bert.model.start import untied_weights
from swe.base.errors import ConfigError, NonFiniteLossError
from swe.transforms.anatomy import FIXED, Anatomy, Axis
from swe.transforms.carry import grown_state, grown_weights
from swe.transforms.depth import stacked
from swe.transforms.growth import Growth, assembled
from swe.transforms.learned import Fit, Learned, fit
from swe.transforms.ligo import Ligo
from swe.transforms.mango import Mango, Ranks
from swe.transforms.width import common_widening
from tests.swe.transforms.test_growth import logits, shaken

SMALL = BertConfig(
    layers=2, hidden=8, heads=2, intermediate=16, vocabulary=16, positions=6, dropout=0.0,
    initial_std=0.3,
)  # fmt: skip
WIDER = replace(SMALL, hidden=16, heads=4, intermediate=32)
LARGE = replace(WIDER, layers=5)
SHAPES = [
    LARGE,
    replace(SMALL, layers=5),
    replace(SMALL, hidden=12, heads=3, intermediate=24),
]
IDS = ["both", "deeper", "wider"]
TWO: Ranks = (2, 1, 2, 3)


def draw(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shapes(config: BertConfig) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in build_bert(config, 0).named_parameters()}


def moved(learned: Learned) -> Learned:
    """The map far from its start, in float64."""
    own = draw(9)
    learned = learned.double()
    with torch.no_grad():
        for part in learned.parameters():
            part.add_(torch.randn(part.shape, generator=own, dtype=torch.float64), alpha=0.3)
    return learned


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("large", SHAPES, ids=IDS)
def test_ligo_begins_as_copies_and_a_stack(large: BertConfig) -> None:
    """Bit for bit; in float64, from maps in float32."""
    source = untied_weights(shaken(SMALL))
    old, new = bert_anatomy(SMALL), bert_anatomy(large)
    copies = Growth(depth="stack", width="fpi").plan(old, new, draw())
    wanted = grown_weights(copies.lines, source, shapes(large))
    assert equal(Ligo(old, new, draw(), noise=0.0).weights(source), wanted)
    assert not equal(Ligo(old, new, draw()).weights(source), wanted)


def test_ligo_of_a_multiple_of_the_width_keeps_the_function() -> None:
    """The norms, the packed heads and the tied decoder all take their maps where they should."""
    model, large = shaken(SMALL), build_bert(WIDER, 0).double()
    learned = Ligo(bert_anatomy(SMALL), bert_anatomy(large.config), draw(), noise=0.0)
    large.load_state_dict(learned.weights(untied_weights(model)), strict=False)
    assert torch.allclose(logits(large), logits(model), rtol=0, atol=1e-12)


@pytest.mark.parametrize("large", SHAPES, ids=IDS)
@pytest.mark.parametrize("ranks", [(1, 1, 1, 1), TWO])
def test_mango_begins_as_copies_at_any_rank(large: BertConfig, ranks: Ranks) -> None:
    source = untied_weights(shaken(SMALL))
    old, new = bert_anatomy(SMALL), bert_anatomy(large)
    found = Mango(old, new, draw(), ranks=ranks, noise=0.0)
    widening = common_widening(old, new, found.units)
    copies = assembled(old, new, stacked(2, large.layers), widening)
    assert equal(found.weights(source), grown_weights(copies.lines, source, shapes(large)))


ONE = replace(SMALL, layers=1, hidden=2, heads=1, intermediate=4, vocabulary=8)
THREE = replace(ONE, layers=2, hidden=4, heads=2, intermediate=8)


@pytest.mark.parametrize(
    ("kind", "small", "large"),
    [
        (Ligo, SMALL, LARGE),
        (Ligo, SMALL, SHAPES[1]),
        (Ligo, SMALL, SHAPES[2]),
        (Mango, ONE, THREE),
        (lambda *args: Mango(*args, ranks=TWO), ONE, replace(ONE, layers=2)),
    ],
    ids=["both", "deeper", "wider", "ring of rank 1", "ring"],
)
def test_lines_make_the_weights(
    kind: Callable[..., Learned], small: BertConfig, large: BertConfig
) -> None:
    """Terms that are added up one by one, and products that are not."""
    source = untied_weights(shaken(small))
    learned = moved(kind(bert_anatomy(small), bert_anatomy(large), draw()))
    made, grown = learned.weights(source), learned.grown()
    summed = grown_weights(grown.lines, source, shapes(large))
    assert made.keys() == summed.keys()
    assert not grown.preserves
    for name, weight in made.items():
        assert torch.allclose(weight, summed[name], rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize(
    ("kind", "small", "large"), [(Ligo, SMALL, LARGE), (Mango, ONE, THREE)], ids=["ligo", "mango"]
)
def test_first_moments_go_by_a_dual_of_the_map(
    kind: Callable[..., Learned], small: BertConfig, large: BertConfig
) -> None:
    """The map's transpose, by autograd, brings them back: M^T D = 1."""
    source = {name: w.clone().requires_grad_() for name, w in untied_weights(shaken(small)).items()}
    learned = moved(kind(bert_anatomy(small), bert_anatomy(large), draw()))
    own = draw(5)
    first = {
        name: torch.randn(w.shape, generator=own, dtype=torch.float64) for name, w in source.items()
    }
    states = {name: {"exp_avg": m, "exp_avg_sq": m**2} for name, m in first.items()}
    mapped = grown_state(learned.lines(), states, "mapped")
    made = learned.weights(source)
    total = sum((made[name] * mapped[name]["exp_avg"]).sum() for name in made)
    assert isinstance(total, Tensor)
    back = torch.autograd.grad(total, list(source.values()))
    for name, moment in zip(source, back, strict=True):
        assert torch.allclose(moment, first[name], rtol=1e-9, atol=1e-9), name
    assert all(bool((state["exp_avg_sq"] >= 0).all()) for state in mapped.values())
    assert grown_state(learned.lines(), states, "reset") == {}
    with pytest.raises(ConfigError, match="a fitted map copies nothing"):
        grown_state(learned.lines(), states, "copy")


def test_a_ring_of_higher_rank_has_moments_reset_alone() -> None:
    source = untied_weights(shaken(ONE))
    learned = Mango(bert_anatomy(ONE), bert_anatomy(replace(ONE, layers=2)), draw(), ranks=TWO)
    states = {name: {"exp_avg": w} for name, w in source.items()}
    assert grown_state(learned.lines(), states, "reset") == {}
    with pytest.raises(ConfigError, match=r"no dual of few factors .* carry = 'reset'"):
        grown_state(learned.lines(), states, "mapped")


READ, COMPUTED = Axis(space="u", way="in"), Axis(space="u")
TOY = Anatomy(
    depth=2,
    widths={"u": 3},
    stack="layers",
    layer={"a.weight": (COMPUTED, READ), "a.bias": (COMPUTED,)},
    rest={"e": (COMPUTED, FIXED), "d": (FIXED, READ)},
)


def toy_source() -> dict[str, Tensor]:
    layers = {f"layers.{layer}.a.weight": torch.ones(3, 3) for layer in range(2)}
    biases = {f"layers.{layer}.a.bias": torch.ones(3) for layer in range(2)}
    return {"e": torch.ones(3, 4), "d": torch.ones(2, 3), **layers, **biases}


def output(weights: Mapping[str, Tensor], depth: int, inputs: Tensor) -> Tensor:
    """A residual network of linear layers: inputs (rows, 4) -> (rows, 2)."""
    hidden = inputs @ weights["e"].T
    for layer in range(depth):
        a, b = (weights[f"layers.{layer}.a.{part}"] for part in ("weight", "bias"))
        hidden = hidden + hidden @ a.T + b
    return hidden @ weights["d"].T


@pytest.mark.parametrize(
    ("kind", "planted"),
    [(Ligo, Ligo), (lambda *args: Mango(*args, ranks=(2, 2, 2, 2)), Mango)],
    ids=["ligo", "mango"],
)
def test_a_planted_map_is_found(
    kind: Callable[..., Learned], planted: Callable[..., Learned]
) -> None:
    """The outputs are those of a network that a map of the kind makes: the least loss is 0."""
    old, new, own = TOY, TOY.grown(4, {"u": 5}), draw(1)
    source = {
        name: torch.randn(one.shape, generator=own, dtype=torch.float64) * 0.3
        for name, one in toy_source().items()
    }
    inputs = torch.randn(32, 4, generator=own, dtype=torch.float64)
    truth = planted(old, new, draw(2)).double()
    with torch.no_grad():
        for part in truth.parameters():
            part.add_(torch.randn(part.shape, generator=own, dtype=torch.float64), alpha=0.1)
        wanted = output(truth.weights(source), 4, inputs)

    def loss(weights: Mapping[str, Tensor], step: int) -> Tensor:
        return (output(weights, 4, inputs) - wanted).square().mean()

    found = fit(kind(old, new, draw(3)).double(), source, loss, steps=150, rate=0.3)
    assert found.losses[-1] < 1e-4 * found.losses[0]


def masked_loss(model: Bert) -> Callable[[Mapping[str, Tensor], int], Tensor]:
    """The model's loss on a batch that every step has, by the weights given."""
    rows, places = torch.arange(12).reshape(2, 6), torch.tensor([[0, 3], [1, 5]])
    labels = torch.tensor([3, 1, 4, 1])

    def loss(weights: Mapping[str, Tensor], step: int) -> Tensor:
        out: Tensor = functional_call(model, dict(weights), (rows, places))
        return functional.cross_entropy(out, labels)

    return loss


def fitted(kind: Callable[..., Learned], seed: int, model: Bert) -> tuple[Learned, Fit]:
    source = untied_weights(shaken(SMALL).float())
    before = {name: w.clone() for name, w in source.items()}
    own = {name: w.clone() for name, w in model.state_dict().items()}
    learned = kind(bert_anatomy(SMALL), bert_anatomy(model.config), draw())
    start = {name: part.detach().clone() for name, part in learned.named_parameters()}
    found = fit(learned, source, masked_loss(model), steps=6, seed=seed)
    assert all(not torch.equal(start[name], part) for name, part in learned.named_parameters())
    assert equal(source, before)
    assert equal(model.state_dict(), own)
    assert all(part.grad is None for part in [*learned.parameters(), *model.parameters()])
    return learned, found


@pytest.mark.parametrize(
    "kind", [Ligo, Mango, lambda *args: Mango(*args, ranks=(2, 2, 2, 2))], ids=["l", "m1", "m2"]
)
def test_a_fit_moves_every_part_and_nothing_else(kind: Callable[..., Learned]) -> None:
    """And is a function of its seed, which is that of dropout alone."""
    model = build_bert(replace(LARGE, dropout=0.2), 7).train()
    one, found = fitted(kind, 0, model)
    again, same = fitted(kind, 0, model)
    assert found == same
    assert equal(dict(one.named_parameters()), dict(again.named_parameters()))
    assert found.losses != fitted(kind, 1, model)[1].losses
    assert found.losses[-1] < found.losses[0]


def test_a_fit_is_charged_by_the_products_of_its_map() -> None:
    """Width once a small layer; depth once a large one; backward: both factors of a product, if
    both have gradients."""
    old, new = TOY, TOY.grown(4, {"u": 5})
    source = toy_source()
    first = 5 * 3 * 4 + 5 * 3 * 2 + 2 * (5 * 3 * 3 + 5 * 3)  # of sources: gradients of maps alone
    second = 2 * (5 * 3 * 5) + 4 * 2 * (5 * 5 + 5)  # of what is mapped already: both
    learned = Ligo(old, new, draw())
    found = fit(learned, source, lambda weights, step: weights["e"].sum(), steps=2, rate=0.01)
    assert found.map_flops == 2 * (2 * first + 3 * second)
    assert found.steps == 2
    assert found.factor(1000.0) == 1 + found.map_flops / 1000
    assert found.cost(1000.0) == 2 * (1000 + found.map_flops)


@pytest.mark.parametrize(
    ("inner", "said"),
    [(40, "40 entries, which tiles of 16"), (16, "has 2 tiles, the large model's 1")],
)
def test_what_cannot_be_cut_into_tiles_is_refused(inner: int, said: str) -> None:
    new = bert_anatomy(replace(WIDER, intermediate=inner))
    with pytest.raises(ConfigError, match=f"{said}.*grow by ligo"):
        Mango(bert_anatomy(SMALL), new, draw())


def test_impossible_fits_are_refused() -> None:
    old, new = TOY, TOY.grown(4, {})
    with pytest.raises(ConfigError, match="noise"):
        Ligo(old, new, draw(), noise=-1.0)
    with pytest.raises(ConfigError, match="rank = 0"):
        Mango(old, new, draw(), ranks=(1, 0, 1, 1))
    source = toy_source()
    learned = Ligo(old, new, draw())
    with pytest.raises(NonFiniteLossError, match="update 1 of the fit is inf; fit at a lower rate"):
        fit(learned, source, lambda w, step: w["e"].sum() * torch.inf)
    with pytest.raises(ConfigError, match="rate"):
        fit(learned, source, lambda w, step: w["e"].sum(), rate=0.0)


@pytest.mark.parametrize("kind", [Ligo, Mango])
@pytest.mark.parametrize("partly", [False, True])
def test_moments_by_the_ring_are_those_of_its_terms(
    kind: Callable[..., Learned], partly: bool
) -> None:
    """Sums in another order; a parent without state leaves the terms to it."""
    learned = moved(kind(bert_anatomy(ONE), bert_anatomy(THREE), draw()))
    source = untied_weights(shaken(ONE))
    states = {
        name: {"step": torch.tensor(3.0), "exp_avg": one.double(), "exp_avg_sq": one.double() ** 2}
        for name, one in source.items()
        if not (partly and name.endswith("inner.weight"))
    }
    found, expected = (
        learned.moments(states, "mapped"),
        grown_state(learned.lines(), states, "mapped"),
    )
    assert found.keys() == expected.keys()
    for name, state in expected.items():
        for key, value in state.items():
            size = float(value.abs().max())
            assert torch.allclose(found[name][key], value, rtol=0, atol=1e-12 * size), (name, key)
