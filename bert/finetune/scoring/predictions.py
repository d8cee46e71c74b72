"""Prediction files as the GLUE server and the SQuAD scripts take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bert.finetune.data.glue import Examples
from bert.finetune.data.squad import Question
from bert.finetune.data.tasks import GlueTask
from bert.finetune.data.windows import Answer
from swe.base.files import write_json, write_text


def label_words(task: GlueTask, predicted: NDArray[np.float64]) -> list[str]:
    """Return predictions in the words of a submission; scores cut to 0..5, three decimals."""
    if task.labels is None:
        return [f"{value:.3f}" for value in np.clip(predicted, 0, 5)]
    return [task.labels[int(value)] for value in predicted]


def write_glue(path: Path, task: GlueTask, part: Examples, predicted: NDArray[np.float64]) -> None:
    """Write "index, prediction" rows under that header, in the order of the part."""
    words = label_words(task, predicted)
    rows = [f"{row.index}\t{word}\n" for row, word in zip(part.rows, words, strict=True)]
    write_text(path, "index\tprediction\n" + "".join(rows))


def write_squad(
    folder: Path,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    threshold: float | None = None,
) -> None:
    """Write ``predictions.json``: id to text.

    With a ``threshold`` (2.0) the text is "" where the probability of no answer exceeds it;
    ``na_prob.json`` holds the probabilities and ``spans.json`` the texts as they were before, the
    two from which the official script finds the best threshold again.
    """
    texts = {row.key: answer.text for row, answer in zip(questions, answers, strict=True)}
    if threshold is None:
        write_json(folder / "predictions.json", texts)
        return
    odds = {
        row.key: answer.no_answer_probability
        for row, answer in zip(questions, answers, strict=True)
    }
    write_json(folder / "predictions.json", apply_threshold(texts, odds, threshold))
    write_json(folder / "na_prob.json", odds)
    write_json(folder / "spans.json", texts)


def apply_threshold(
    texts: Mapping[str, str], odds: Mapping[str, float], threshold: float
) -> dict[str, str]:
    """Answer "" where the probability of no answer exceeds ``threshold``."""
    return {key: "" if odds[key] > threshold else text for key, text in texts.items()}
