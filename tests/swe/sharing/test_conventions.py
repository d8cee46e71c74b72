"""docs/sharing.md, sentence by sentence: mean and sum, clipping, accumulation, the untie, bfloat16.

The reference throughout is a stack that is NOT tied in memory, whose layers are moved by one
averaged (or summed) gradient, spelled out by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from swe.sharing.gradients import Convention, GradientRule
from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared, SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import Stack, find_stack
from swe.sharing.unshare import Moments, optimizer_state_by_name
from tests.swe.sharing.residual import RegressionTask
from tests.swe.sharing.test_invariants import DEPTH, average_gradients, build, layer_weights

STEPS = 12
OPTIMISERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.005),
    "momentum": lambda p: SGD(p, lr=0.002, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: AdamW(p, lr=0.01, weight_decay=0.1),
}


def sum_by_hand(stack: Stack, layout: Layout) -> None:
    """Each layer of an untied stack takes its family's summed gradient."""
    average_gradients(stack, layout)
    for index, block in enumerate(stack.blocks):
        for parameter in block.parameters():
            assert parameter.grad is not None
            parameter.grad *= layout.uses[layout.owner[index]]


def clip_by_hand(
    model: nn.Module, stack: Stack, layout: Layout, most: float, convention: str
) -> None:
    """Clip by the norm over all layers (mean), or over each tied parameter once (sum)."""
    once = {id(p): 1.0 for p in model.parameters()}
    if convention == "sum":
        for index, block in enumerate(stack.blocks):
            for parameter in block.parameters():
                once[id(parameter)] = 1.0 / layout.uses[layout.owner[index]]
    gradients = [(p.grad, once[id(p)]) for p in model.parameters() if p.grad is not None]
    norm = math.sqrt(sum(weight * float(g.double().square().sum()) for g, weight in gradients))
    for gradient, _ in gradients:
        gradient *= min(1.0, most / norm)


def pair(
    kind: str,
    unit: int,
    convention: Convention,
    clip: float | None,
    accumulation: int,
    dtype: torch.dtype,
) -> tuple[list[Tensor], list[Tensor]]:
    """Layer weights of a tied run and of the untied one by hand, after STEPS updates."""
    task, tied, tied_stack = build(unit, dtype=dtype)
    layout = Layout.tied(DEPTH, unit)
    _, untied, untied_stack = build(None, dtype=dtype)
    for index, block in enumerate(untied_stack.blocks):
        block.load_state_dict(tied_stack.blocks[layout.owner[index]].state_dict())
    one, other = (OPTIMISERS[kind](list(m.parameters())) for m in (tied, untied))
    rule = GradientRule(tied, convention, clip)
    for step in range(STEPS):
        for model, optimizer in ((tied, one), (untied, other)):
            optimizer.zero_grad()
            for micro in range(accumulation):
                loss = task.loss(model, task.batch(0, step * accumulation + micro))
                (loss / accumulation).backward()
            if model is tied:
                rule.apply()
            else:
                (average_gradients if convention == "mean" else sum_by_hand)(untied_stack, layout)
                if clip is not None:
                    clip_by_hand(untied, untied_stack, layout, clip, convention)
            optimizer.step()
    return layer_weights(tied_stack), layer_weights(untied_stack)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("clip", [None, 0.2])
