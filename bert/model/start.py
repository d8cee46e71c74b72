"""Weights to start a model with instead of a draw: an untied model's, tied as a schedule begins.

A stack that begins tied needs one block for several layers: their mean, which is the point nearest
to all of them (it minimises the sum of squared distances, parameter by parameter), or one of them.
A stack that begins untied takes each layer as it is, and computes the function that the weights
did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bert.model.config import BertConfig
from bert.model.encoder import Bert
from swe.base.config import require
from swe.base.files import json_digest
from swe.sharing.layout import Layout
from swe.transforms.carry import untied

Tie = Literal["average"] | int
"""How layers that are to share become one: their mean, or that of them, counted from 0."""

StepLoss = Callable[[nn.Module, int, torch.device], Tensor]
"""A task's loss of a model on the batch of a number, on a device."""


@dataclass(frozen=True, eq=False)
class Start:
    """Weights of an untied model of ``config``, and the layout that a run begins with.

    ConfigError for a ``tie`` that is no repeat of the layout.
    """

    config: BertConfig
    weights: Mapping[str, Tensor]
    """By the names of the untied model's parameters; others keep their draw."""
    digest: str
    """Of configuration and weights (:func:`digest_of`)."""
    layout: Layout
    """Tied, or untied where every layer keeps its own."""
    tie: Tie = "average"
    layers: int | None = None
    """Of the model that begins with them, where a run grows the layers that ``config`` has; models
    of any other depth keep their draw."""

    def __post_init__(self) -> None:
        layout = self.layout
        last = (layout.repeats if layout.is_untied else min(layout.groups)) - 1
        known = self.tie == "average" or (isinstance(self.tie, int) and 0 <= self.tie <= last)
        require(known, "--start-tie", self.tie, f"average, or a layer (of units, one) in 0..{last}")

    def describe(self) -> dict[str, Any]:
        """What decides the outcome: the weights, and how they are tied where they are."""
        tied = not self.layout.is_untied
        return {"sha256": self.digest} | ({"tie": self.tie} if tied else {})

    def begin(self, model: Bert, loss: StepLoss) -> None:
        """Give an untied ``model`` its start in a task whose loss on a training batch is ``loss``.

        ConfigError as :meth:`apply`.
        """
        self.apply(model)

    @property
    def said(self) -> str:
        """What tying does to the function, in words; "" where nothing is tied."""
        if self.layout.is_untied:
            return ""
        if self._alike():
            return "layers that share are alike already: tying changes nothing"
        one = "their mean" if self.tie == "average" else f"number {self.tie} of them"
        return f"layers that share begin as {one}: another function"

    def _alike(self) -> bool:
        """Whether the layers that are to share have the same weights."""
        heads = [f"stack.blocks.{layer}." for layer in range(self.layout.depth)]
        firsts = [heads[self.layout.owner.index(block)] for block in self.layout.owner]
        return all(
            torch.equal(tensor, self.weights[first + name.removeprefix(head)])
            for head, first in zip(heads, firsts, strict=True)
            for name, tensor in self.weights.items()
            if name.startswith(head)
        )

    @torch.no_grad()
    def apply(self, model: Bert) -> None:
        """Give an untied ``model`` the weights; layers that are to share get the same ones.

        ConfigError for a weight that is no parameter of the model.
        """
        if self.layers not in (None, len(model.stack.blocks)):
            return
        own = dict(model.named_parameters())
        for name, tensor in self.weights.items():
            require(name in own, "--start-from", name, "a weight of the model to be trained")
            own[name].copy_(tensor)
        owner = self.layout.owner
        blocks = [dict(block.named_parameters()) for block in model.stack.blocks]
        for shared in sorted(set(owner)):
            layers = [layer for layer, block in enumerate(owner) if block == shared]
            if len(layers) == 1:
                continue
            for name in blocks[layers[0]]:
                tensors = [blocks[layer][name] for layer in layers]
                if self.tie == "average":
                    one = torch.stack([t.double() for t in tensors]).mean(0)
                else:
                    one = tensors[self.tie].clone()
                for tensor in tensors:
                    tensor.copy_(one)


def untied_weights(model: Bert) -> dict[str, Tensor]:
    """Return the weights of ``model`` as an untied one has them: a tied layer's once a layer."""
    state = {name: tensor.detach() for name, tensor in model.named_parameters()}
    return untied(state, "stack.blocks", model.stack.layout)


def digest_of(config: BertConfig, weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of a shape (dropout aside) and every weight's name and bytes."""
    shape = config.describe()
    del shape["dropout"]  # a run sets its own
    digest = hashlib.sha256(json_digest(shape).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().float().cpu().contiguous()
        digest.update(f"\n{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
