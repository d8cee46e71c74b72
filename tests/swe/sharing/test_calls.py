"""Wrong orders of calls are told in one line; right ones, however odd, are not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.gradients import GradientRule
from swe.sharing.schedule import SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare
from tests.swe.sharing.test_optimizers import Net

STEPS, TAU = 8, 5


def loss_of(model: nn.Module, step: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(step)
    out: Tensor = model(torch.randn(6, 4, generator=source)).square().mean()
    return out


def tied(optimizer: str = "SGD", *, tau: int = TAU, **options: Any) -> ShareThenUnshare:
    model = Net()
    made = getattr(torch.optim, optimizer)(model.parameters(), lr=0.1)
    return adopt(model, "layers", SweFixed(until=tau), made, STEPS, **options)


def update(swe: ShareThenUnshare, step: int, *, finish: bool = True) -> None:
    swe.begin_step(step, partial(loss_of, swe.model, step))
    loss_of(swe.model, step).backward()
    if finish:
        swe.finish_gradients()
    swe.optimizer.step()
    swe.optimizer.zero_grad()


def test_finishing_twice_is_refused() -> None:
    swe = tied(clip_norm=1.0)
    swe.begin_step(0, partial(loss_of, swe.model))
    loss_of(swe.model).backward()
    swe.finish_gradients()
    gradients = [p.grad.clone() for p in swe.model.parameters() if p.grad is not None]
    with pytest.raises(ConfigError, match="called again on gradients that it has divided already"):
        swe.finish_gradients()
    kept = [p.grad for p in swe.model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, kept, strict=True))


def test_finishing_each_of_two_backward_passes_is_refused() -> None:
    """The second is added to the finished first: its mean would be divided again."""
    swe = tied()
    swe.begin_step(0, partial(loss_of, swe.model))
    loss_of(swe.model).backward()
    swe.finish_gradients()
    loss_of(swe.model, 1).backward()
    with pytest.raises(ConfigError, match="once for an update, after the last backward pass"):
        swe.finish_gradients()


def test_never_finishing_is_refused_at_the_next_step() -> None:
    swe = tied()
    update(swe, 0, finish=False)
    with pytest.raises(ConfigError, match=r"begin_step\(1\): .* stepped without finish_gradients"):
        swe.begin_step(1, partial(loss_of, swe.model, 1))


def probe_only(swe: ShareThenUnshare) -> None:
    for step in range(3):
        swe.begin_step(step, partial(loss_of, swe.model, step), measure=True)
        assert swe.statistics is not None


def skip_updates(swe: ShareThenUnshare) -> None:
    for step in range(3):
        swe.begin_step(step, partial(loss_of, swe.model, step))
        loss_of(swe.model, step).backward()
        swe.model.zero_grad()


def skip_after_finishing(swe: ShareThenUnshare) -> None:
    for step in range(3):
        swe.begin_step(step, partial(loss_of, swe.model, step))
        loss_of(swe.model, step).backward()
        swe.finish_gradients()
        swe.optimizer.zero_grad(set_to_none=False)


def accumulate(swe: ShareThenUnshare) -> None:
    for step in range(3):
        swe.begin_step(step, partial(loss_of, swe.model, step))
        for part in range(3):
            loss_of(swe.model, 10 * step + part).backward()
        swe.finish_gradients()
        swe.optimizer.step()
        swe.optimizer.zero_grad(set_to_none=False)


def begin_seldom(swe: ShareThenUnshare) -> None:
    swe.begin_step(0, partial(loss_of, swe.model))
    for step in range(3):
        loss_of(swe.model, step).backward()
        swe.finish_gradients()
        swe.optimizer.step()
        swe.optimizer.zero_grad(set_to_none=False)


def load_weights(swe: ShareThenUnshare) -> None:
    for step in range(3):
        swe.model.load_state_dict(copy.deepcopy(swe.model.state_dict()))
        swe.begin_step(step, partial(loss_of, swe.model, step), measure=True)


def within_a_closure(swe: ShareThenUnshare) -> None:
    """As Lightning has it: everything happens inside ``optimizer.step``."""
    for step in range(3):
        swe.begin_step(step, partial(loss_of, swe.model, step))

        def closure(step: int = step) -> float:
            with torch.enable_grad():
                swe.optimizer.zero_grad()
                loss = loss_of(swe.model, step)
                loss.backward()
                swe.finish_gradients()
            return float(loss.detach())

        swe.optimizer.step(closure)


def untied_without(swe: ShareThenUnshare) -> None:
    """Nothing is divided any more, so nothing is wrong."""
    for step in range(STEPS):
        update(swe, step, finish=step < TAU)


def change_after_finishing(swe: ShareThenUnshare) -> None:
    for step in range(3):
        swe.begin_step(step, partial(loss_of, swe.model, step))
        loss_of(swe.model, step).backward()
        swe.finish_gradients()
        torch.nn.utils.clip_grad_norm_(swe.model.parameters(), 0.1)
        swe.optimizer.step()
        swe.optimizer.zero_grad()


@pytest.mark.parametrize(
    "use",
    [
        probe_only, skip_updates, skip_after_finishing, accumulate, begin_seldom, load_weights,
        within_a_closure, untied_without, change_after_finishing,
    ],
)  # fmt: skip
def test_odd_uses_go_on(use: Callable[[ShareThenUnshare], None]) -> None:
    use(tied())


def test_the_sum_needs_no_finishing() -> None:
    swe = tied(convention="sum")
    for step in range(STEPS):
        update(swe, step, finish=False)
    assert swe.state.layout.is_untied


def test_an_optimizer_outlives_its_run() -> None:
    """The hook is the run's: once that is gone it does nothing."""
    swe = tied()
    model, optimizer = swe.model, swe.optimizer
    swe.begin_step(0, partial(loss_of, model))
    del swe
    for step in range(2):
        loss_of(model, step).backward()
        optimizer.step()
    assert copy.deepcopy(optimizer).state_dict()["state"] == optimizer.state_dict()["state"]


