"""Products multiplied out: what fits, and why their moments cannot be carried."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from swe.base.errors import ConfigError
from swe.transforms.factors import factored, multiplied_weights, product


def some(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=draw)


def test_blocks_are_multiplied_one_by_one() -> None:
    left, right = some(3, 5, 2), some(3, 2, 4, seed=1)
    expected = torch.cat([a @ b for a, b in zip(left, right, strict=True)])
    assert torch.equal(product(left, right), expected)
    assert product(left[0].float(), right[0].float()).dtype == torch.float32


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
