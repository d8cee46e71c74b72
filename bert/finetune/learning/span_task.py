"""SQuAD: an answer is a span of a paragraph, or nothing (2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bert.finetune.data.rows import Rows
from bert.finetune.data.squad import Question, Questions
from bert.finetune.data.windows import Answer, Windows, find_answers, make_windows
from bert.finetune.learning.config import SQUAD, FinetuneConfig
from bert.finetune.learning.model import span_loss
from bert.finetune.learning.start import StartingPoint
from bert.finetune.learning.task import FinetuneTask, Judged, check_length, outputs_of
from bert.finetune.scoring import squad_metrics
from swe.run.task import Batch


@dataclass(frozen=True)
class SpanTask(FinetuneTask):
    """SQuAD of one version; several training files are one after another."""

    config: FinetuneConfig
    pretrained: StartingPoint
    train: Sequence[Questions]
    dev: Questions
    rows: Rows = field(init=False)
    dev_windows: Windows = field(init=False)

    def __post_init__(self) -> None:
        check_length(self.config, self.pretrained)
        asked = [row for part in self.train for row in part.rows]
        object.__setattr__(self, "rows", self.windows(asked).rows)
        object.__setattr__(self, "dev_windows", self.windows(self.dev.rows))

    @property
    def outputs(self) -> None:
        """Span head."""
        return None

    @property
    def version(self) -> str:
        """1.1 or 2.0."""
        return SQUAD[self.config.task]

    def windows(self, questions: Sequence[Question]) -> Windows:
        """Cut paragraphs by the recipe."""
        config = self.config
        return make_windows(
            questions,
            self.pretrained.vocabulary,
            max_length=config.max_length,
            stride=config.stride,
            max_query=config.max_query,
        )

    def sources(self) -> dict[str, Any]:
        """Checksums and sizes of the files."""
        parts = [(f"train {n}", part) for n, part in enumerate(self.train)] + [("dev", self.dev)]
        return {name: {"sha256": p.sha256, "questions": len(p.rows)} for name, p in parts}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of start and end, in nats."""
        logits = model(batch["inputs"], batch["segments"], batch["lengths"])
        return span_loss(logits, batch["starts"], batch["ends"])

    @torch.no_grad()
    def answer(self, model: nn.Module, device: torch.device) -> tuple[list[Answer], float]:
        """Answer the development questions; also returns the mean loss over windows."""
        windows = self.dev_windows
        outputs = outputs_of(model, windows.rows, device)
        aims = windows.rows.targets
        total = 0.0
        for row, start, end in zip(outputs, aims["starts"], aims["ends"], strict=True):
            total += float(np.logaddexp.reduce(row[0]) - row[0, start]) / 2
            total += float(np.logaddexp.reduce(row[1]) - row[1, end]) / 2
        starts, ends = [row[0] for row in outputs], [row[1] for row in outputs]
        answers = find_answers(self.dev.rows, windows, starts, ends, self.config.max_answer)
        return answers, total / len(outputs)

    def judge_answers(self, answers: Sequence[Answer]) -> Judged:
        """Score answers by the official script of the version."""
        questions = self.dev.rows
        texts = {row.key: a.text for row, a in zip(questions, answers, strict=True)}
        constant = len(set(texts.values())) == 1
        if self.version == "1.1":
            return Judged(squad_metrics.score_v1(questions, texts), "f1", constant, 0.0)
        odds = {row.key: a.no_answer_probability for row, a in zip(questions, answers, strict=True)}
        scores = squad_metrics.score_v2(questions, texts, odds, threshold=0.5)
        never = 100.0 * sum(not row.answers for row in questions) / len(questions)
        limit = scores["best_f1_thresh"]
        constant = constant or all(odds[key] > limit for key in odds)
        return Judged(scores, "best_f1", constant, never)

    def judge(self, model: nn.Module, device: torch.device) -> tuple[Judged, float]:
        """Score the development part."""
        answers, loss = self.answer(model, device)
        return self.judge_answers(answers), loss
