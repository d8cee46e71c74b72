"""The options of reading are the same in every command that reads text, and do the same."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paper_repro
from bert.data.__main__ import main
from bert.data.__main__ import parse as parse_data
from bert.data.options import reading_of
from bert.data.store import TokenStore
from bert.data.text import DataError, Reading
from bert.data.vocab import Vocabulary
from bert.huggingface.export import find_vocabulary
from bert.study import run_parser
from bert.study.arms import STUDIES
from bert.study.comparison import build_task, prepare_data
from swe.base.errors import ConfigError

STUDY = replace(STUDIES["smoke"], length=16, vocabulary=60, rows=2)
OPTIONS = "--field body --errors latin-1 --document-per-line --format jsonl --cased --valid v w"
TEXTS = [
    " ".join(np.random.default_rng(n).choice(["The", "cat", "Sat", "mat"], size=40))
    for n in range(120)
]


def json_lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"body": t, "title": t[::-1]}) + "\n" for t in texts))
    return path


@pytest.mark.parametrize("command", ["bert.data", "bert.pretrain", "paper_repro"])
def test_every_command_has_them(command: str) -> None:
    words = OPTIONS.split()
    given: argparse.Namespace
    if command == "bert.data":
        given = parse_data(["text", "--vocab", "v", "--out", "o", *words])
    elif command == "bert.pretrain":
        given = run_parser.parser().parse_args(["--arm", "swe-f", "--out", "o", *words])
    else:
        given = paper_repro.parser().parse_args(["bert", *words])
    assert reading_of(given) == Reading(
        errors="latin-1", field="body", document_per_line=True, format="jsonl"
    )
    assert (given.valid, given.cased) == ([Path("v"), Path("w")], True)


def test_pretraining_passes_them_on() -> None:
    words = ["--arm", "swe-f", "--out", "o", "--scale", "smoke", "--device", "cpu"]
    options = run_parser.parse([*words, "--text", "t", *OPTIONS.split()])
    assert options.reading.field == "body"
    assert (options.valid, options.cased) == ((Path("v"), Path("w")), True)
    with pytest.raises(ConfigError, match=r"--valid = .*: must be left out with --language"):
        run_parser.parse([*words, "--language", "composition", "--valid", "v"])


def test_a_study_reads_as_told(tmp_path: Path) -> None:
    """Another field, a validation text, capital letters: other data, and another vocabulary."""
    text = json_lines(tmp_path / "a.jsonl", TEXTS)
    valid = json_lines(tmp_path / "v.jsonl", TEXTS[:9])
    body = Reading(field="body")
    said: list[str] = []
    out = tmp_path / "out"
    told = prepare_data(STUDY, out, text=[text], reading=body, valid=[valid], say=said.append)
    manifest = TokenStore.open(told.store).manifest
    assert manifest["text"]["field"] == "body"
    assert manifest["parts"]["valid"]["documents"] == 9
    assert manifest["dropped"]["documents"] == 9
    assert said == []
    title = prepare_data(STUDY, out, text=[text], reading=Reading(field="title"))
    cased = prepare_data(STUDY, tmp_path / "c", text=[text], reading=body, cased=True)
    vocabularies = {data.vocabulary_file.read_text() for data in (told, title, cased)}
    assert len(vocabularies) == 3
    assert len(list(out.glob("trained-*.txt"))) == 2
    task = build_task(STUDY, cased)
    assert task.vocabulary.cased
    assert "S" in task.vocabulary.tokens
    assert TokenStore.open(cased.store).manifest["cased"] is True
    assert "cased" not in TokenStore.open(title.store).manifest
    # The vocabulary of a run is found by its digest, cased or not.
    digest = task.vocabulary.sha256
    assert find_vocabulary(tmp_path / "c" / "run", digest, cased.vocabulary_file).cased
    for more, message in (
        ({"valid": [valid]}, "a token store has its own validation part; no --valid"),
        ({"text": [cased.store, text]}, "is a token store, and no text"),
    ):
        options: dict[str, Any] = {"text": [cased.store]} | more
        with pytest.raises(DataError, match=message):
            prepare_data(STUDY, tmp_path / "n", **options)
    again = prepare_data(STUDY, tmp_path / "n", text=[cased.store])
    assert build_task(STUDY, again).vocabulary == task.vocabulary
    with pytest.raises(DataError, match="built of uncased text; leave --cased out"):
        prepare_data(STUDY, tmp_path / "n", text=[title.store], cased=True)


def test_a_study_says_what_it_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").write_text("\n\n".join([*TEXTS, *["汉" * 200] * 3]), "utf-8")
    (tmp_path / "t" / ".hidden").write_text("x")
    vocabulary = Vocabulary(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "mat"]
    )
    vocabulary.save(tmp_path / "t" / "vocab.txt")
    said: list[str] = []
    prepare_data(
        STUDY,
        tmp_path / "out",
        text=[tmp_path / "t"],
        vocabulary_file=tmp_path / "t" / "vocab.txt",
        say=said.append,
    )
    assert said[0] == "passed over: 1 hidden (.hidden); 1 vocabulary (vocab.txt)"
    assert said[1].startswith("rows left out, for fewer than 2 of their tokens are words of the")
    assert len(said) == 2


def test_the_command_says_it_and_takes_a_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    json_lines(tmp_path / "a.jsonl", TEXTS)
    words = ["a.jsonl", "--field", "body", "--length", "16", "--out"]
    assert main([*words, "one", "--vocab-size", "60", "--cased"]) == 0
    assert main([*words, "two", "--vocab", "one/vocab.txt", "--cased"]) == 0
    one, two = TokenStore.open("one"), TokenStore.open("two")
    assert (one.train == two.train).all()
    assert one.manifest == two.manifest
    assert main([*words, "three", "--vocab", "one/vocab.txt"]) == 1
    assert "vocab.txt: is a cased vocabulary" in capsys.readouterr().err
    assert main([*words, "one", "--vocab", "one/vocab.txt", "--cased", "--errors", "replace"]) == 1
    error = capsys.readouterr().err
    assert "holds a store of another text (errors strict, now replace); it is left alone" in error
    Path("lines.txt").write_text("\n".join(TEXTS))
    more = ["--vocab-size", "60", "--length", "16", "--out", "four"]
    assert main(["lines.txt", *more]) == 1
    assert "1 document seen" in capsys.readouterr().err
    assert main(["lines.txt", *more, "--document-per-line"]) == 0
    assert "train: " in capsys.readouterr().out
