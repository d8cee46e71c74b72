"""The in-place cross-entropy against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bert.model.cross_entropy import mean_cross_entropy


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [(torch.float64, 1e-13), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)],
)
def test_value_and_gradient(kind: torch.dtype, tolerance: float) -> None:
    """The value bit for bit, the gradient to the rounding of its type; logits far apart."""
    draw = torch.Generator().manual_seed(0)
    logits = (30 * torch.randn(7, 50, generator=draw)).to(kind).requires_grad_()
    labels = torch.randint(0, 50, (7,), generator=draw)
    wide = logits if kind == torch.float64 else logits.float()
    stock = functional.cross_entropy(wide, labels)
    [expected] = torch.autograd.grad(3 * stock, logits)
    ours = mean_cross_entropy(logits, labels)
    assert ours.dtype == wide.dtype
    assert torch.equal(ours, stock)
    [found] = torch.autograd.grad(3 * ours, logits)
    assert found.dtype == kind
    assert (found - expected).norm() <= tolerance * expected.norm()
    assert torch.equal(mean_cross_entropy(logits.detach(), labels), stock)


def test_equal_labels_and_a_gradient_by_differences() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([4, 4, 0])
    h = 1e-6
    [found] = torch.autograd.grad(mean_cross_entropy(logits, labels), logits)
    for row in range(3):
        for column in range(5):
            shift = torch.zeros_like(logits)
            shift[row, column] = h
            with torch.no_grad():
                up, down = (mean_cross_entropy(logits + s * shift, labels) for s in (1, -1))
            # Central differences: error h^2 of the third derivative, and rounding eps / h.
            assert float(found[row, column]) == pytest.approx(float(up - down) / 2 / h, abs=1e-8)


def test_a_second_backward_pass_is_refused() -> None:
    loss = mean_cross_entropy(torch.randn(2, 5, requires_grad=True), torch.tensor([1, 2]))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second backward pass"):
        loss.backward()
