"""SQuAD's scores as the two official evaluation scripts define them, in points.

Version 1.1 takes the best match over a question's answers and counts a missing prediction as 0.
Version 2.0 adds questions without an answer: the only right prediction there is "", and
predictions whose probability of "no answer" exceeds a threshold count as "". The best threshold is
searched on the same predictions, as the script does.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bert.finetune.data.squad import Question
from swe.base.errors import ConfigError

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, ASCII punctuation out, then articles out, then single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(prediction: str, answer: str) -> float:
    """1 when the two are equal after :func:`normalise`."""
    return float(normalise(prediction) == normalise(answer))


def overlap_f1(prediction: str, answer: str, *, empty_matches: bool = False) -> float:
    """F1 of the bags of words; with ``empty_matches`` (2.0) two empty bags agree, in 1.1 not."""
    given, wanted = normalise(prediction).split(), normalise(answer).split()
    if empty_matches and not (given and wanted):
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def score_v1(questions: Iterable[Question], predictions: Mapping[str, str]) -> dict[str, float]:
    """Return exact_match and f1 of version 1.1. ConfigError for no question."""
    rows = list(questions)
    if not rows:
        raise ConfigError("score: of no question")
    matches, overlaps = 0.0, 0.0
    for row in rows:
        given = predictions.get(row.key)
        if given is not None:
            matches += max(exact(given, answer) for answer in row.answers)
            overlaps += max(overlap_f1(given, answer) for answer in row.answers)
    return {"exact_match": 100.0 * matches / len(rows), "f1": 100.0 * overlaps / len(rows)}


def score_v2(
    questions: Sequence[Question],
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None = None,
    *,
    threshold: float = 1.0,
) -> dict[str, float]:
    """Return the 2.0 script's values: exact, f1, total, the same for HasAns and NoAns, best_*.

    ``no_answer``: probability of "no answer" by id; predictions above ``threshold`` count as "".
    best_exact and best_f1 (with their thresholds) are there when it is given. As in the script, a
    question without a prediction is left out altogether. ConfigError when none is left.
    """
    rows = [row for row in questions if row.key in predictions]
    if not rows:
        raise ConfigError("score: no question has a prediction")
    has = {row.key: bool(row.answers) for row in rows}
    raw = {
        "exact": {row.key: _best_v2(row, predictions[row.key], matched=True) for row in rows},
        "f1": {row.key: _best_v2(row, predictions[row.key], matched=False) for row in rows},
    }
    odds = no_answer if no_answer is not None else dict.fromkeys(has, 0.0)
    out: dict[str, float] = {}
    held = {
        name: {k: (float(not has[k]) if odds[k] > threshold else v) for k, v in values.items()}
        for name, values in raw.items()
    }
    for prefix, keys in (
        ("", list(has)),
        ("HasAns_", [key for key in has if has[key]]),
        ("NoAns_", [key for key in has if not has[key]]),
    ):
        if keys:
            for name, values in held.items():
                out[f"{prefix}{name}"] = 100.0 * sum(values[key] for key in keys) / len(keys)
            out[f"{prefix}total"] = len(keys)
    if no_answer is not None:
        for name, values in raw.items():
            best, at = best_threshold(predictions, values, no_answer, has)
            out |= {f"best_{name}": best, f"best_{name}_thresh": at}
    return out


def _best_v2(row: Question, prediction: str, *, matched: bool) -> float:
    """Best over the answers that do not vanish in :func:`normalise`; "" when none is left."""
    answers = [answer for answer in row.answers if normalise(answer)] or [""]
    if matched:
        return max(exact(prediction, answer) for answer in answers)
    return max(overlap_f1(prediction, answer, empty_matches=True) for answer in answers)


def best_threshold(
    predictions: Mapping[str, str],
    scores: Mapping[str, float],
    no_answer: Mapping[str, float],
    has_answer: Mapping[str, bool],
) -> tuple[float, float]:
    """Return (best score in points, threshold): sweep the threshold over the given probabilities.

    At first everything is "no answer"; then questions are answered in the order of rising
    probability, each adding its score (or, where there is no answer, taking 1 unless the
    prediction is ""). The first maximum wins. Equal probabilities are taken one by one, in the
    order of ``no_answer``, although no threshold can part them: the script's own habit.
    """
    order = sorted((key for key in no_answer if key in scores), key=lambda key: no_answer[key])
    gains = [scores[k] if has_answer[k] else (-1.0 if predictions[k] else 0.0) for k in order]
    start = float(sum(not has_answer[key] for key in has_answer))
    sums = start + np.cumsum([0.0, *gains])
    place = int(np.argmax(sums))
    threshold = no_answer[order[place - 1]] if place else 0.0
    return 100.0 * float(sums[place]) / len(scores), threshold
