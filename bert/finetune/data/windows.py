"""SQuAD paragraphs as overlapping windows, and the way back from windows to one answer.

The question is segment 0, a window of the paragraph segment 1. Windows begin ``stride`` tokens
apart, so that an answer at the edge of one is inside another. As in the original code an answer
may begin only where its window gives the token the most context of all windows (the smaller of the
tokens on either side, plus 0.01 of the window's length). Unlike there, the search is exhaustive
over spans of at most ``max_answer`` tokens instead of over the 20 best starts and ends, and
character offsets give the answer's text as it stands in the paragraph.

Shapes: W windows, S tokens of a row, Q questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bert.data.vocab import Vocabulary
from bert.finetune.data.rows import Ids, Rows
from bert.finetune.data.squad import Question
from swe.base.config import require


@dataclass(frozen=True)
class Windows:
    """All windows of a file.

    ``question`` (W,) index of its question, ``first`` (W,) first paragraph token inside, ``size``
    (W,) paragraph tokens inside, ``context`` (W,) column of the first of them in the row,
    ``offsets``: for each question the (n, 2) character ranges of its paragraph's tokens.
    """

    rows: Rows
    question: NDArray[np.int64]
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    context: NDArray[np.int64]
    offsets: list[NDArray[np.int64]]


def window_starts(tokens: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Return (first token, tokens) of each window over a paragraph of ``tokens``."""
    out = []
    start = 0
    while True:
        size = min(room, tokens - start)
        out.append((start, size))
        if start + size == tokens:
            return out
        start += min(size, stride)


def best_context(tokens: int, windows: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return, for each paragraph token, the window that shows it with the most context; (n,)."""
    at = np.arange(tokens)
    scores = np.full((len(windows), tokens), -np.inf)
    for number, (first, size) in enumerate(windows):
        inside = slice(first, first + size)
        left, right = at[inside] - first, first + size - 1 - at[inside]
        scores[number, inside] = np.minimum(left, right) + 0.01 * size
    return scores.argmax(axis=0)  # the earlier window at a tie


def token_span(offsets: NDArray[np.int64], start: int, stop: int) -> tuple[int, int] | None:
    """Return (first, last) token that overlap characters [start, stop); None without one."""
    touching = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < stop))
    return (int(touching[0]), int(touching[-1])) if len(touching) else None


def make_windows(
    questions: Sequence[Question],
    vocabulary: Vocabulary,
    *,
    max_length: int,
    stride: int,
    max_query: int,
) -> Windows:
    """Cut all paragraphs. Targets "starts" and "ends" are columns of the first answer.

    They are 0, the [CLS] column, where the window does not hold the whole answer or there is none,
    in both versions, as in the original code.
    """
    require(
        max_length > max_query + 3,
        "max_length",
        max_length,
        f"above max_query + 3 = {max_query + 3}",
    )
    contexts = {row.context: number for number, row in enumerate(questions)}
    encoded = dict(zip(contexts, vocabulary.encode_with_offsets(list(contexts)), strict=True))
    asked = vocabulary.encode_batch([row.text for row in questions])
    pairs: list[tuple[Ids, Ids | None]] = []
    places: list[tuple[int, int, int, int]] = []
    targets: list[tuple[int, int]] = []
    for number, (row, words) in enumerate(zip(questions, asked, strict=True)):
        ids, offsets = encoded[row.context]
        query = words[:max_query]
        column = len(query) + 2
        span = None
        if row.answers:
            span = token_span(offsets, row.starts[0], row.starts[0] + len(row.answers[0]))
        for first, size in window_starts(len(ids), max_length - len(query) - 3, stride):
            pairs.append((query, ids[first : first + size]))
            places.append((number, first, size, column))
            inside = span is not None and span[0] >= first and span[1] < first + size
            targets.append(
                (span[0] - first + column, span[1] - first + column) if inside and span else (0, 0)
            )
    question, begins, size_W, column_W = np.array(places, dtype=np.int64).T
    aims = np.array(targets, dtype=np.int64).T
    rows = Rows.of(
        pairs, vocabulary, max_length, {"starts": aims[0].copy(), "ends": aims[1].copy()}
    )
    per_question = [encoded[row.context][1] for row in questions]
    return Windows(rows, question, begins, size_W, column_W, per_question)


@dataclass(frozen=True)
class Answer:
    """Best span of a question: its text, and the score of "no answer" minus that of the span.

    ``text`` is "" and ``null_margin`` infinite only where no span exists (an empty paragraph).
    """

    text: str
    null_margin: float

    @property
    def no_answer_probability(self) -> float:
        """Logistic of the margin: rises with it, 1/2 where the two score the same."""
        return 1.0 / (1.0 + math.exp(-self.null_margin)) if self.null_margin > -700 else 0.0


def best_span(
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    may_start: NDArray[np.bool_],
    max_answer: int,
) -> tuple[float, int, int]:
    """Return (score, i, j) of the best i <= j < i + max_answer; (-inf, 0, 0) when none may start.

    All arguments (n,): logits over a window's paragraph tokens. The earliest start wins ties.
    """
    n = len(starts)
    width = min(max_answer, n)
    if n == 0 or not may_start.any():
        return -math.inf, 0, 0
    padded = np.concatenate([ends, np.full(width - 1, -np.inf)])
    later = np.lib.stride_tricks.sliding_window_view(padded, width)  # (n, width): ends[i + k]
    sums = np.where(may_start, starts, -np.inf)[:, None] + later
    i, k = divmod(int(sums.argmax()), width)
    return float(sums[i, k]), i, i + k


def find_answers(
    questions: Sequence[Question],
    windows: Windows,
    starts: Sequence[NDArray[np.float64]],
    ends: Sequence[NDArray[np.float64]],
    max_answer: int,
) -> list[Answer]:
    """Return one answer a question from the windows' logits (one array (length,) a window).

    The null score of a question is the smallest over its windows of start and end logit at [CLS]:
    one window that sees an answer is enough.
    """
    answers = []
    order = np.argsort(windows.question, kind="stable")
    bounds = np.searchsorted(windows.question[order], np.arange(len(questions) + 1))
    for number, row in enumerate(questions):
        mine = order[bounds[number] : bounds[number + 1]]
        offsets = windows.offsets[number]
        places = [(int(windows.first[w]), int(windows.size[w])) for w in mine]
        home = best_context(len(offsets), places)
        null = min(float(starts[w][0] + ends[w][0]) for w in mine)
        best, text = -math.inf, ""
        for local, w in enumerate(mine):
            first, size = places[local]
            inside = slice(int(windows.context[w]), int(windows.context[w]) + size)
            allowed = home[first : first + size] == local
            score, i, j = best_span(starts[w][inside], ends[w][inside], allowed, max_answer)
            if score > best:
                best = score
                text = row.context[offsets[first + i, 0] : offsets[first + j, 1]]
        answers.append(Answer(text, null - best))
    return answers
