"""The best blind loss of a study's held-out predictions, computed once and kept beside its runs.

``blind.json`` in a study's folder, and under "blind" in its comparison or tables:

    loss          best blind loss on the held-out predictions, nats (bert.data.blind)
    unigram       the same for one to whom [MASK] is shown everywhere: the cross-entropy of p alone
    predictions   held-out predictions, unseen: how many of their labels the training text lacks
    tokens        ordinary tokens of the training rows, smoothing: counts that each kind has more

Masked tokens of a text alone have a plateau of this kind. A language's floor is known, and its
parts are counted as learnt or not (its blind loss is log n for a hop over n symbols, 0 for a fact,
which its own query tells). A causal model that sees one symbol, its own, knows the pairs of the
text, which is context: nothing stands between it and the rest. For these none is stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bert.data.blind import SMOOTHING, law_of, losses
from bert.data.pairs import pairs_to_mask
from bert.model.prediction import TokenPrediction
from bert.pretraining.next_sentence import NextSentenceTask
from bert.pretraining.task import VALIDATION_SEED, MaskedLanguageTask
from evidence.plateau import BLIND_FILE, bar, reached
from swe.base.files import read_json, read_lines, write_json

CHUNK = 1 << 12
"""Rows looked at together: 4 MB of them at 512 tokens."""


def blind_of(task: TokenPrediction) -> dict[str, Any] | None:
    """Return the best blind loss of a task's held-out predictions; None where it is not of text."""
    if not isinstance(task, MaskedLanguageTask):
        return None
    law = law_of(_training_rows(task), task.vocabulary, whole_word=task.whole_word)
    shown, labels = held_out(task)
    hidden = np.full_like(shown, task.vocabulary.mask_id)
    return {
        "loss": float(losses(law, task.vocabulary, shown, labels).mean()),
        "unigram": float(losses(law, task.vocabulary, hidden, labels).mean()),
        "predictions": int(labels.size),
        "unseen": int(np.count_nonzero(~law.seen[labels])),
        "tokens": law.tokens,
        "smoothing": SMOOTHING,
    }


def stated(out: Path, task: TokenPrediction) -> dict[str, Any] | None:
    """Return what ``blind.json`` in a study's folder says, computed first where it is missing."""
    known = blind_in(out)
    if known is None and (known := blind_of(task)) is not None:
        write_json(out / BLIND_FILE, known)
    return known


def blind_in(out: Path) -> dict[str, Any] | None:
    """Return the blind loss beside a study's runs; None where it was not computed."""
    path = out / BLIND_FILE
    found: dict[str, Any] | None = read_json(path) if path.exists() else None
    return found


def course(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return {"step", "loss"} of the evaluations among a run's logged rows."""
    valid = [row for row in rows if row["kind"] == "valid"]
    return {name: [row[name] for row in valid] for name in ("step", "loss")}


def summarised(folder: Path, summary: Mapping[str, Any], task: TokenPrediction) -> dict[str, Any]:
    """Add "plateau" to a finished run's summary, also in its folder, unless it is there.

    Best blind loss, least held-out loss, and the tokens after which the run left; None: it is
    stuck. A task without a plateau has its summary left as it is.
    """
    if "plateau" in summary or (blind := blind_of(task)) is None:
        return dict(summary)
    valid = course(read_lines(folder / "metrics.jsonl"))
    step = reached([int(step) for step in valid["step"]], valid["loss"], bar(blind))
    each = summary["tokens"] / summary["steps"]
    found = {
        "blind": blind,
        "least": min(valid["loss"]),
        "left_after_tokens": None if step is None else round(step * each),
    }
    told = dict(summary) | {"plateau": found}
    write_json(folder / "summary.json", told)
    return told


def in_words(plateau: Mapping[str, Any]) -> str:
    """Say in a line what a run's "plateau" holds."""
    blind, tokens = plateau["blind"], plateau["left_after_tokens"]
    came = "stuck on it" if tokens is None else f"left after {tokens} tokens"
    return (
        f"plateau: best loss blind to context {blind['loss']:.3f} nats, least loss reached "
        f"{plateau['least']:.3f}, it ends at {bar(blind):.3f}: {came}"
    )


def held_out(task: MaskedLanguageTask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the symbol shown and the label of every held-out prediction, as ``task.evaluate`` has
    them: the same rows, cut into the same batches, under the same masks."""
    places, shown, labels = task.validation_places(), [], []
    for first in range(0, len(places), task.rows):
        rows = _rows(task, "valid", places[first : first + task.rows], VALIDATION_SEED, first)
        batch = task.masks(rows, VALIDATION_SEED, first)
        shown.append(np.take_along_axis(batch.inputs, batch.positions, axis=1).ravel())
        labels.append(batch.labels.ravel())
    return np.concatenate(shown), np.concatenate(labels)


def _training_rows(task: MaskedLanguageTask) -> Iterator[NDArray[np.integer]]:
    """Return the training rows in chunks; where they are paired, one pair drawn of each."""
    for first in range(0, len(task.store.train), CHUNK):
        places = np.arange(first, min(first + CHUNK, len(task.store.train)))
        yield _rows(task, "train", places, 0, first)


def _rows(
    task: MaskedLanguageTask, part: str, places: NDArray[np.int64], seed: int, index: int
) -> NDArray[np.integer]:
    """Return rows of a part as the task masks them."""
    if isinstance(task, NextSentenceTask):
        rows = getattr(task.store, part)
        starts = getattr(task.store, f"{part}_starts")
        return pairs_to_mask(rows, starts, places, task.vocabulary, seed, index).tokens
    return task.rows_of(part, places)
