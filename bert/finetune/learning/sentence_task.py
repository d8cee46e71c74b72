"""GLUE tasks: one or two sentences, one class or score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bert.finetune.data.glue import Examples
from bert.finetune.data.rows import Rows, sentence_rows
from bert.finetune.data.tasks import GlueTask
from bert.finetune.learning.config import FinetuneConfig
from bert.finetune.learning.model import sentence_loss
from bert.finetune.learning.start import StartingPoint
from bert.finetune.learning.task import FinetuneTask, Judged, check_length, outputs_of
from bert.finetune.scoring import metrics
from swe.run.task import Batch


@dataclass(frozen=True)
class SentenceTask(FinetuneTask):
    """A GLUE task. Raises ConfigError when rows are longer than the model's positions."""

    config: FinetuneConfig
    pretrained: StartingPoint
    glue: GlueTask
    parts: dict[str, Examples]
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        check_length(self.config, self.pretrained)
        object.__setattr__(self, "rows", self.rows_of(self.parts["train"]))

    def rows_of(self, part: Examples) -> Rows:
        """Tokenise a part."""
        return sentence_rows(
            part.rows,
            self.pretrained.vocabulary,
            self.config.max_length,
            regression=self.glue.labels is None,
        )

    @property
    def outputs(self) -> int:
        """Classes, or 1 for a score."""
        return self.glue.outputs

    def sources(self) -> dict[str, Any]:
        """Checksum, rows, torn and empty rows of the parts that are learnt and selected from."""
        return {
            name: {"sha256": part.sha256, "rows": len(part.rows), "torn": len(part.torn)}
            | ({"empty": len(part.empty)} if part.empty else {})
            for name, part in self.parts.items()
            if name in ("train", "dev")
        }

    def other_parts(self, *, labelled: bool) -> dict[str, str]:
        """Checksums of the parts that are only answered, those with labels or those without."""
        return {
            name: part.sha256
            for name, part in self.parts.items()
            if name not in ("train", "dev") and (part.rows[0].label is not None) == labelled
        }

    def notes(self) -> list[str]:
        """What is odd about the files and the rows, a line each."""
        told = [part.note for part in self.parts.values()]
        return [note for note in [*told, *super().notes()] if note]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy in nats, or squared error on the scale 0 to 5 (STS-B)."""
        logits = model(batch["inputs"], batch["segments"], batch["lengths"])
        return sentence_loss(logits, batch["labels"])

    @torch.no_grad()
    def predict(
        self, model: nn.Module, part: Examples, device: torch.device
    ) -> NDArray[np.float64]:
        """Return the class, or the score as it comes, of every example; (N,)."""
        return self._answers(np.array(outputs_of(model, self.rows_of(part), device)))

    def scores(self, predicted: NDArray[np.float64], part: Examples) -> dict[str, float]:
        """Return the task's scores of predictions on a labelled part."""
        return metrics.score(self.glue.metrics, predicted, _labels(part))

    def constants(self, part: Examples) -> dict[str, float]:
        """Return the best score of one answer for all examples of a labelled part, by metric."""
        truth = _labels(part)
        return {name: metrics.best_constant(name, truth) for name in self.glue.metrics}

    @torch.no_grad()
    def judge(self, model: nn.Module, device: torch.device) -> tuple[Judged, float]:
        """Score the development part."""
        part = self.parts["dev"]
        rows = self.rows_of(part)
        outputs = np.array(outputs_of(model, rows, device))
        predicted, truth = self._answers(outputs), _labels(part)
        labels = torch.from_numpy(cast(NDArray[Any], rows.targets["labels"]))
        loss = float(sentence_loss(torch.from_numpy(outputs), labels))
        spread = float(np.ptp(predicted))
        judged = Judged(
            self.scores(predicted, part),
            self.glue.metrics[0],
            spread < (0.01 if self.glue.labels is None else 1),
            metrics.best_constant(self.glue.metrics[0], truth),
        )
        return judged, loss

    def _answers(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.glue.labels is None:
            return outputs[:, 0]
        return outputs.argmax(axis=1).astype(np.float64)


def _labels(part: Examples) -> NDArray[np.float64]:
    return np.array([row.label for row in part.rows], dtype=np.float64)
