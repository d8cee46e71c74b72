"""Sub-model training: its draws and their probabilities; what a stack computes behind the cut."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.run.run_config import TrainConfig
from swe.sharing.gates import Gates
from swe.sharing.layers import share_layers
from swe.sharing.layout import Layout
from swe.sharing.similarity import LayerSimilarity
from swe.sharing.stack import find_stack
from swe.sharing.submodels import SubmodelTraining
from tests.swe.sharing.residual import ResidualBlock, ResidualNet, start

SAMPLER = SubmodelTraining(layers=2, begin=0.25, until=0.5)
INSIDE, STEPS, DEPTH, WIDTH = 30, 100, 6, 5


def drawn(seed: int, step: int = INSIDE) -> tuple[list[int], int | None]:
    """The layers of an update, and the lowest in training."""
    active = SAMPLER.active(step, STEPS, DEPTH, seed)
    assert set(active.values()) <= {1.0}
    return list(active), SAMPLER.cut(step, STEPS, DEPTH, seed)


def test_a_draw_is_a_prefix_and_trains_its_top_layers() -> None:
    """l of 2, 4, 6 layers, uniformly: within 5 standard errors of 2000 / 3."""
    found = Counter(len(drawn(seed)[0]) for seed in range(2000))
    for count in (found[2], found[4], found[6]):
        assert count == pytest.approx(2000 / 3, abs=5 * (2000 * (1 / 3) * (2 / 3)) ** 0.5)
    assert found.total() == sum(found[size] for size in (2, 4, 6))
    for seed in range(20):
        layers, cut = drawn(seed)
        assert layers == list(range(len(layers)))
        assert cut == len(layers) - 2


def test_probabilities_are_those_of_all_draws_alike() -> None:
    """By enumeration of the three sub-models."""
    models = (2, 4, 6)
    run = [sum(layer < size for size in models) / 3 for layer in range(DEPTH)]
    trained = [sum(size - 2 <= layer < size for size in models) / 3 for layer in range(DEPTH)]
    assert SAMPLER.keep(INSIDE, STEPS, DEPTH) == pytest.approx(run)
    assert SAMPLER.trains(INSIDE, STEPS, DEPTH) == pytest.approx(trained)


def test_draws_are_of_seed_and_step() -> None:
    sizes = [[len(drawn(seed, step)[0]) for step in range(25, 50)] for seed in (0, 0, 1)]
    assert sizes[0] == sizes[1] != sizes[2]
    assert len(set(sizes[0])) == 3


@pytest.mark.parametrize("step", [0, 24, 50, 99])
def test_outside_the_stage_all_layers_run_and_train(step: int) -> None:
    assert drawn(7, step) == (list(range(DEPTH)), None)
    ones = (1.0,) * DEPTH
    assert SAMPLER.keep(step, STEPS, DEPTH) == SAMPLER.trains(step, STEPS, DEPTH) == ones
    assert step not in SAMPLER.during(STEPS)


def test_moments_are_updates_or_shares_of_the_run() -> None:
    assert SAMPLER.during(100) == range(25, 50)
    assert SAMPLER.during(2) == range(1, 2), "one update at least"
    assert SubmodelTraining(layers=1, until=7).during(9) == range(7)
    assert SAMPLER.pinned(100) == SubmodelTraining(layers=2, begin=25, until=50)
    assert SAMPLER.pinned(100).during(400) == range(25, 50)


class Looped(nn.Module):
    """A foreign model: a plain list of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList(ResidualBlock(WIDTH) for _ in range(DEPTH))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.embed(inputs)
        for layer in self.layers:
            hidden = layer(hidden)
        out: Tensor = self.head(hidden)
        return out


def model_of(kind: str) -> nn.Module:
    """A stack of ours, or a foreign model's list that is adopted."""
    if kind == "own":
        model: nn.Module = ResidualNet(DEPTH, WIDTH)
    else:
        model = Looped()
        share_layers(model, "layers", Layout.untied(DEPTH))
    start(model.double(), 5)
    return model


@pytest.mark.parametrize("kind", ["own", "foreign"])
@pytest.mark.parametrize("size", [2, 4, 6])
def test_gradients_are_those_of_the_shallow_model(kind: str, size: int) -> None:
    """By autograd through the bottom layers written as a loop: bit for bit, the same operations."""
    model = model_of(kind)
    inputs = torch.randn(3, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stack = find_stack(model)[1]
    gates = Gates()
    with torch.no_grad():
        gates.check(model, lambda: model(inputs))
    with gates.within(stack, dict.fromkeys(range(size), 1.0), size - 2):
        loss = model(inputs).square().mean()
        loss.backward()
    blocks, head = stack.layer_modules(), model.get_submodule("head")
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    hidden = model.get_submodule("embed")(inputs)
    for block in blocks[:size]:
        hidden = block(hidden)
    wanted = head(hidden).square().mean()
    assert torch.equal(loss, wanted)
    wanted.backward()
    trained = {id(p) for one in (*blocks[size - 2 : size], head) for p in one.parameters()}
    for name, parameter in model.named_parameters():
        gradient = found[name]
        assert (gradient is not None) == (id(parameter) in trained), name
        if gradient is not None:
            assert parameter.grad is not None
            assert torch.equal(gradient, parameter.grad), name


def test_a_cut_switches_no_gradients_on() -> None:
    model = model_of("own")
    stack = model.get_submodule("stack")
    inputs, gates = torch.zeros(1, WIDTH, dtype=torch.float64), Gates()
    with torch.no_grad():
        gates.check(model, lambda: model(inputs))
        with gates.within(find_stack(model)[1], dict.fromkeys(range(4), 1.0), 2):
            assert not stack(inputs).requires_grad


def test_a_configuration_is_read_back_and_others_are_refused() -> None:
    config = TrainConfig(steps=40, dropping=SAMPLER)
    assert from_dict(TrainConfig, to_dict(config)) == config
    assert to_dict(SAMPLER)["kind"] == "sub-model-training"
    with pytest.raises(ConfigError, match="epochs"):
        from_dict(TrainConfig, {"steps": 40, "dropping": to_dict(SAMPLER) | {"epochs": 5}})
    with pytest.raises(ConfigError, match=r"similarity = .*frozen layers"):
        TrainConfig(steps=40, dropping=SAMPLER, similarity=LayerSimilarity(strength=0.1))
    with pytest.raises(ConfigError, match="until = 41: must be after update 10 and at most 40"):
        TrainConfig(steps=40, dropping=SubmodelTraining(layers=2, begin=0.25, until=41))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": 0}, "layers = 0: must be an integer, at least 1"),
        ({"begin": -1}, "begin = -1: must be an integer, at least 0"),
        ({"begin": 1.0}, r"begin = 1.0: must be in \(0, 1\)"),
        ({"until": 0}, "until = 0: must be an integer, at least 1"),
        ({"begin": 0.6}, "until = 0.5: must be after begin = 0.6"),
        ({"begin": 9, "until": 9}, "until = 9: must be after begin = 9"),
    ],
)
def test_impossible_values_are_refused(given: dict[str, int | float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(SubmodelTraining, {"kind": SAMPLER.kind, "layers": 2, "until": 0.5} | given)


@pytest.mark.parametrize("layers", [4, 6, 12])
def test_a_stack_of_no_several_sub_models_is_refused(layers: int) -> None:
    with pytest.raises(ConfigError, match=f"layers = {layers}: must be a divisor of the 6 of"):
        SubmodelTraining(layers=layers, until=0.5).validate(6)