def scaled_update(
    swe: ShareThenUnshare, scaler: GradScaler, step: int, *, unscale: bool = False
) -> None:
    swe.begin_step(step, partial(loss_of, swe.model, step))
    scaler.scale(loss_of(swe.model, step)).backward()
    if unscale:
        scaler.unscale_(swe.optimizer)
    swe.finish_gradients()
    scaler.step(swe.optimizer)
    scaler.update()
    swe.optimizer.zero_grad()


@pytest.mark.parametrize("fused", [False, True])
def test_clipping_scaled_gradients_is_refused(fused: bool) -> None:
    model = Net()
    made = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
    swe = adopt(model, "layers", SweFixed(until=TAU), made, STEPS, clip_norm=1.0)
    scaler = GradScaler("cpu", init_scale=1024.0)
    scaled_update(swe, scaler, 0)
    with pytest.raises(ConfigError, match=r"call scaler\.unscale_\(optimizer\) before it"):
        scaled_update(swe, scaler, 1)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_unscaled_gradients_train_as_without_a_scaler(clip_norm: float | None) -> None:
    """A scale of two to the tenth changes no bit of the update."""
    plain, scaled = tied(clip_norm=clip_norm), tied(clip_norm=clip_norm)
    scaler = GradScaler("cpu", init_scale=1024.0)
    for step in range(STEPS):
        update(plain, step)
        scaled_update(scaled, scaler, step, unscale=clip_norm is not None)
    for one, other in zip(plain.model.parameters(), scaled.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_frozen_and_thawed_layers_are_seen() -> None:
    """Against gradients of an untied model with the same layers frozen at the same updates."""
    swe = tied(clip_norm=0.05)
    head: Any = swe.model.get_submodule("head")
    plain = Net()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for step in range(4):
        for model in (swe.model, plain):
            model.get_submodule("head").requires_grad_(step % 2 == 0)
        update(swe, step)
        loss_of(plain, step).backward()
        layers = [dict(layer.named_parameters()) for layer in plain.layers]
        for name in layers[0]:
            mean = torch.stack([kept(layer[name]) for layer in layers]).mean(0)
            for layer in layers:
                layer[name].grad = mean.clone()
        torch.nn.utils.clip_grad_norm_([p for p in plain.parameters() if p.requires_grad], 0.05)
        optimizer.step()
        optimizer.zero_grad()
        assert head.weight.requires_grad is (step % 2 == 0)
        for name, tensor in swe.model.state_dict().items():
            torch.testing.assert_close(tensor, plain.state_dict()[name], rtol=1e-5, atol=1e-7)


def kept(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def thawed(*, held: bool) -> ShareThenUnshare:
    model = Net()
    model.head.requires_grad_(False)
    made = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    swe = adopt(model, "layers", SweFixed(until=TAU), made, STEPS)
    update(swe, 0)
    model.head.requires_grad_(True)
    if held:
        made.add_param_group({"params": list(model.head.parameters())})
    return swe


def test_a_thawed_parameter_without_an_optimizer_is_named() -> None:
    swe = thawed(held=False)
    with pytest.raises(ConfigError, match=r"head\.bias is trainable now, but no optimizer holds"):
        swe.begin_step(1, partial(loss_of, swe.model))
    swe = thawed(held=False)
    loss_of(swe.model, 1).backward()
    with pytest.raises(ConfigError, match=r"head\.bias is trainable now, but no optimizer holds"):
        swe.finish_gradients()


def test_a_thawed_parameter_in_a_new_group_trains_on() -> None:
    swe = thawed(held=True)
    before = swe.model.get_parameter("head.weight").clone()
    for step in range(1, STEPS):
        update(swe, step)
    assert not torch.equal(before, swe.model.get_parameter("head.weight"))
    held = [p for group in swe.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in swe.model.parameters()}


class Tabled(nn.Module):
    """Each layer looks up its own table; so does the model. Sparse gradients or dense ones."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(9, 4, sparse=sparse)
        self.layers = nn.ModuleList([nn.Embedding(9, 4, sparse=sparse) for _ in range(3)])

    def forward(self, ids: Tensor) -> Tensor:
        hidden: Tensor = self.table(ids)
        for index, layer in enumerate(self.layers):
            hidden = hidden.tanh() + layer((ids + index) % 9)
        return hidden


def squares(model: nn.Module, ids: Tensor) -> Tensor:
    out: Tensor = model(ids).square().mean()
    return out


@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_sparse_gradients_are_those_of_dense_ones(clip_norm: float | None) -> None:
    ids = torch.tensor([[1, 1, 4], [4, 4, 0]])  # rows that repeat: their parts must be added first
    found = []
    for sparse in (True, False):
        model = Tabled(sparse)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        swe = adopt(model, "layers", SweFixed(until=2), optimizer, 4, clip_norm=clip_norm)
        norms = []
        for step in range(4):
            swe.begin_step(step, partial(squares, model, ids))
            squares(model, ids).backward()
            norms.append(float(swe.finish_gradients()))
            optimizer.step()
            optimizer.zero_grad()
        found.append((norms, model.state_dict()))
    (sparse_norms, sparse_state), (norms, state) = found
    assert sparse_norms == pytest.approx(norms, rel=1e-6)
    for name in state:
        torch.testing.assert_close(sparse_state[name], state[name], rtol=1e-6, atol=1e-7)


def test_clipping_reaches_sparse_gradients() -> None:
    model = Tabled(sparse=True)
    model(torch.tensor([1, 1, 2])).square().sum().backward()
    before = GradientRule(copy.deepcopy(model), clip_norm=None)
    for p, q in zip(before.parameters, model.parameters(), strict=True):
        p.grad = kept(q).clone()
    assert float(GradientRule(model, clip_norm=0.01).apply()) == float(before.apply())
    dense = [kept(p).to_dense().flatten() for p in model.parameters()]
    assert float(torch.cat(dense).norm()) == pytest.approx(0.01, rel=1e-5)
