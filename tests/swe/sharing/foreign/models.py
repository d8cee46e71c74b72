"""Models of other people, in small: what a layer may keep, and how a model may run its layers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

WIDTH, DEPTH = 4, 4


class Layer(nn.Module):
    """A residual layer, the plain one."""

    inner: Any

    def __init__(self, index: int = 0, *, width: int = WIDTH) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + torch.tanh(self.inner(hidden))


class Model(nn.Module):
    """Loops over its list."""

    layers: Any

    def __init__(self, layer: Callable[[int], nn.Module] = Layer, depth: int = DEPTH) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList([layer(index) for index in range(depth)])
        self.out = nn.Linear(WIDTH, WIDTH)

    def body(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.out(self.body(self.into(hidden)))
        return out


class Cached(Layer):
    """Reads what an earlier layer of the same number left: a cache by the layer's index."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.depth_of_mine = index

    cache: dict[int, Tensor]

    def forward(self, hidden: Tensor) -> Tensor:
        before = self.cache.get(self.depth_of_mine, torch.zeros_like(hidden))
        self.cache[self.depth_of_mine] = hidden
        return hidden + torch.tanh(self.inner(hidden) + before)


class CachedModel(Model):
    """A fresh cache in each forward, as generation code has it by default."""

    def __init__(self) -> None:
        super().__init__(Cached)

    def body(self, hidden: Tensor) -> Tensor:
        cache: dict[int, Tensor] = {}
        for layer in self.layers:
            layer.__dict__["cache"] = cache
            hidden = layer(hidden)
        return hidden


class Auxiliary(Layer):
    """Leaves a loss and its activations on itself."""

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.inner(hidden)
        self.penalty = inner.square().mean()
        self.attention = torch.softmax(inner, -1)
        return hidden + torch.tanh(inner)


class AuxiliaryModel(Model):
    def __init__(self) -> None:
        super().__init__(Auxiliary)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = super().forward(hidden)
        penalties: list[Any] = [layer.penalty for layer in self.layers]
        return out + 0.1 * torch.stack(penalties).sum()


class BesideModel(Model):
    """Loops over a Python list that it keeps beside the registered one."""

    def __init__(self) -> None:
        super().__init__()
        self.order = list(self.layers)

    def body(self, hidden: Tensor) -> Tensor:
        for layer in self.order:
            hidden = layer(hidden)
        return hidden


class ChildrenModel(Model):
    """Loops over ``children()``, which names each module once."""

    def body(self, hidden: Tensor) -> Tensor:
        for layer in self.layers.children():
            hidden = layer(hidden)
        return hidden


class ClosureModel(Model):
    """Each layer's forward is replaced by a closure over it, as checkpoint wrappers do."""

    def __init__(self, *, reentrant: bool = False) -> None:
        super().__init__()
        for layer in self.layers:
            layer.forward = self._wrap(layer.forward, reentrant)

    @staticmethod
    def _wrap(forward: Callable[..., Any], reentrant: bool) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            return checkpoint(forward, *args, use_reentrant=reentrant)

        return wrapped


class WeightNorm(Layer):
    """Its weight is computed anew in a hook before each forward."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.inner = nn.utils.weight_norm(self.inner)


class SpectralNorm(Layer):
    """Each forward moves a power iteration."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.inner = nn.utils.spectral_norm(self.inner)


class Parametrized(Layer):
    def __init__(self, index: int) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.inner)


class Normed(Layer):
    """Running statistics of its own."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.norm(self.inner(hidden).flatten(0, 1)).view_as(hidden)
        return hidden + torch.tanh(inner)


class Recurrent(nn.Module):
    """Its weights are also in a flat list that the kernel takes."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.inner = nn.LSTM(WIDTH, WIDTH, batch_first=True)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.inner(hidden)[0]


class ListOfWeights(Layer):
    """Runs a weight that it also keeps in a list and a dict."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.all: list[Any] = [self.inner.weight, (self.inner.bias,)]
        self.named = {"weight": self.inner.weight}

    def forward(self, hidden: Tensor) -> Tensor:
        weight, (bias,) = self.all
        inner = nn.functional.linear(hidden, 0.5 * (weight + self.named["weight"]), bias)
        return hidden + torch.tanh(inner)


class Dropped(Layer):
    """Left out at random, by Python's generator."""

    def forward(self, hidden: Tensor) -> Tensor:
        if self.training and random.random() < 0.3:
            return hidden
        return super().forward(hidden)


class DroppedModel(Model):
    """LayerDrop: the model does not call the layer."""

    def body(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            if not self.training or random.random() > 0.4:
                hidden = layer(hidden)
        return hidden


class Experts(Layer):
    """Routes to one of two experts by its input's sign; one of them may stay without work."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.other = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        chosen = self.inner if float(hidden.detach().sum()) > 0 else self.other
        return hidden + torch.tanh(chosen(hidden))


class Dilated(nn.Module):
    """A temporal convolution whose dilation doubles, in a tuple on a module with weights."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.inner = nn.Conv1d(5, 5, 3, dilation=2**index, padding=2**index)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + torch.tanh(self.inner(hidden))


class DropPath(Layer):
    """A rate that grows with depth, an Identity at rate 0 as in timm."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.drop_path = nn.Dropout(0.1 * index) if index else nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.drop_path(torch.tanh(self.inner(hidden)))


class Alternating(Layer):
    """Every second layer has another activation."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.activation: Callable[[Tensor], Tensor] = (
            torch.tanh if index % 2 else nn.functional.gelu
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.activation(self.inner(hidden))


class Narrow(Layer):
    """For lists whose kinds alternate: no attribute differs, the shapes do."""

    def __init__(self, index: int) -> None:
        super().__init__()
        if index % 2:
            self.inner = nn.Linear(WIDTH, WIDTH, bias=False)
