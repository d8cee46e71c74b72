"""The stream that an arm's model begins with: measured, and beside what theory has of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bert.model.config import BertConfig, named_config
from bert.model.encoder import build_bert
from bert.study.beginning import beginning
from bert.study.first_skill import by_stream
from bert.study.stream import log_reach, squares
from bert.study.table_arms import equal_start, swe_f
from bert.study.table_study import TableStudy
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, SweFixed
from swe.transforms.growth import METHODS
from swe.transforms.stage import Stage
from theory.models import stream

SHAPE = named_config("12x64", vocabulary=300, dropout=0.1)
SEEDS = range(4)


def of(
    config: BertConfig, schedule: NeverShared | AlwaysShared | SweFixed, seed: int
) -> np.ndarray:
    found = squares(config, schedule, seed, 8)
    assert found is not None
    return np.array(found)


def test_it_is_the_streams_mean_square_at_every_branch() -> None:
    """By the model's own parts, one after the other, at the ends of layers."""
    config = replace(SHAPE, layers=3, dropout=0.0)
    found = of(config, NeverShared(), 1)
    model = build_bert(config, 1)
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randint(config.vocabulary, (64, 8), generator=draw)
    with torch.no_grad():
        hidden = model.words(inputs) + model.positions.weight[:8] + model.segments.weight[0]
        hidden = model.embedding_norm(hidden)
        ends = [float(hidden.square().mean())]
        for layer in model.stack.blocks:
            hidden = layer(hidden)
            ends.append(float(hidden.square().mean()))
    assert len(found) == 2 * 3 + 1
    np.testing.assert_allclose(found[::2], ends, rtol=1e-5)
    assert found[0] == pytest.approx(1.0, rel=1e-3)


def test_copies_tied_or_not_begin_alike_and_far_above_drawn_ones() -> None:
    each, equal, tied, until = (
        of(SHAPE, schedule, 0)
        for schedule in (NeverShared(), EqualStart(), AlwaysShared(), SweFixed(until=0.1))
    )
    np.testing.assert_array_equal(equal, tied)
    np.testing.assert_array_equal(equal, until)
    assert len(tied) == 25, "a block is looked at wherever it runs"
    assert equal[-1] > 3 * each[-1]
    coarse = of(SHAPE, EqualStart(unit=6), 0)
    assert each[-1] < coarse[-1] < equal[-1]


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_theory_has_copies_from_drawn_layers(scale: float) -> None:
    """v by the drawn stack's end; a random linear branch stands for attention and GELU."""
    config = replace(SHAPE, branch_scale=scale)
    each, copies = (
        np.mean([of(config, schedule, seed)[::2] for seed in SEEDS], axis=0)
        for schedule in (NeverShared(), EqualStart())
    )
    v = (each[-1] - 1.0) / 12
    np.testing.assert_allclose(each, stream.drawn(12, v), rtol=0.1)
    np.testing.assert_allclose(copies, stream.copied(12, v), rtol=0.25)


def test_reach_is_a_mean_of_logarithms_and_of_pre_ln_alone() -> None:
    found = log_reach(SHAPE, EqualStart(), SEEDS, 8)
    each = [float(stream.reach(of(SHAPE, EqualStart(), seed))) for seed in SEEDS]
    assert found == pytest.approx(np.mean(np.log(each)))
    assert log_reach(replace(SHAPE, placement="post"), EqualStart(), SEEDS, 8) is None


def test_a_table_foretells_by_what_its_arms_begin_with() -> None:
    study = TableStudy(size="6x32", vocabulary=300, length=8, steps=100, seeds=2)
    base, equal, tied = (
        study.beginning(arm)
        for arm in (study.arms_of("table1")[0], equal_start(study), swe_f(study))
    )
    told = by_stream(equal, base)
    assert told is not None
    assert told > 0.1
    assert by_stream(tied, base) == told
    assert by_stream(base, base) == 0.0
    grown = beginning(
        NeverShared(), 6, 100, (Stage(until=0.1, depth=3, growth=METHODS["stacking"]),), (1.0, 1.0)
    )
    assert by_stream(replace(grown, reach=-1.0), base) is None
    assert by_stream(replace(equal, reach=None), base) is None
    assert math.isfinite(base.reach or math.nan)
