"""A fitted map as it is applied: what its terms make, in fewer FLOPs and by strips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bert.model.anatomy import bert_anatomy
from bert.model.config import BertConfig
from bert.model.start import untied_weights
from swe.transforms import kronecker
from swe.transforms.carry import grown_state, grown_weights
from swe.transforms.depth import stacked
from swe.transforms.duals import dual
from swe.transforms.growth import Growth, assembled
from swe.transforms.kronecker import Side, cheapest, spread
from swe.transforms.learned import Learned
from swe.transforms.ligo import Ligo
from swe.transforms.mango import Mango
from swe.transforms.maps import Units
from swe.transforms.width import common_widening
from tests.swe.transforms.test_growth import shaken
from tests.swe.transforms.test_learned import (
    IDS,
    ONE,
    SHAPES,
    SMALL,
    THREE,
    TOY,
    TWO,
    draw,
    equal,
    moved,
    shapes,
    toy_source,
)
from tests.swe.transforms.test_maps import drawn

MAPS = [*((Ligo, SMALL, large) for large in SHAPES), (Mango, ONE, THREE)]
NAMES = [*IDS, "ring of rank 1"]


@pytest.fixture
def strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of few entries, so that an axis takes several and a part of one."""
    monkeypatch.setattr(kronecker, "STRIP", 40)


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize(
    ("kind", "small", "large"),
    [*MAPS, (lambda *args: Mango(*args, ranks=TWO), ONE, replace(ONE, layers=2))],
    ids=[*NAMES, "ring"],
)
def test_a_map_applied_makes_the_weights(
    kind: Callable[..., Learned], small: BertConfig, large: BertConfig
) -> None:
    """Sums in another order; memory of their own, one after the other."""
    source = untied_weights(shaken(small))
    learned = moved(kind(bert_anatomy(small), bert_anatomy(large), draw()))
    made, expected = learned.made(source), learned.weights(source)
    assert made.keys() == expected.keys()
    for name, weight in made.items():
        assert torch.allclose(weight, expected[name], rtol=1e-12, atol=1e-12), name
        assert weight.is_contiguous()
    storages = {one.untyped_storage().data_ptr() for one in [*made.values(), *source.values()]}
    assert len(storages) == len(made) + len({one.data_ptr() for one in source.values()})


@pytest.mark.parametrize("large", SHAPES, ids=IDS)
def test_a_map_applied_begins_as_copies(large: BertConfig) -> None:
    """Bit for bit, as the weights that are fitted."""
    source = untied_weights(shaken(SMALL))
    old, new = bert_anatomy(SMALL), bert_anatomy(large)
    copies = Growth(depth="stack", width="fpi").plan(old, new, draw())
    wanted = grown_weights(copies.lines, source, shapes(large))
    assert equal(Ligo(old, new, draw(), noise=0.0).made(source), wanted)
    ring = Mango(old, new, draw(), ranks=TWO, noise=0.0)
    both = assembled(old, new, stacked(2, large.layers), common_widening(old, new, ring.units))
    assert equal(ring.made(source), grown_weights(both.lines, source, shapes(large)))


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize(("kind", "small", "large"), MAPS, ids=NAMES)
@pytest.mark.parametrize("lacking", ["nothing", "a layer", "a kind"])
def test_moments_applied_are_those_of_the_lines(
    kind: Callable[..., Learned], small: BertConfig, large: BertConfig, lacking: str
) -> None:
    """Of parents without state too; of copies in unequal shares (8 to 12) too."""
    learned = moved(kind(bert_anatomy(small), bert_anatomy(large), draw()))
    without = {"nothing": "-", "a layer": "blocks.0.inner", "a kind": ".inner.bias"}[lacking]
    states = {
        name: {"step": torch.tensor(float(at)), "exp_avg": one, "exp_avg_sq": one.square()}
        for at, (name, one) in enumerate(untied_weights(shaken(small)).items())
        if without not in name
    }
    found = learned.moments(states, "mapped")
    expected = grown_state(learned.lines(), states, "mapped")
    assert found.keys() == expected.keys()
    for name, state in expected.items():
        assert found[name].keys() == state.keys()
        for key, value in state.items():
            # Rounding of float64 times the conditions of three duals, some tens each.
            size = float(value.abs().max())
            assert torch.allclose(found[name][key], value, rtol=0, atol=1e-11 * size), (name, key)


