"""From text to scores, word for word as the pages have it: train, fine-tune, export, open."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paper_repro
from bert import export, pretrain
from bert.finetune import __main__ as finetune
from bert.finetune import arms
from swe.base.files import file_digest, read_json
from tests.command_lines import instead

DOCS = Path(__file__).resolve().parent.parent / "docs"
READ = ("data.md", "finetune.md", "bert.md", "own_model.md")
PAGES = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in READ)
PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {
    "bert.pretrain": pretrain.main,
    "bert.finetune": finetune.main,
    "bert.finetune.arms": arms.main,
    "bert.export": export.main,
    "paper_repro.py": paper_repro.main,
}


def block(name: str, language: str) -> str:
    """Return the code block that is marked with ``name``."""
    match = re.search(rf"<!-- run: {name} -->\n```{language}\n(.*?)```", PAGES, re.DOTALL)
    assert match is not None, name
    return match[1]


def run(line: str, *smaller: str) -> None:
    """Run one command line in this process, with what makes it take less."""
    python, *words = shlex.split(line, comments=True)
    assert python in (".venv/bin/python", "python")
    name, *arguments = words[1:] if words[0] == "-m" else words
    assert PROGRAMS[name](instead(arguments, smaller)) == 0, line


SMALL = ("--scale", "smoke", "--set", "vocabulary=200", "length=16", "rows=4", "validation_rows=20")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a text and labelled sentences of one's own, entered."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(2, 7))) for _ in range(400)]
    texts = [" ".join(rng.choice(words, size=80)) for _ in range(400)]
    (tmp_path / "my.txt").write_text("\n\n".join(texts), encoding="utf-8")
    (tmp_path / "my-text").mkdir()
    (tmp_path / "my-text" / "all.txt").write_text("\n\n".join(texts), encoding="utf-8")
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    for name, count in (("train", 96), ("dev", 32)):
        rows = [f"{' '.join(rng.choice(words, size=6))}\t{i % 2}" for i in range(count)]
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_text_to_scores_and_an_export_that_opens(
    reader: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    lines = [*block("train", "sh").splitlines()[:1], *block("fine-tune", "sh").splitlines()]
    for line in lines:
        run(line)
    table = read_json(reader / "results" / "finetune" / "sst-2" / "table.json")
    assert len(table["rows"]) == 4
    assert f"{table['selected']['mean']:.2f}" in capsys.readouterr().out
    names: dict[str, Any] = {}
    exec(compile(block("open", "python"), "docs/finetune.md", "exec"), names)
    model, logits = names["model"], names["logits"]
    assert type(model).__module__.startswith("transformers.models.")
    assert logits.shape[-1] == model.config.vocab_size


def test_the_next_token_from_text_to_generation(
    reader: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    train, _, export = block("causal", "sh").splitlines()
    run(train, *SMALL, "--size", "3x16", "--steps", "12", "--jobs", "1")
    task = read_json(reader / "runs" / "swe-f-s0" / "config.json")["task"]
    assert task["task"] == "causal language modelling"
    run(export)
    run(block("export", "sh").replace("RUN_FOLDER", "runs/swe-f-s0").replace("OUT", "again"))
    decoder, again = (reader / name for name in ("decoder", "again"))
    assert file_digest(again / "model.safetensors") == file_digest(decoder / "model.safetensors")
    capsys.readouterr()
    names: dict[str, Any] = {}
    exec(compile(block("generate", "python"), "docs/bert.md", "exec"), names)
    assert type(names["model"]).__name__ == "RobertaPreLayerNormForCausalLM"
    asked, said = names["tokenizer"].decode(names["prompt"][0]), capsys.readouterr().out
    assert said.startswith(asked)
    assert len(said.split()) > len(asked.split())


@pytest.mark.slow
def test_a_table_of_the_next_token(reader: Path) -> None:
    _, table, _ = block("causal", "sh").splitlines()
    run(table, "--text", "my-text", "--size", "3x16", *SMALL[2:], "steps=10")
    tables = reader / "results" / "bert" / "tables"
    found = read_json(tables / read_json(tables / "table1.json")["folder"] / "table1.json")
    assert found["study"]["objective"] == "causal"
    assert found["complete"]


@pytest.mark.slow
def test_the_studies_and_the_scores_of_their_arms(reader: Path) -> None:
    for line in [*block("train", "sh").splitlines()[1:], *block("arms", "sh").splitlines()]:
        run(line)
    pointer = read_json(reader / "results" / "bert" / "finetune" / "table2.json")
    found = read_json(reader / "results" / "bert" / "finetune" / pointer["folder"] / "table2.json")
    assert found["tasks"]["sst-2"]["arms"]["swe-f"]["difference"]["n"] == 2
    page = (reader / "results" / "report" / "index.html").read_text(encoding="utf-8")
    assert 'id="fig-bert_table2_finetune"' in page
    [claim] = [c for c in read_json(reader / "results" / "claims.json") if c["id"] == "TAB2"]
    assert "fine-tuned scores: swe-f better on" in claim["evidence"]
