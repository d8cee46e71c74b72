"""Dense maps: the dual by the shorter way, and blocks that are multiplied alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swe.transforms.carry import grown_state
from swe.transforms.maps import Dense, Line, Placed, Power, Term


def drawn(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=draw)


@pytest.mark.parametrize("kind", ["tall", "square", "wide", "of low rank"])
def test_the_dual_is_that_of_the_pseudoinverse(kind: str) -> None:
    """Rounding of float64 times a condition of some tens."""
    shape = {"tall": (7, 4), "square": (4, 4), "wide": (3, 5), "of low rank": (6, 4)}[kind]
    matrix = drawn(*shape)
    if kind == "of low rank":
        matrix[:, 3] = matrix[:, 0] - 2 * matrix[:, 1]
    expected = torch.linalg.pinv(matrix).T
    assert torch.allclose(Dense(matrix).dual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_placed_block_is_the_map_of_zeros_around_it(axis: int) -> None:
    placed = Placed.at(Dense(drawn(3, 2)), (3, 4), (9, 6))
    whole, tensor = Dense(placed.matrix), drawn(6, 6, seed=1)
    assert torch.allclose(placed.weights(tensor, axis), whole.weights(tensor, axis), atol=1e-12)
    powers: tuple[Power, ...] = (1, 2)
    for power in powers:
        found = placed.gradients(tensor, axis, power)
        expected = torch.tensordot(placed.dual**power, tensor, dims=([1], [axis]))
        assert torch.allclose(found, expected.movedim(0, axis), rtol=0, atol=1e-12)


def test_moments_are_mapped_once_for_all_lines_that_sum_them() -> None:
    """And no two of them are one tensor, nor one of the old ones."""
    calls: list[Power] = []

    class Counted(Dense):
        def gradients(self, tensor: Tensor, axis: int, power: Power) -> Tensor:
            calls.append(power)
            return tensor * 2

    one = Counted(drawn(2, 2))
    lines: dict[str, Line] = {f"new{i}": (Term("a", (one,)), Term("b", (None,))) for i in range(3)}
    lines["kept"] = (Term("b", (None,)),)
    states = {name: {"exp_avg": drawn(2), "exp_avg_sq": drawn(2)} for name in "ab"}
    found = grown_state(lines, states, "mapped")
    assert calls == [1, 2]
    assert list(found) == list(lines)
    for i in range(3):
        wanted = 2 * states["a"]["exp_avg"] + states["b"]["exp_avg"]
        assert torch.equal(found[f"new{i}"]["exp_avg"], wanted)
    storages = [s[key].data_ptr() for table in (found, states) for s in table.values() for key in s]
    assert len(set(storages)) == len(storages)
