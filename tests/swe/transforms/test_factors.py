"""Products multiplied out: what fits, and why their moments cannot be carried."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swe.base.errors import ConfigError
from swe.transforms.factors import factored, multiplied_weights, nearest, product


def some(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=draw)


def test_blocks_are_multiplied_one_by_one() -> None:
    left, right = some(3, 5, 2), some(3, 2, 4, seed=1)
    expected = torch.cat([a @ b for a, b in zip(left, right, strict=True)])
    assert torch.equal(product(left, right), expected)
    assert product(left[0].float(), right[0].float()).dtype == torch.float32


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_nearest_product_is_off_by_what_is_cut(blocks: int) -> None:
    """Of each block the squares of the singular values beyond the rank, to 1e-12; none at full
    rank, nor of a matrix of that rank."""
    whole = some(blocks * 6, 4)
    cut = whole.reshape(blocks, 6, 4)
    tail = torch.linalg.svdvals(cut)[:, 2:].square().sum()
    left, right = nearest(whole, 2, blocks)
    assert left.shape[-2:] == (6, 2)
    assert right.shape[-2:] == (2, 4)
    assert float((product(left, right) - whole).square().sum()) == pytest.approx(float(tail))
    assert torch.allclose(left.mT @ left, right @ right.mT, rtol=0, atol=1e-12)
    for low, rank in ((whole, 4), (product(left, right), 2)):
        assert torch.allclose(product(*nearest(low, rank, blocks)), low, rtol=0, atol=1e-12)


def test_a_rank_above_the_matrix_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank = 5: must be at most 4, the whole matrix's"):
        nearest(some(6, 4), 5)
    with pytest.raises(ConfigError, match="blocks = 4: must be a divisor of 6"):
        nearest(some(6, 4), 2, 4)


def test_factors_do_not_tell_the_gradient_of_their_product() -> None:
    """Two gradients of W that differ outside U's columns and V's rows give the factors the same."""
    left, right = some(6, 2).requires_grad_(), some(2, 5, seed=1).requires_grad_()
    columns, rows = (m.detach() @ torch.linalg.pinv(m.detach()) for m in (left, right.T))
    unseen = (torch.eye(6).double() - columns) @ some(6, 5, seed=3) @ (torch.eye(5) - rows)
    one = some(6, 5, seed=2)
    seen = [
        torch.autograd.grad(((left @ right) * gradient).sum(), [left, right])
        for gradient in (one, one + unseen)
    ]
    assert float(unseen.norm()) > 1
    for first, second in zip(*seen, strict=True):
        assert torch.allclose(first, second, rtol=0, atol=1e-12)


def test_everything_but_factors_is_copied() -> None:
    weights = {"a.left": some(3, 2), "a.right": some(2, 4), "a.bias": some(3), "b.weight": some(1)}
    found = multiplied_weights(weights)
    assert list(found) == ["a.bias", "b.weight", "a.weight"]
    found["a.bias"].zero_()
    assert weights["a.bias"].abs().sum() > 0


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.left"], "a: has one factor, and a.right is missing"),
        (["a.right", "b.weight"], "a: has one factor, and a.left is missing"),
        (["a.left", "a.right", "a.weight"], "a: has factors and a weight; keep one of the two"),
    ],
)
def test_half_a_product_is_refused(names: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        factored(names)


@pytest.mark.parametrize("shapes", [((3, 2), (3, 2)), ((2, 3, 2), (3, 2, 2)), ((3,), (3,))])
def test_shapes_that_do_not_fit_are_refused(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    one, other = (some(*shape) for shape in shapes)
    with pytest.raises(ConfigError, match="have no product"):
        product(one, other)
