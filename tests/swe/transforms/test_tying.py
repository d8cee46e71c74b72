"""Tying in mid-run: the nearest point that shares, and its moments; untying is its inverse."""

from __future__ import annotations

import torch

from swe.sharing.layout import Layout
from swe.transforms.carry import untied
from swe.transforms.transform import Made
from swe.transforms.tying import tied
from tests.swe.sharing.residual import GrowingRegression

ANATOMY = GrowingRegression(depth=4).anatomy
MIXED = Layout(4, 1, (1, 2, 1))


def drawn(seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    model = GrowingRegression(depth=4).build(0)
    return {n: torch.randn(p.shape, generator=draw) for n, p in model.named_parameters()}


def test_layers_that_share_go_to_the_nearest_point_that_does() -> None:
    """The gradient of the summed squared distances is zero there, and nothing else has moved."""
    weights = drawn(1)
    made = tied(Made(weights=weights, states={}), ANATOMY, MIXED)
    for name, tensor in made.weights.items():
        if name.startswith(("stack.blocks.1.", "stack.blocks.2.")):
            pair = [name.replace(name[13], layer, 1) for layer in "12"]
            slope = sum((tensor - weights[one] for one in pair), torch.zeros_like(tensor))
            assert slope.abs().max() < 1e-6, "a rounding of float32"
        else:
            assert torch.equal(tensor, weights[name])
    assert made.why_not == "layers that are to share were not alike"


def test_states_take_the_names_of_blocks_and_come_back_by_layers() -> None:
    """Layer 3 is block 2 of the mixed layout; a layer without state has no part in the mean."""
    first = drawn(2)
    states = {
        name: {"exp_avg": tensor, "step": torch.tensor(float(i))}
        for i, (name, tensor) in enumerate(first.items())
        if not name.startswith("stack.blocks.1.")
    }
    made = tied(Made(weights=drawn(1), states=states), ANATOMY, MIXED)
    for block, layer in ((0, 0), (1, 2), (2, 3)):
        for own in ANATOMY.layer:
            state = made.states[ANATOMY.name(block, own)]
            assert torch.equal(state["exp_avg"], first[ANATOMY.name(layer, own)])
            assert state["step"] == states[ANATOMY.name(layer, own)]["step"]
    assert not any(name.startswith("stack.blocks.3.") for name in made.states)
    back = untied(made.states, "stack.blocks", MIXED)
    again = tied(Made(weights=made.weights, states=back), ANATOMY, MIXED)
    assert again.why_not == "", "what is alike stays, bit for bit"
    assert all(torch.equal(again.weights[n], tensor) for n, tensor in made.weights.items())
    for name, state in again.states.items():
        assert torch.equal(state["exp_avg"], made.states[name]["exp_avg"])
