"""Attention, dropout and casts of our own on the CPU: against torch's, autograd and counting."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from swe.base.files import read_json
from swe.base.interrupt import Interrupted
from swe.run.attention import ON_CPU, choose, measure, within
from swe.run.cast_once import CastWeights
from swe.run.cpu_kernels import CpuKernels
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.plain_attention import attend, drop, noise
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared, SweFixed
from swe.sharing.stack import SharedStack
from tests.swe.ranks.rank_runs import numbers
from tests.swe.run.copying import DEPTH, Copy

CPU = torch.device("cpu")
TASK = Copy()
CONFIG = TrainConfig(
    steps=6, schedule=SweFixed(until=3), precision="bfloat16", log_interval=1, eval_interval=3
)


def draws(dtype: torch.dtype, *size: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    one, two, three = torch.randn(3, *(size or (2, 3, 5, 4)), dtype=dtype).unbind()
    return one.requires_grad_(), two.requires_grad_(), three.requires_grad_()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention_is_torchs_attention(causal: bool, scale: float | None) -> None:
    """In float64, values and gradients: rounding of sums of a few terms is under 1e-13."""
    inputs = draws(torch.float64)
    pull = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    query, key, value = inputs
    found = attend(query, key, value, causal=causal, scale=scale)
    wanted = functional.scaled_dot_product_attention(
        query, key, value, is_causal=causal, scale=scale
    )
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13)
    for one, other in zip(
        torch.autograd.grad(found, inputs, pull),
        torch.autograd.grad(wanted, inputs, pull),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_with_dropout_are_differences(causal: bool) -> None:
    inputs = draws(torch.float64, 1, 2, 3, 2)

    def under_one_mask(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        torch.manual_seed(3)
        return attend(query, key, value, dropout=0.3, causal=causal)

    assert torch.autograd.gradcheck(under_one_mask, inputs)


def test_noise_keeps_the_mean_and_the_share() -> None:
    """p = 1/10 becomes 6554 / 2**16; of a million draws the share is within 5 deviations."""
    torch.manual_seed(0)
    count, p = 10**6 + 3, 6554 / 2**16
    found = noise(torch.Size([count]), 0.1, torch.float32)
    values, counts = found.unique(return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - p)])
    assert abs(int(counts[0]) / count - p) < 5 * math.sqrt(p * (1 - p) / count)
    neighbours = torch.corrcoef(torch.stack([found[:-1], found[1:]]))[0, 1]
    assert abs(float(neighbours)) < 5 / math.sqrt(count), "four draws come from one word"
    torch.manual_seed(0)
    assert torch.equal(found, noise(torch.Size([count]), 0.1, torch.float32))


@pytest.mark.parametrize(("p", "kept"), [(0.0, 1.0), (1.0, 0.0), (0.5, None)])
def test_dropout_at_its_ends(p: float, kept: float | None) -> None:
    values = torch.ones(1000, dtype=torch.bfloat16)
    found = drop(values, p)
    assert set(found.tolist()) == ({0.0, 2.0} if kept is None else {kept})


def test_what_is_not_ours_goes_to_torch() -> None:
    """Masks, in-place dropout and float64: the same results and draws as outside the context."""
    query, key, value = draws(torch.float32)
    mask = torch.tensor([[True, True, False, True, True]])
    wide = torch.ones(9, dtype=torch.float64)

    def work() -> list[Tensor]:
        torch.manual_seed(1)
        return [
            functional.scaled_dot_product_attention(query, key, value, attn_mask=mask),
            functional.dropout(wide, 0.5),
            functional.dropout(torch.ones(9), 0.5, inplace=True),
            functional.linear(torch.ones(2, 3), torch.ones(4, 3)),
        ]

    wanted = work()
    with CpuKernels(products=True, casts=CastWeights()):
        found = work()
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def gradients(casts: CastWeights | None, layout: Layout) -> dict[str, Tensor]:
    model = TASK.build(0)
    assert isinstance(model, SharedStack)
    model.retie(layout)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        torch.manual_seed(5)
        if casts is None:
            loss = TASK.loss(model, TASK.batch(0, 0))
        else:
            with CpuKernels(products=False, casts=casts):
                loss = TASK.loss(model, TASK.batch(0, 0))
    loss.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return found | {"loss": loss.detach()}


@pytest.mark.parametrize("layout", [Layout.tied(DEPTH), Layout.untied(DEPTH)], ids=str)
def test_casts_once_are_autocasts_results(layout: Layout) -> None:
    """Loss and gradients bit for bit; every weight cast once, however often it is used."""
    casts = CastWeights()
    wanted, found = gradients(None, layout), gradients(casts, layout)
    assert casts.casts == 4 * layout.block_count
    assert len(wanted) == casts.casts + 1
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def test_a_changed_weight_is_cast_again() -> None:
    casts, weight = CastWeights(), nn.Parameter(torch.ones(2, 2))
    with torch.no_grad():
        casts.linear(torch.ones(1, 2), weight)
        weight.mul_(3)
        out = casts.linear(torch.ones(1, 2), weight)
    assert out.tolist() == [[6.0, 6.0]]
    assert casts.casts == 2


def test_engine_casts_each_weight_once_an_update() -> None:
    engine = Engine(TASK, replace(CONFIG, schedule=AlwaysShared(), accumulation=2), CPU, "test")
    for step in range(3):
        engine.update(step, engine.batch(2 * step))
    assert engine.casts is not None
    assert engine.casts.casts == 3 * 4, "four weights, three updates of two batches, four layers"


@pytest.mark.parametrize("kernel", ON_CPU)
def test_kernels_agree_and_run_in_the_engine(kernel: str) -> None:
    """One loss without dropout by every kernel: bfloat16 keeps 8 bits, so 1 % of it."""
    task = replace(TASK, dropout=0.0)
    losses = {}
    for name in ("default", kernel):
        engine = Engine(task, CONFIG, CPU, "test", speed=SpeedConfig(attention=name))
        assert engine.attention == name
        losses[name] = engine.evaluate()["loss"]
    assert losses[kernel] == pytest.approx(losses["default"], rel=1e-2)


def test_named_kernels_are_torchs() -> None:
    with within("math"):
        assert torch.backends.cuda.math_sdp_enabled()
        assert not torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()


def test_what_is_measured_and_what_is_not() -> None:
    times = measure(replace(TASK.attention, causal=True), torch.bfloat16, CPU, repeats=1)
    assert list(times) == list(ON_CPU)
    assert times["flash"] is None, "it takes no dropout on a CPU"
    assert choose(TASK, "auto", "float32", CPU) == ("default", {})
    assert choose(object(), "measured", "bfloat16", CPU) == ("default", {})
    assert choose(TASK, "cudnn", "bfloat16", CPU) == ("default", {})
    kernel, found = choose(TASK, "auto", "bfloat16", CPU)
    assert found[kernel] == min(value for value in found.values() if value is not None)


def test_a_comparison_measures_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def count(shape: Any, *rest: Any) -> dict[str, float | None]:
        asked.append(shape)
        return {"math": 2.0, "products": 1.0 + len(asked), "flash": None}

    monkeypatch.setattr("swe.run.attention.measure", count)
    speed = SpeedConfig().shared_in(tmp_path)
    assert speed.shared_in(tmp_path / "other") == speed
    for arm in ("one", "two"):
        train(TASK, CONFIG, tmp_path / arm, speed=speed)
        here = read_json(tmp_path / arm / "environment.json")["speed"]
        assert here["attention"] == "math"
        assert here["attention_milliseconds"]["products"] == 2.0
        assert "measured_in" not in here
    assert len(asked) == 1, "a second measurement would have found products slower still"


@pytest.mark.parametrize("kernel", ["products", "math"])
def test_resume_in_bfloat16_bit_for_bit(kernel: str, tmp_path: Path) -> None:
    """Stopped after every update, and begun again with other kernels to choose from."""
    train(TASK, CONFIG, tmp_path / "whole", speed=SpeedConfig(attention=kernel))
    folder, speed = tmp_path / "pieces", SpeedConfig(attention=kernel)
    for _ in range(CONFIG.steps - 1):
        stop = partial(next, iter([False]), True)
        with pytest.raises(Interrupted):
            train(TASK, CONFIG, folder, speed=speed, stop=stop)
        speed = SpeedConfig()
    train(TASK, CONFIG, folder)
    wanted, found = numbers(tmp_path / "whole"), numbers(folder)
    assert found["rows"] == wanted["rows"]
    assert found["tensors"].keys() == wanted["tensors"].keys()
    for name, tensor in wanted["tensors"].items():
        assert torch.equal(tensor, found["tensors"][name]), name
    assert read_json(folder / "environment.json")["speed"]["attention"] == kernel
