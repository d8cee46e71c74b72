"""SharedStack runs any same-shaped modules as a plain loop over the owner table would."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.stack import SharedStack, find_stack


class Gated(nn.Module):
    """Takes positional and keyword arguments, returns a tuple, has a buffer."""

    offset: Tensor

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.register_buffer("offset", torch.randn(width))

    def forward(self, hidden: Tensor, gate: Tensor, *, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        out = hidden + scale * gate * torch.tanh(self.linear(hidden)) + self.offset
        return out, out.sum()


def test_arguments_and_tuple_outputs_as_in_a_loop() -> None:
    torch.manual_seed(0)
    modules = [Gated() for _ in range(6)]
    layout = Layout.parse("2x3")
    stack = SharedStack(modules, layout)
    hidden, gate = torch.randn(2, 3), torch.rand(2, 3)
    out, sums = stack(hidden, gate, scale=0.5)
    expected, expected_sums = hidden, []
    for owner in layout.owner:
        expected, total = modules[owner](expected, gate, scale=0.5)
        expected_sums.append(total)
    assert torch.equal(out, expected)
    assert list(sums) == expected_sums


def test_tied_parameters_exist_once() -> None:
    modules = [nn.Linear(3, 3) for _ in range(4)]
    stack = SharedStack(modules, Layout.tied(4))
    assert [name for name, _ in stack.named_parameters()] == ["blocks.0.weight", "blocks.0.bias"]
    assert stack.blocks[0] is modules[0]


def test_relayout_copies_and_names_the_origin() -> None:
    stack = SharedStack([nn.Linear(2, 2)], Layout.tied(3))
    kept = stack.blocks[0]
    origin = stack.relayout(Layout.tied(3).split([0]))
    assert stack.blocks[0] is kept
    assert stack.blocks[1] is not kept
    assert torch.equal(stack.blocks[1].get_parameter("weight"), kept.get_parameter("weight"))
    assert origin == {
        "blocks.0.weight": "blocks.0.weight",
        "blocks.0.bias": "blocks.0.bias",
        "blocks.1.weight": "blocks.0.weight",
        "blocks.1.bias": "blocks.0.bias",
    }


def test_a_copied_block_carries_no_gradient() -> None:
    stack = SharedStack([nn.Linear(2, 2)], Layout.tied(2))
    stack(torch.ones(1, 2)).sum().backward()
    stack.relayout(Layout.untied(2))
    first, second = (block.weight.grad for block in stack.blocks)
    assert first is not None
    assert second is None


@pytest.mark.parametrize(
    ("modules", "layout", "message"),
    [
        ([nn.Linear(2, 2), nn.Linear(2, 3)], Layout.untied(2),
         r"modules\[1\].bias is \[3\] float32, modules\[0\].bias is \[2\] float32"),
        ([nn.Linear(2, 2), nn.Linear(2, 2, bias=False)], Layout.untied(2),
         r"modules\[1\].bias is absent"),
        ([nn.Linear(2, 2), nn.Identity()], Layout.untied(2), r"modules\[1\] is a Identity"),
        ([nn.Linear(2, 2)] * 3, Layout.untied(2), r"modules: 3 given; layout 2x1 takes 2"),
        ([], Layout.tied(2), r"modules: 0 given"),
    ],
)  # fmt: skip
def test_modules_that_cannot_share_are_refused(
    modules: list[nn.Module], layout: Layout, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SharedStack(modules, layout)


def test_retying_a_shared_stack_is_refused() -> None:
    stack = SharedStack([nn.Linear(2, 2)], Layout.tied(2))
    with pytest.raises(ConfigError, match="does not refine"):
        stack.retie(Layout.untied(2))


def test_find_stack_wants_exactly_one() -> None:
    with pytest.raises(ConfigError, match="0 SharedStack modules found"):
        find_stack(nn.Linear(2, 2))