@pytest.mark.parametrize("convention", ["mean", "sum"])
@pytest.mark.parametrize("unit", [1, 3])
@pytest.mark.parametrize("kind", list(OPTIMISERS))
def test_tied_is_untied_with_averaged_or_summed_gradients(
    kind: str, unit: int, convention: Convention, clip: float | None, accumulation: int
) -> None:
    """Both conventions, with clipping and accumulation, to 1e-12 in float64."""
    tied, untied = pair(kind, unit, convention, clip, accumulation, torch.float64)
    torch.testing.assert_close(torch.stack(tied), torch.stack(untied), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clip", [None, 0.2])
@pytest.mark.parametrize("kind", list(OPTIMISERS))
def test_in_single_precision_to_rounding(kind: str, clip: float | None) -> None:
    """The two add DEPTH gradients in another order: DEPTH eps of a gradient's size a step.

    SGD passes that on, STEPS times at most (momentum: 1 / (1 - 0.9) times more). AdamW divides by
    the gradient's own size, so an update of lr is off by DEPTH eps lr, more where an entry's sum
    cancels: one in a hundred entries loses two digits; 100 covers those.
    """
    tied, untied = pair(kind, 1, "mean", clip, 2, torch.float32)
    eps = torch.finfo(torch.float32).eps
    amplified = {"sgd": 1, "momentum": 10, "adamw": 100}[kind]
    largest = max(float(w.abs().max()) for w in untied)
    bound = amplified * STEPS * DEPTH * eps * largest
    gap = float((torch.stack(tied) - torch.stack(untied)).abs().max())
    assert gap < bound
    assert bound < 0.02 * largest, "the bound itself must say something"


def weights_after(
    optimiser: Callable[[list[nn.Parameter]], Optimizer],
    convention: Convention,
    clip: float | None = None,
) -> Tensor:
    """The tied block's weights after STEPS updates."""
    task, model, stack = build(1)
    outside = [p for n, p in model.named_parameters() if not n.startswith("stack.")]
    for parameter in outside:  # used once: the two conventions agree there, and it would mix in
        parameter.requires_grad_(False)
    optimizer = optimiser([p for p in model.parameters() if p.requires_grad])
    rule = GradientRule(model, convention, clip)
    for step in range(STEPS):
        optimizer.zero_grad()
        task.loss(model, task.batch(0, step)).backward()
        rule.apply()
        optimizer.step()
    return layer_weights(stack)[0]


def test_sgd_by_the_sum_is_sgd_by_the_mean_at_n_times_the_rate() -> None:
    by_sum = weights_after(lambda p: SGD(p, lr=0.001), "sum")
    by_mean = weights_after(lambda p: SGD(p, lr=0.001 * DEPTH), "mean")
    torch.testing.assert_close(by_sum, by_mean, rtol=1e-11, atol=1e-12)


def test_adam_sees_the_factor_through_its_epsilon_alone() -> None:
    """Without epsilon the same path; with a large one the mean moves less."""
    same = [weights_after(lambda p: AdamW(p, lr=0.01, eps=0.0), c) for c in ("mean", "sum")]
    torch.testing.assert_close(same[0], same[1], rtol=1e-10, atol=1e-10)
    start = layer_weights(build(1)[2])[0]
    moved = {
        c: float(
            (
                weights_after(lambda p: AdamW(p, lr=0.01, eps=1.0, weight_decay=0.0), c) - start
            ).norm()
        )
        for c in ("mean", "sum")
    }
    assert moved["sum"] > 1.5 * moved["mean"]


def test_clipping_by_the_mean_means_the_untied_norm() -> None:
    """By the sum the norm of a tied stack is sqrt(n) times larger: it is clipped sooner."""
    task, model, _ = build(1)
    for parameter in [p for n, p in model.named_parameters() if not n.startswith("stack.")]:
        parameter.requires_grad_(False)
    norms = {}
    for convention in ("mean", "sum"):
        model.zero_grad()
        task.loss(model, task.batch(0, 0)).backward()
        norms[convention] = float(GradientRule(model, convention).apply())
    assert norms["sum"] == pytest.approx(math.sqrt(DEPTH) * norms["mean"], rel=1e-12)


def test_in_an_untied_stack_the_conventions_are_one() -> None:
    task, model, _ = build(None)
    found = []
    for convention in ("mean", "sum"):
        model.zero_grad()
        task.loss(model, task.batch(0, 0)).backward()
        GradientRule(model, convention, 0.1).apply()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def state_after_untie(convention: Convention, moments: Moments) -> dict[str, dict[str, Tensor]]:
    """AdamW's state just after an untie at update 6, before that update."""
    task = RegressionTask(depth=DEPTH, dtype=torch.float64)
    model = task.build(0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("stack."))
    schedule = SweFixed(until=6)
    prepare(find_stack(model)[1], schedule)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, eps=0.0)
    swe = ShareThenUnshare(model, optimizer, schedule, 20, convention=convention, moments=moments)
    for step in range(7):
        batch = task.batch(0, step)
        event = swe.begin_step(step, partial(task.loss, model, batch))
        if event is not None:
            return optimizer_state_by_name(model, optimizer)
        task.loss(model, batch).backward()
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()
    raise AssertionError("never untied")


def test_after_an_untie_summed_moments_are_too_large() -> None:
    """Copied: n and n^2 times the mean's. Rescaled: the same under both conventions."""
    by = {(c, m): state_after_untie(c, m) for c in ("mean", "sum") for m in ("copy", "rescale")}
    for name, state in by["mean", "copy"].items():
        copied, other = by["sum", "copy"][name], by["sum", "rescale"][name]
        torch.testing.assert_close(copied["exp_avg"], DEPTH * state["exp_avg"], rtol=1e-9, atol=0)
        torch.testing.assert_close(
            copied["exp_avg_sq"], DEPTH**2 * state["exp_avg_sq"], rtol=1e-9, atol=0
        )
        for key in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(
                other[key], by["mean", "rescale"][name][key], rtol=1e-9, atol=0
            )


def bf16_gradient(model: nn.Module, task: RegressionTask, *, cache: bool) -> Tensor:
    """Gradient of the first block's matrices from a forward pass in bfloat16."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cache):
        loss = task.loss(model, task.batch(0, 0))
    loss.backward()
    block = find_stack(model)[1].blocks[0]
    return torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None])


def test_autocasts_weight_cache_adds_gradients_in_bfloat16() -> None:
    """With it, an error of bfloat16's size on top; without, the untied layers' own sum.

    The reference is the untied stack with the same weights, its layers' gradients (each from the
    same bfloat16 arithmetic) added in float32.
    """
    task = RegressionTask(depth=12, width=32, batch=16)
    tied, untied = task.build(0), task.build(0)
    prepare(find_stack(tied)[1], AlwaysShared())
    stack = find_stack(untied)[1]
    stack.equalise()
    bf16_gradient(untied, task, cache=False)
    wanted = torch.stack(
        [
            torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None])
            for block in stack.blocks
        ]
    ).sum(0)
    error = {
        cache: float((bf16_gradient(tied, task, cache=cache) - wanted).norm() / wanted.norm())
        for cache in (False, True)
    }
    print(f"relative error of the tied gradient: cache {error[True]:.1e}, none {error[False]:.1e}")
    assert error[False] < 12 * torch.finfo(torch.float32).eps
    assert 1e-3 < error[True] < 12 * torch.finfo(torch.bfloat16).eps


def test_every_sentence_of_the_page_names_a_test_that_exists() -> None:
    here = Path(__file__)
    page = here.parents[3] / "docs" / "sharing.md"
    names = [
        part for part in page.read_text(encoding="utf-8").split("`") if part.startswith("test_")
    ]
    source = "".join(p.read_text(encoding="utf-8") for p in here.parents[1].rglob("test_*.py"))
    assert len(names) >= 10
    assert [name for name in names if f"def {name}(" not in source] == []
