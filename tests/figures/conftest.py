"""A small, hand-made results folder in the formats that the other packages write.

The samples lie in `tests/figures/samples`, a module for each area; each lists its files in FILES.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from figures.pages import report
from figures.pages.report import FIGURES, build
from tests.figures.samples import (
    bert,
    bert_tables,
    bounds,
    controls,
    finetuned,
    models,
    rivals,
    speedup,
    toys,
)
from tests.figures.samples.files import dump, record

CLAIMS = [
    {
        "id": "THM1",
        "statement": "R(t) <= exp(-2t) R(0) | any target",
        "source": "Theorem 1",
        "verdict": "holds with limits",
        "qualifier": "loose by 3.2",
        "rigour": "sampled",
        "grounds": "closed form",
        "evidence": "8 targets <script>alert(1)</script>",
        "figure": "theorem_bounds",
        "command": "python paper_repro.py theory",
        "section": "docs/theory.md#the-bounds-themselves",
        "code": "theory/claims/theorems.py:check_theorem1",
    },
    {
        "id": "TAB2",
        "statement": "1M updates",
        "source": "Table 2",
        "verdict": "not run",
        "qualifier": "",
        "rigour": "",
        "grounds": "",
        "evidence": "not run",
        "figure": "",
        "command": "python paper_repro.py bert",
        "section": "",
        "code": "bert/claims/tables.py:table_2",
    },
]


def write_results(out: Path) -> None:
    for area in (bounds, controls, speedup, models, toys):
        for path, sample in area.FILES.items():
            dump(out / path, record(sample()))
    dump(out / "claims.json", CLAIMS)
    bert.write_bert(out)
    bert_tables.write_tables(out)
    finetuned.write_scores(out)
    rivals.write_rivals(out)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Result files, nothing drawn yet."""
    out = tmp_path / "results"
    write_results(out)
    return out


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Result files with everything drawn; read only."""
    out = tmp_path_factory.mktemp("built") / "results"
    write_results(out)
    build(out)
    yield out
    shutil.rmtree(out)


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Any], None]], None]:
    """Change a JSON file in place."""

    def change(path: Path, how: Callable[[Any], None]) -> None:
        value = json.loads(path.read_text(encoding="utf-8"))
        how(value)
        dump(path, value)

    return change


@pytest.fixture
def one_seed(tmp_path: Path) -> Path:
    """A BERT study with a single seed: no intervals anywhere."""
    out = tmp_path / "results"
    bert.write_bert(out, seeds=1)
    return out


@pytest.fixture
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a build draw only a few figures, where the others would only cost time."""
    few = ("flow_curves", "toy_deep_linear", "bert_comparison")
    monkeypatch.setattr(report, "FIGURES", {name: FIGURES[name] for name in few})
    monkeypatch.setattr(report, "own_tables", lambda out: [])
