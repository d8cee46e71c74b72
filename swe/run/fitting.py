"""A task's loss as a function of weights, for maps that are fitted on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.func import functional_call

from swe.transforms.transform import Loss

Numbered = Callable[[nn.Module, int], Tensor]
"""A loss of a model on the batch of a number."""


def loss_of(model: nn.Module, loss: Numbered) -> Loss:
    """Return ``loss`` of ``model`` with other weights, which it only borrows."""
    called = _Called(model, loss)

    def of(made: Mapping[str, Tensor], step: int) -> Tensor:
        found: Tensor = functional_call(
            called, {f"model.{name}": tensor for name, tensor in made.items()}, (step,)
        )
        return found

    return of


class _Called(nn.Module):
    """A loss of a model as a module, for functional_call."""

    def __init__(self, model: nn.Module, loss: Numbered) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, step: int) -> Tensor:
        return self.loss(self.model, step)
