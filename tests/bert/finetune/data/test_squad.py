"""SQuAD: the readers, the official scores, windows, the search for spans and for the threshold."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from bert.finetune.data.squad import Question, read_squad
from bert.finetune.data.windows import (
    best_context,
    best_span,
    find_answers,
    make_windows,
    token_span,
    window_starts,
)
from bert.finetune.scoring import squad_metrics as sm
from swe.base.errors import ConfigError


def question(key: str, *answers: str, context: str = "") -> Question:
    context = context or " ".join(answers)
    return Question(key, "what?", context, answers, tuple(context.index(a) for a in answers))


def squad_file(path: Path, qas: list[dict[str, Any]], context: str = "The cat sat.") -> Path:
    data = {
        "version": "1",
        "data": [{"title": "t", "paragraphs": [{"context": context, "qas": qas}]}],
    }
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


CAT: dict[str, Any] = {
    "id": "q1",
    "question": "Who sat?",
    "answers": [{"text": "cat", "answer_start": 4}],
}
NOBODY: dict[str, Any] = {
    "id": "q2",
    "question": "Who ran?",
    "answers": [],
    "is_impossible": True,
    "plausible_answers": [{"text": "cat", "answer_start": 4}],
}


def test_reading_both_versions(tmp_path: Path) -> None:
    one = read_squad(squad_file(tmp_path / "one.json", [CAT]), "1.1")
    assert one.rows == [Question("q1", "Who sat?", "The cat sat.", ("cat",), (4,))]
    two = read_squad(
        squad_file(tmp_path / "two.json", [CAT | {"is_impossible": False}, NOBODY]), "2.0"
    )
    assert [row.answers for row in two.rows] == [("cat",), ()]


@pytest.mark.parametrize(
    ("qas", "version", "message"),
    [
        ([NOBODY], "1.1", r"q\.json: question 'q2': no answer, which version 1\.1 does not allow"),
        ([CAT, CAT], "1.1", "question 'q1' appears more than once"),
        ([CAT | {"answers": [{"text": "cat", "answer_start": 5}]}], "1.1",
         "'q1': the answer 'cat' is not at character 5"),
        ([CAT | {"answers": [{"text": "cat"}]}], "1.1", "'q1' or what follows it: lacks 'answer_"),
        ([CAT | {"is_impossible": True}], "2.0", "is_impossible is True, with 1 answer"),
        ([], "1.1", "holds no question"),
    ],
)  # fmt: skip
def test_bad_files(qas: list[dict[str, Any]], version: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_squad(squad_file(tmp_path / "q.json", qas), version)


def test_files_that_are_no_squad(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    for text in ("{", "[]", '{"version": 1}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"q\.json: no SQuAD file"):
            read_squad(path, "1.1")


def test_normalisation_written_out() -> None:
    assert sm.normalise("  The  Cat's, an  \n(old) hat!") == "cats old hat"
    assert sm.normalise("Theatre a") == "theatre", "articles are whole words"
    assert sm.normalise("a–b") == "–b", "only ASCII punctuation goes, and it goes first"
    assert sm.normalise("The.") == ""


def test_overlap_written_out() -> None:
    """Bags {x, y, y} and {y, y, z, w}: 2 common, precision 2/3, recall 1/2, F1 4/7."""
    assert sm.overlap_f1("x y y", "y y z w") == pytest.approx(4 / 7)
    assert sm.overlap_f1("x", "y") == 0.0
    # Both empty after normalisation: the 1.1 script gives 0, the 2.0 script 1.
    assert sm.overlap_f1("the", "a") == 0.0
    assert sm.overlap_f1("the", "a", empty_matches=True) == 1.0
    assert sm.overlap_f1("the", "cat", empty_matches=True) == 0.0


def test_version_1_takes_the_best_answer_and_counts_missing_ones() -> None:
    rows = [question("a", "Denver Broncos", "Broncos"), question("b", "1066"), question("c", "x")]
    found = sm.score_v1(rows, {"a": "the Broncos.", "b": "in 1066"})
    assert found == {
        "exact_match": pytest.approx(100 / 3),
        "f1": pytest.approx(100 * (1 + 2 / 3 + 0) / 3),
    }
    with pytest.raises(ConfigError, match="of no question"):
        sm.score_v1([], {})


V2 = [question("a", "Denver Broncos"), question("b"), question("c", "1066"), question("d")]
TEXTS = {"a": "Broncos", "b": "Denver", "c": "1066", "d": "Paris"}
ODDS = {"a": 0.1, "b": 0.6, "c": 0.3, "d": 0.2}


def test_version_2_written_out() -> None:
    """Answered: a (F1 2/3), c (1), d (wrong); b is held back at a threshold of 0.5."""
    found = sm.score_v2(V2, TEXTS, ODDS, threshold=0.5)
    assert found["exact"] == pytest.approx(50.0)
    assert found["f1"] == pytest.approx(100 * (2 / 3 + 1 + 1 + 0) / 4)
    assert found["HasAns_exact"] == pytest.approx(50.0)
    assert found["HasAns_f1"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert found["NoAns_f1"] == found["NoAns_exact"] == pytest.approx(50.0)
    assert (found["total"], found["HasAns_total"], found["NoAns_total"]) == (4, 2, 2)
    # Exact: start 2 (all ""), a +0, d -1, c +1, b -1: never above 2, hence threshold 0.
    assert found["best_exact"] == pytest.approx(50.0)
    assert found["best_exact_thresh"] == 0.0
    # F1: 2, then 2 2/3 at a, 1 2/3 at d, 2 2/3 at c, 1 2/3 at b.
    assert found["best_f1"] == pytest.approx(100 * (2 + 2 / 3) / 4)
    assert found["best_f1_thresh"] == 0.1


def test_version_2_without_probabilities_answers_everything() -> None:
    found = sm.score_v2(V2, TEXTS | {"d": ""})
    assert found["exact"] == pytest.approx(50.0)
    assert "best_f1" not in found


@given(st.data())
def test_best_threshold_is_the_best_of_all(data: st.DataObject) -> None:
    """Distinct probabilities: every threshold tried in turn through the ordinary score."""
    n = data.draw(st.integers(1, 7))
    rows = [question(str(i), *(["x y"] if data.draw(st.booleans()) else [])) for i in range(n)]
    texts = {row.key: data.draw(st.sampled_from(["", "x", "x y", "z"])) for row in rows}
    order = data.draw(st.permutations(range(n)))
    odds = {row.key: (order[i] + 1) / 10 for i, row in enumerate(rows)}
    found = sm.score_v2(rows, texts, odds)
    for name in ("exact", "f1"):
        tried = [sm.score_v2(rows, texts, odds, threshold=t)[name] for t in (0.0, *odds.values())]
        assert found[f"best_{name}"] == pytest.approx(max(tried))
        at = sm.score_v2(rows, texts, odds, threshold=found[f"best_{name}_thresh"])
        assert at[name] == pytest.approx(found[f"best_{name}"])


CARD = [
    question("56e10a3be3433e1400422b22", "1976"),
    question("56d2051ce7d4791d0090260b", "Beyoncé and Bruno Mars"),
    question("5733b5344776f419006610e1", "climate change"),
]


@pytest.mark.parametrize(
    ("texts", "points"),
    [(["1976"], 100.0), (["1999"], 0.0), (["1976", "Beyonce", "climate change"], 200 / 3)],
)
def test_examples_of_the_published_metric_cards(texts: list[str], points: float) -> None:
    """The cards of the wrappers of both official scripts (datasets: metrics/squad, squad_v2)."""
    rows = CARD[: len(texts)]
    given = {row.key: text for row, text in zip(rows, texts, strict=True)}
    one = sm.score_v1(rows, given)
    assert one == {"exact_match": pytest.approx(points), "f1": pytest.approx(points)}
    two = sm.score_v2(rows, given, dict.fromkeys(given, 0.0))
    names = ("exact", "f1", "HasAns_exact", "HasAns_f1", "best_exact", "best_f1")
    assert [two[name] for name in names] == pytest.approx([points] * 6)
    assert (two["total"], two["HasAns_total"]) == (len(rows), len(rows))
    assert two["best_exact_thresh"] == two["best_f1_thresh"] == 0.0


PIECES = st.sampled_from(
    ["the", "a", "An", "cat", "Cat's", "cat,", "(mat)", "the.", "–", "café", "cafe", "1,066", " "]
)
TEXT = st.lists(PIECES, max_size=4).map(" ".join)


@given(st.data())
def test_version_2_scores_as_transformers_do(data: st.DataObject) -> None:
    """An independent port of the official script; answers there are dictionaries with a text."""
    port = pytest.importorskip("transformers.data.metrics.squad_metrics")
    n = data.draw(st.integers(1, 6))
    rows = [question(str(i), *data.draw(st.lists(TEXT, max_size=3))) for i in range(n)]
    texts = {row.key: data.draw(TEXT) for row in rows}
    odds = {row.key: data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])) for row in rows}
    limit = data.draw(st.sampled_from([0.0, 0.25, 0.6, 1.0]))
    examples = [
        SimpleNamespace(qas_id=row.key, answers=[{"text": text} for text in row.answers])
        for row in rows
    ]
    expected = port.squad_evaluate(examples, texts, odds, limit)
    found = sm.score_v2(rows, texts, odds, threshold=limit)
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


def test_windows_written_out() -> None:
    assert window_starts(10, 4, 2) == [(0, 4), (2, 4), (4, 4), (6, 4)]
    assert window_starts(9, 4, 2) == [(0, 4), (2, 4), (4, 4), (6, 3)]
    assert window_starts(4, 4, 2) == [(0, 4)]
    assert window_starts(0, 4, 2) == [(0, 0)]
    assert window_starts(7, 3, 9) == [(0, 3), (3, 3), (6, 1)], "no token is jumped over"
    # Tokens 2 and 3 lie in both: 2 has min(2, 1) in the first and min(0, 3) in the second.
    assert list(best_context(6, [(0, 4), (2, 4)])) == [0, 0, 0, 1, 1, 1]


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 25))
def test_every_token_is_in_a_window_and_at_home_in_one(n: int, room: int, stride: int) -> None:
    windows = window_starts(n, room, stride)
    assert {t for first, size in windows for t in range(first, first + size)} == set(range(n))
    assert all(0 < size <= room for _, size in windows) or n == 0
    for token, home in enumerate(best_context(n, windows)):
        first, size = windows[int(home)]
        assert first <= token < first + size


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.booleans()), max_size=12),
    st.integers(1, 14),
)
def test_span_search_against_all_pairs(logits: list[tuple[int, int, bool]], longest: int) -> None:
    n = len(logits)
    starts, ends = (np.array([row[k] for row in logits], dtype=float) for k in (0, 1))
    allowed = np.array([row[2] for row in logits], dtype=bool)
    score, i, j = best_span(starts, ends, allowed, longest)
    pairs = [
        (a, b)
        for a, b in itertools.product(range(n), repeat=2)
        if allowed[a] and a <= b < a + longest
    ]
    if not pairs:
        assert score == -math.inf
    else:
        assert score == max(starts[a] + ends[b] for a, b in pairs)
        assert (i, j) in pairs
        assert starts[i] + ends[j] == score


CONTEXT = "The cat sat on the mat. A café,  the cat walked!"


def test_offsets_give_the_text_back(vocabulary: Vocabulary) -> None:
    """Accents, double blanks and pieces: the answer is the paragraph's own characters."""
    [(_, offsets)] = vocabulary.encode_with_offsets([CONTEXT])
    for text in ("cat", "café,  the cat", "walked", "mat"):
        start = CONTEXT.index(text)
        span = token_span(offsets, start, start + len(text))
        assert span is not None
        assert CONTEXT[offsets[span[0], 0] : offsets[span[1], 1]] == text
    assert token_span(offsets, 3, 4) is None, "a blank"


