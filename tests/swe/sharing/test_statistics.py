"""The probe's per-layer gradients and what is computed from them, by another route."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared, NeverShared, Schedule
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import SharedStack, Stack, find_stack
from swe.sharing.statistics import GradientStatistics, gram_matrix, probe, weight_energies
from tests.swe.sharing.residual import RegressionTask


def built(schedule: Schedule, dropout: float = 0.0) -> tuple[RegressionTask, nn.Module, Stack]:
    task = RegressionTask(depth=6, dropout=dropout, dtype=torch.float64)
    model = task.build(1)
    stack = find_stack(model)[1]
    prepare(stack, schedule)
    return task, model, stack


@pytest.mark.parametrize("schedule", [AlwaysShared(), AlwaysShared(unit=2), NeverShared(unit=3)])
def test_probe_equals_gradients_of_an_untied_copy(schedule: Schedule) -> None:
    """Same weights, layers untied by copying: ordinary backward gives every layer's gradient."""
    task, model, stack = built(schedule)
    batch = task.batch(0, 0)
    measured = probe(stack, lambda: task.loss(model, batch))
    unit = stack.layout.unit
    stack.relayout(stack.layout.untie())
    task.loss(model, batch).backward()
    layers = [
        torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None])
        for block in stack.blocks
    ]
    repeats = [torch.cat(layers[r : r + unit]) for r in range(0, len(layers), unit)]
    expected = torch.stack(repeats) @ torch.stack(repeats).T
    np.testing.assert_allclose(measured.gram, expected.numpy(), rtol=1e-12, atol=1e-14)


def test_probe_disturbs_nothing() -> None:
    task, model, stack = built(AlwaysShared(), dropout=0.5)
    batch = task.batch(0, 0)
    task.loss(model, batch).backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    torch.manual_seed(5)
    probe(stack, lambda: task.loss(model, batch))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3)), "the random state moved"
    now = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, now, strict=True))


def test_small_gram_matrix_written_out() -> None:
    """Gradients (1, 0), (1, 1), (0, 2): cosines 1/sqrt 2 both, alignment |(2, 3)|^2 / (3 * 7)."""
    layers = [{"w": torch.tensor(v)} for v in ([1.0, 0.0], [1.0, 1.0], [0.0, 2.0])]
    statistics = GradientStatistics(gram_matrix(layers, 1))
    np.testing.assert_array_equal(statistics.gram, [[1, 1, 0], [1, 2, 2], [0, 2, 4]])
    assert statistics.correlations == pytest.approx([2**-0.5, 2**-0.5], rel=1e-15)
    assert statistics.alignment == pytest.approx(13 / 21, rel=1e-15)
    assert statistics.mean_square([0, 2]) == pytest.approx((0.5**2 + 1), rel=1e-15)


def test_zero_gradients_have_no_correlation() -> None:
    layers: list[dict[str, Tensor | None]] = [
        {"w": torch.zeros(2)},
        {"w": torch.ones(2)},
        {"w": None},
    ]
    statistics = GradientStatistics(gram_matrix(layers, 1))
    assert all(math.isnan(c) for c in statistics.correlations)
    assert statistics.to_json()["correlations"] == [None, None]
    assert GradientStatistics(((0.0,),)).to_json()["alignment"] is None


@given(
    rows=st.lists(
        st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=4, max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_alignment_is_the_share_of_the_common_component(rows: list[list[float]]) -> None:
    """A in [0, 1], and A = ||g_0||^2 / sum ||g_l||^2 by the orthonormal split."""
    gradients = torch.tensor(rows, dtype=torch.float64)
    statistics = GradientStatistics(gram_matrix([{"w": g} for g in gradients], 1))
    total = float(gradients.square().sum())
    if total == 0:
        assert math.isnan(statistics.alignment)
        return
    common = gradients.sum(0) / math.sqrt(len(rows))
    deviation = gradients - common / math.sqrt(len(rows))
    share = float(common.square().sum()) / total
    assert statistics.alignment == pytest.approx(share, rel=1e-10, abs=1e-12)
    assert 1 - share == pytest.approx(float(deviation.square().sum()) / total, abs=1e-12)


def test_weight_energies_split_the_total() -> None:
    _, _, stack = built(NeverShared())
    energies = weight_energies(stack)
    total = sum(float(p.detach().square().sum()) for p in stack.parameters())
    assert energies["common"] + energies["deviation"] == pytest.approx(total, rel=1e-12)
    assert energies["dispersion"] == pytest.approx(energies["deviation"] / total, rel=1e-12)
    _, _, tied = built(AlwaysShared())
    assert weight_energies(tied)["deviation"] == 0.0
    blocks = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
    for block, value in zip(blocks, (1.0, 3.0), strict=True):
        torch.nn.init.constant_(block.weight, value)
    written_out = weight_energies(SharedStack(blocks, Layout.untied(2)))
    assert written_out == {"common": 8.0, "deviation": 2.0, "dispersion": 0.2}