@pytest.mark.parametrize("kind", [Ligo, Mango])
def test_a_layer_of_nothing_old_has_no_state(kind: Callable[..., Learned]) -> None:
    old, new = bert_anatomy(ONE), bert_anatomy(replace(ONE, layers=2))
    learned = kind(old, new, draw())
    with torch.no_grad():
        for part in learned.parameters():
            if part.ndim == 4 and part.shape[1:3] == (2, 1):
                part[:, 1] = 0.0
            elif part.shape == (2, 1):
                part[1] = 0.0
    states = {name: {"exp_avg": one.double()} for name, one in untied_weights(shaken(ONE)).items()}
    found = learned.moments(states, "mapped")
    assert found.keys() == grown_state(learned.lines(), states, "mapped").keys()
    assert any(".0." in name for name in found)
    assert not any(".1." in name for name in found)


def test_axes_are_widened_in_the_cheapest_order() -> None:
    """A matrix that reads four times as many units as it computes is widened there first."""
    assert cheapest((2, 8), (4, 16), (0, 1)) == [1, 0]  # 2*8*16 + 2*16*4, not 2*8*4 + 4*8*16
    assert cheapest((8, 2), (16, 4), (0, 1)) == [0, 1]
    assert cheapest((8, 2), (16, 2), (0,)) == [0]


def test_applying_costs_the_products_of_small_layers() -> None:
    """Each old layer widened once, and two FLOPs for each entry that the mixing reads."""
    learned = Ligo(TOY, TOY.grown(4, {"u": 5}), draw())
    wide = 5 * 3 * 4 + 2 * 3 * 5 + 2 * (5 * 3 * 3 + 5 * 3 * 5 + 5 * 3)
    mixed = 4 * 2 * (5 * 5 + 5)
    with FlopCounterMode(display=False) as counter:
        learned.made(toy_source())
    vectors = 2 * 5 * 3 + mixed  # which products with vectors, not counted, may be of
    assert 2 * (wide + mixed - vectors) <= counter.get_total_flops() <= 2 * (wide + mixed)


@pytest.mark.parametrize("sizes", [(), (6,), (6, 4), (2, 3, 4)])
def test_a_product_of_factors_is_applied_axis_by_axis(sizes: tuple[int, ...]) -> None:
    """To tensors of any number of axes; one that keeps its length; added to what there is."""
    olds = [drawn(1, *sizes, seed=seed)[0] for seed in range(2)]
    sides = [None if size == 4 else Side(drawn(2 * size, size)) for size in sizes]
    matrices = [torch.eye(4).double() if one is None else one.matrix for one in sides]
    mix = drawn(3, 2)

    def expected(layer: int) -> Tensor:
        total = sum(mix[layer, old] * one for old, one in enumerate(olds))
        assert isinstance(total, Tensor)
        for axis, matrix in enumerate(matrices):
            total = torch.tensordot(matrix, total, dims=([1], [axis])).movedim(0, axis)
        return total

    news = [torch.empty_like(expected(layer)) for layer in range(3)]
    for times in (1, 2):
        spread(olds, sides, mix, news, add=times == 2)
        for layer, new in enumerate(news):
            assert torch.allclose(new, times * expected(layer), rtol=0, atol=1e-12)


def test_a_dual_in_single_precision_is_as_right_as_it_says() -> None:
    """Copies with noise; a map of nearly dependent columns, which goes by float64."""
    copies = torch.eye(20)[Units.of([*range(20), *range(15)], 20).index]
    near = copies + 0.1 * drawn(35, 20).float()
    bent = near.clone()
    bent[:, 3] = bent[:, 7] * (1 + 2**-10)
    bent[:, 3] += 1e-4 * drawn(35, seed=1).float()
    for matrix in (near, bent):
        expected = torch.linalg.pinv(matrix.double()).T
        found = dual(matrix, torch.float32)
        assert found.dtype == torch.float32
        assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())
