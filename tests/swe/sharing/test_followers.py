"""Copies of the model that are averaged with it: untied as it is, with their own weights."""

from __future__ import annotations

import copy
import gc
import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.event import Event
from swe.sharing.followers import untie_copy
from swe.sharing.layout import Layout
from swe.sharing.schedule import Schedule, SweFixed, SweMultistage
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import SharedStack, all_stacks, find_stack

DEPTH, WIDTH, STEPS, TAU, DECAY = 4, 3, 9, 4, 0.75


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.into = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH)])
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.into(hidden)
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        out: Tensor = self.head(hidden)
        return out


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        foreign = Foreign()
        self.into, self.head = foreign.into, foreign.head
        self.stack = SharedStack(foreign.layers, Layout.untied(DEPTH))

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.head(self.stack(self.into(hidden)))
        return out


def loss_of(model: nn.Module, step: int) -> Tensor:
    source = torch.Generator().manual_seed(step)
    out: Tensor = model(torch.randn(5, WIDTH, generator=source)).square().mean()
    return out


def begun(
    kind: type[nn.Module], schedule: Schedule | None = None, **options: Any
) -> ShareThenUnshare:
    model, schedule = kind(), schedule or SweFixed(until=TAU)
    if isinstance(model, Own):
        prepare(model.stack, schedule)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        return ShareThenUnshare(model, optimizer, schedule, STEPS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    return adopt(model, "layers", schedule, optimizer, STEPS, **options)


Update = Callable[[Event | None, nn.Module], None]


def run(swe: ShareThenUnshare, update: Update) -> None:
    for step in range(max(0, swe.begun + 1), STEPS):
        event = swe.begin_step(step, partial(loss_of, swe.model, step))
        if event is not None:
            update(event, swe.model)
        loss_of(swe.model, step).backward()
        swe.finish_gradients()
        swe.optimizer.step()
        swe.optimizer.zero_grad()
        update(None, swe.model)


def layers_of(model: nn.Module) -> list[dict[str, Tensor]]:
    """Every layer's tensors, and last the others', whatever the layout."""
    _, stack = find_stack(model)
    layers = [dict(stack.blocks[owner].named_parameters()) for owner in stack.layout.owner]
    ours = {id(p) for p in stack.parameters()}
    rest = {n.removeprefix("module."): p for n, p in model.named_parameters() if id(p) not in ours}
    return [{n: t.detach() for n, t in one.items()} for one in (*layers, rest)]


class Expected:
    """The average of each layer's own weights, tied or not: kept as plain numbers."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = [{n: t.clone() for n, t in one.items()} for one in layers_of(model)]

    def __call__(self, event: Event | None, model: nn.Module) -> None:
        if event is None:
            for mine, theirs in zip(self.layers, layers_of(model), strict=True):
                for name, tensor in mine.items():
                    tensor.mul_(DECAY).add_(theirs[name], alpha=1 - DECAY)

    def check(self, average: list[dict[str, Tensor]]) -> None:
        for mine, theirs in zip(self.layers, average, strict=True):
            assert mine.keys() == theirs.keys()
            for name in mine:
                torch.testing.assert_close(theirs[name], mine[name], rtol=1e-6, atol=1e-7)


@torch.no_grad()
def blend(average: nn.Module, model: nn.Module) -> None:
    """As everybody writes it: nothing tells when the two run out of step."""
    for mine, theirs in zip(average.parameters(), model.parameters(), strict=False):
        mine.mul_(DECAY).add_(theirs, alpha=1 - DECAY)


SCHEDULES = [SweFixed(until=TAU), SweFixed(until=TAU, unit=2), SweMultistage(interval=2, rho=0.9)]


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("kind", [Foreign, Own])
def test_a_hand_written_average_follows(
    kind: type[nn.Module], schedule: Schedule, registered: bool
) -> None:
    swe = begun(kind, schedule)
    average, expected = copy.deepcopy(swe.model), Expected(swe.model)
    if registered:
        swe.follow(average)

    def update(event: Event | None, model: nn.Module) -> None:
        expected(event, model)
        if event is None:
            blend(average, model)
        elif not registered:
            untie_copy(event, average)

    run(swe, update)
    assert swe.state.layout.is_untied
    expected.check(layers_of(average))
    assert not torch.equal(*(layers_of(m)[1]["weight"] for m in (average, swe.model)))
    assert [n for n, _ in average.named_parameters()] == [
        n for n, _ in swe.model.named_parameters()
    ]


@pytest.mark.parametrize("registered", [True, False])
def test_torchs_averaged_model_follows(registered: bool) -> None:
    swe = begun(Foreign)
    average = AveragedModel(swe.model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    average.update_parameters(swe.model)  # its first update copies
    expected = Expected(swe.model)
    if registered:
        swe.follow(average)

    def update(event: Event | None, model: nn.Module) -> None:
        expected(event, model)
        if event is None:
            average.update_parameters(model)
        elif not registered:
            untie_copy(event, average)

    run(swe, update)
    expected.check(layers_of(average))
    assert len(list(average.parameters())) == len(list(swe.model.parameters()))


@pytest.mark.parametrize("wrap", [copy.deepcopy, AveragedModel])
def test_a_copy_made_before_adoption_is_tied_too(wrap: Callable[[Any], nn.Module]) -> None:
    model = Foreign()
    average = wrap(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    followers: list[Any] = [average]
    swe = adopt(model, "layers", SweFixed(until=TAU), optimizer, STEPS, followers=followers)
    expected = Expected(model)

    def update(event: Event | None, model: nn.Module) -> None:
        expected(event, model)
        if event is None:
            blend(average, model)

    run(swe, update)
    expected.check(layers_of(average))


@pytest.mark.parametrize("early", [True, False])
def test_tensors_by_name_and_in_a_list_follow(early: bool) -> None:
    model = Foreign()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)

    def copies() -> tuple[dict[str, Tensor], list[Tensor]]:
        named = {n: p.detach().clone() for n, p in model.named_parameters()}
        return named, [p.detach().clone() for p in model.parameters()]

    by_name, listed = copies()
    swe = adopt(
        model, "layers", SweMultistage(interval=2, rho=0.9), optimizer, STEPS,
        followers=[by_name, listed] if early else [],
    )  # fmt: skip
    if not early:
        by_name, listed = copies()
        swe.follow(by_name, listed)
    expected = Expected(model)

    def update(event: Event | None, model: nn.Module) -> None:
        expected(event, model)
        if event is None:
            for name, p in model.named_parameters():
                by_name[name].mul_(DECAY).add_(p.detach(), alpha=1 - DECAY)
            for mine, p in zip(listed, model.parameters(), strict=True):
                mine.mul_(DECAY).add_(p.detach(), alpha=1 - DECAY)

    run(swe, update)
    untied = Foreign()
    untied.load_state_dict(by_name)
    assert torch.equal(untied.get_parameter("layers.2.weight"), listed[6])
    layers = [dict[str, Tensor](layer.named_parameters()) for layer in untied.layers]
    expected.check([*layers, {n: t for n, t in by_name.items() if "layers" not in n}])


@pytest.mark.parametrize("kind", [Foreign, Own])
@pytest.mark.parametrize("wrap", [copy.deepcopy, AveragedModel])
def test_a_copy_left_behind_is_told(kind: type[nn.Module], wrap: Callable[[Any], Any]) -> None:
    """Once, at the first finish_gradients after the untie; untying it then is still in time."""
    swe = begun(kind)
    average = wrap(swe.model)
    events: list[Event | None] = []
    message = r"deep copies .* share their layers as 1x4, .*: 1\. .*swe\.untie_copy\(event, copy\)"
    with pytest.warns(UserWarning, match=message) as told:
        run(swe, lambda event, model: events.append(event))
    assert len(told) == 1
    (event,) = [event for event in events if event is not None]
    untie_copy(event, average)
    assert find_stack(average)[1].layout == swe.stack.layout


def test_no_other_copy_is_told() -> None:
    """Dead ones, those of a run of their own, and those that came out of a file."""
    swe = begun(Foreign)
    dead = copy.deepcopy(swe.model)
    rival = begun(Own)
    twin = ShareThenUnshare(
        copy.deepcopy(rival.model), rival.optimizer, SweFixed(until=TAU + 2), STEPS
    )
    file = io.BytesIO()
    torch.save(swe.model, file)
    file.seek(0)
    read = torch.load(file, weights_only=False)
    del dead
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(swe, lambda *_: None)
        run(rival, lambda *_: None)
    assert find_stack(read)[1].layout == twin.stack.layout == Layout.tied(DEPTH)
    gc.collect()


def test_what_is_no_copy_is_refused() -> None:
    swe = begun(Foreign)
    untied = Foreign()
    event = Event(TAU, Layout.tied(DEPTH), Layout.untied(DEPTH), 0.0, None)
    with pytest.raises(ConfigError, match=r"a Foreign without tied layers; .*adopt\(\.\.\., foll"):
        untie_copy(event, untied)
    with pytest.raises(ConfigError, match="a Foreign without tied layers"):
        swe.follow(untied)
    with pytest.raises(ConfigError, match="the model itself is one; give copies of it"):
        swe.follow(swe.model)
    with pytest.raises(ConfigError, match="a dict of which no key is a parameter"):
        swe.follow({"weight": torch.zeros(1)})
    with pytest.raises(ConfigError, match=r"a list, must be a module, a dict .* or a list"):
        swe.follow([torch.zeros(1)])
    other = Event(TAU, Layout.tied(DEPTH), Layout.tied(DEPTH, unit=2), 0.0, None)
    twin = copy.deepcopy(swe.model)
    with pytest.raises(ConfigError, match="share as 1x4, which cannot become 2x2"):
        untie_copy(other, twin)
    optimizer = torch.optim.SGD(untied.parameters())
    followers: list[Any] = [nn.Linear(2, 2)]
    with pytest.raises(
        ConfigError, match=r"a Linear in which no module has the model.s parameters"
    ):
        adopt(untied, "layers", SweFixed(until=TAU), optimizer, STEPS, followers=followers)
    assert all_stacks(untied) == []
    assert swe.followers.copies == []


def test_an_untied_copy_stays_as_it_is() -> None:
    swe = begun(Foreign)
    average = copy.deepcopy(swe.model)
    event = Event(TAU, Layout.tied(DEPTH), Layout.untied(DEPTH), 0.0, None)
    untie_copy(event, average)
    before = [id(p) for p in average.parameters()]
    untie_copy(event, average)
    assert [id(p) for p in average.parameters()] == before
