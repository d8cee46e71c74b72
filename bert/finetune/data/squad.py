"""Reader of SQuAD's JSON, versions 1.1 and 2.0 (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bert.data.text import DataError
from bert.finetune.data.glue import read_bytes

Version = Literal["1.1", "2.0"]


@dataclass(frozen=True)
class Question:
    """One question on one paragraph. ``starts[i]`` is the character at which answer i begins.

    No answer at all means that the paragraph does not hold one (2.0), or a file without answers.
    """

    key: str
    text: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Questions:
    """A whole file."""

    path: Path
    sha256: str
    rows: list[Question]


def read_squad(path: Path, version: Version) -> Questions:
    """Read a file of the given version, plain or packed with xz or gzip.

    Raises DataError with the file and, where there is one, the question's id: no JSON, a field
    missing, an id twice, an answer that is not in its paragraph where it says, a question without
    an answer in a 1.1 file, and an ``is_impossible`` that its answers contradict.
    """
    raw = read_bytes(path)
    try:
        articles = json.loads(raw.decode("utf-8-sig"))["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no SQuAD file ({type(error).__name__}: {error})") from None
    rows: list[Question] = []
    where = "the first article"
    try:
        for article in articles:
            for paragraph in article["paragraphs"]:
                for entry in paragraph["qas"]:
                    where = f"question {entry.get('id')!r}"
                    rows.append(_question(entry, paragraph["context"], version))
    except DataError as error:
        raise DataError(f"{path}: {where}: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else "malformed"
        raise DataError(f"{path}: {where} or what follows it: {reason}") from None
    if not rows:
        raise DataError(f"{path}: holds no question")
    if len({row.key for row in rows}) < len(rows):
        keys = [row.key for row in rows]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"{path}: question {twice!r} appears more than once")
    return Questions(path, hashlib.sha256(raw).hexdigest(), rows)


def _question(entry: Mapping[str, Any], context: str, version: Version) -> Question:
    answers = entry["answers"]
    texts = tuple(str(answer["text"]) for answer in answers)
    starts = tuple(answer["answer_start"] for answer in answers)
    for text, start in zip(texts, starts, strict=True):
        whole = isinstance(start, int) and not isinstance(start, bool)
        if not whole or start < 0 or context[start : start + len(text)] != text:
            raise DataError(f"the answer {text!r} is not at character {start!r} of the paragraph")
    if version == "1.1" and not texts:
        raise DataError("no answer, which version 1.1 does not allow (is the file of version 2.0?)")
    if (
        version == "2.0"
        and "is_impossible" in entry
        and bool(entry["is_impossible"]) == bool(texts)
    ):
        raise DataError(f"is_impossible is {entry['is_impossible']}, with {len(texts)} answer(s)")
    return Question(str(entry["id"]), str(entry["question"]), str(context), texts, starts)