@pytest.mark.parametrize("room", [6, 9, 40])
def test_perfect_logits_find_the_answer_in_any_windows(vocabulary: Vocabulary, room: int) -> None:
    """Targets used as logits give every answer back, and "no answer" where there is none."""
    rows = [
        question("a", "café", context=CONTEXT),
        question("b", "cat walked", context=CONTEXT),
        question("c", context=CONTEXT),
        question("d", "mat", "the mat", context=CONTEXT),
    ]
    windows = make_windows(rows, vocabulary, max_length=room + 9, stride=3, max_query=5)
    assert windows.rows.lengths.max() <= room + 9
    starts, ends = [], []
    for w in range(len(windows.rows)):
        pair = np.zeros((2, int(windows.rows.lengths[w])))
        pair[0, windows.rows.targets["starts"][w]] = 5.0
        pair[1, windows.rows.targets["ends"][w]] = 5.0
        starts.append(pair[0])
        ends.append(pair[1])
    found = find_answers(rows, windows, starts, ends, 30)
    assert [a.text for a, row in zip(found, rows, strict=True) if row.answers] == [
        "café",
        "cat walked",
        "mat",
    ]
    probabilities = [answer.no_answer_probability for answer in found]
    assert probabilities[2] > 0.99
    assert max(probabilities[:2] + probabilities[3:]) < 0.5


def test_targets_point_at_the_answer(vocabulary: Vocabulary) -> None:
    rows = [question("a", "mat", context=CONTEXT)]
    windows = make_windows(rows, vocabulary, max_length=14, stride=4, max_query=4)
    seen = 0
    for w in range(len(windows.rows)):
        at = int(windows.rows.targets["starts"][w])
        row = windows.rows.row(w)
        assert row[0] == vocabulary.cls_id
        if at:
            assert vocabulary.tokens[row[at]] == "mat"
            seen += 1
    assert 0 < seen < len(windows.rows)
    with pytest.raises(ConfigError, match="max_length = 10: must be above max_query"):
        make_windows(rows, vocabulary, max_length=10, stride=4, max_query=8)
