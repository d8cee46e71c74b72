"""A start that is grown by a fitted map: the fit runs where the model is made, on its own task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator

from bert.model.anatomy import bert_anatomy
from bert.model.config import BertConfig
from bert.model.encoder import Bert
from bert.model.start import Start, StepLoss
from swe.base.config import require_count
from swe.run.fitting import loss_of
from swe.sharing.seeds import derive_seed
from swe.transforms.fitted import LEARNED
from swe.transforms.learned import Fit, Learned, fit

FIT_STEPS = 100
"""Updates of a fit, as both papers have it."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """A fit that is asked for. ConfigError for impossible values."""

    method: str
    """One of ``swe.transforms.fitted.LEARNED``."""
    large: BertConfig
    """The shape to grow to."""
    seed: int
    """Of the map's start and of dropout."""
    steps: int = FIT_STEPS
    """Updates."""
    device: str = "cpu"
    """Where the fit runs; it does not decide the outcome beyond rounding."""

    def __post_init__(self) -> None:
        require_count("--fit-steps", self.steps)

    def learned(self, small: BertConfig) -> Learned:
        """Return the map at its start. ConfigError where there is none between the two shapes."""
        draw = Generator().manual_seed(derive_seed(self.seed, "grow", self.method))
        return LEARNED[self.method](bert_anatomy(small), bert_anatomy(self.large), draw)


@dataclass(frozen=True, eq=False)
class FittedStart(Start):
    """``weights`` are the small model's, of the shape ``small``; a run starts with them grown.

    A run that is taken up fits again, to the same weights, before its checkpoint is read.
    """

    small: BertConfig = field(kw_only=True)
    fitting: Fitting = field(kw_only=True)
    fits: list[Fit] = field(default_factory=list, kw_only=True)
    """What the fit did, once it was made."""

    def describe(self) -> dict[str, Any]:
        """What decides the outcome: also the map and the updates of its fit."""
        grown = {"method": self.fitting.method, "steps": self.fitting.steps}
        return super().describe() | {"grow": grown}

    @property
    def said(self) -> str:
        """Nothing: layers are tied when the map is fitted, and the map's note says the rest."""
        return ""

    def begin(self, model: Bert, loss: StepLoss) -> None:
        """Fit the map on ``loss`` and give ``model`` the weights that it makes.

        What the map does not make (the pooler of sentence pairs) keeps its draw.
        """
        device = torch.device(self.fitting.device)
        learned = self.fitting.learned(self.small).to(device)
        weights = {name: tensor.to(device) for name, tensor in self.weights.items()}
        training = model.training
        model.to(device).train()
        of = loss_of(model, lambda model, step: loss(model, step, device))
        seed = derive_seed(self.fitting.seed, "fit")
        self.fits[:] = [fit(learned, weights, of, steps=self.fitting.steps, seed=seed)]
        model.to("cpu").train(training)
        with torch.no_grad():
            made = {name: tensor.cpu() for name, tensor in learned.weights(weights).items()}
        Start(self.config, made, self.digest, self.layout, self.tie).apply(model)
