"""A language learnt by an encoder of transformers instead of ours, as a task of the same loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from bert.huggingface.config import CLASSES
from bert.huggingface.stock import build_stock, require_transformers, stock_family
from bert.languages.task import LanguageTask
from swe.base.config import require


@dataclass(frozen=True)
class StockLanguageTask(LanguageTask):
    """The rows, loss and evaluation of a :class:`LanguageTask`; the model is not ours.

    Raises ConfigError also where transformers is not installed.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        scale = self.config.branch_scale
        require(scale == 1.0, "branch_scale", scale, "1 in a stock encoder")
        require_transformers()

    def describe(self) -> dict[str, Any]:
        """As for our encoder, with the class that takes its place."""
        return super().describe() | {"encoder": CLASSES[stock_family(self.config)]}

    def build(self, seed: int) -> nn.Module:
        """Return the stock model, its list of layers adopted."""
        return build_stock(self.start, seed)
