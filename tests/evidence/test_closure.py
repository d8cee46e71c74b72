"""Keys follow the code that runs: every module of the closure, edited in a copy of the tree."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bert.finetune.study import build_task as build_finetune
from bert.study.comparison import build_task
from evidence import closure as sources
from evidence.closure import ROOMS, closure, code_digest
from theory.studies.results import RESULTS

PROJECT = sources.ROOT
STUDY, FINETUNE = build_task.__module__, build_finetune.__module__
STARTS = sorted(
    {where.split(":")[0] for area in RESULTS.values() for where in area.values()}
    | {STUDY, FINETUNE}
)
"""Every module from which a key starts."""


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(root: Path) -> dict[str, Path]:
    """All modules below a root, by a listing that knows no imports."""
    found = [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]
    return {name_of(path, root): path for path in found}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, which the keys are made of."""
    for room in ROOMS:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / room, tmp_path / room, ignore=skipped)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "start",
    ["theory.studies.odd_targets", STUDY, pytest.param(FINETUNE, marks=pytest.mark.slow)],
)
def test_an_edit_counts_in_the_closure_and_in_no_other_module(start: str, tree: Path) -> None:
    before, counted, inside = code_digest([start]), set(), set(closure([start]))
    originals = {path: path.read_text(encoding="utf-8") for path in files(tree).values()}

    def put(edited: Iterable[Path]) -> str:
        """The digest with a line more in some files, which then are as they were."""
        chosen = list(edited)
        for path in chosen:
            path.write_text(originals[path] + "\nEDITED = 1\n", encoding="utf-8")
        found = code_digest([start])
        for path in chosen:
            path.write_text(originals[path], encoding="utf-8")
        return found

    outside = [path for name, path in files(tree).items() if name not in inside]
    assert put(outside) == before, "not even all of them together"
    for name, path in files(tree).items():
        if name in inside and put([path]) != before:
            counted.add(name)
    assert counted == inside
    assert code_digest([start]) == before


@pytest.mark.parametrize(
    ("start", "inside", "outside"),
    [
        ("theory.studies.odd_targets", "theory.theorems.odd_targets", "theory.theorems.steps"),
        ("theory.studies.odd_targets", "theory.numerics.scales", "swe.base.files"),
        ("theory.toys.teacher_student", "swe.sharing.stack", "theory.theorems.odd_targets"),
        (STUDY, "swe.ranks.sharded", "bert.study.tables"),  # imported when it is needed
        (STUDY, "bert.pretraining.next_sentence", "theory.models.predictions"),
        (FINETUNE, "bert.finetune.learning.span_task", "bert.finetune.arm_scores"),
        (FINETUNE, "bert.finetune.scoring.squad_metrics", "bert.study.commands"),
        (FINETUNE, "bert.finetune.data.windows", "figures.bert.finetune"),
    ],
)
def test_named_modules_are_inside_and_outside(start: str, inside: str, outside: str) -> None:
    found = closure([start])
    assert inside in found
    assert outside not in found


def rewritten(source: str) -> str:
    """The same code without comments, laid out anew, every text that stands alone another."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            value.value += " Edited."
    return "# edited\n\n" + ast.unparse(tree).replace("\n", "  # edited\n\n", 1) + "\n"


def test_docstrings_comments_and_layout_do_not_count(tree: Path) -> None:
    before = {start: code_digest([start]) for start in STARTS}
    for path in files(tree).values():
        source = path.read_text(encoding="utf-8")
        path.write_text(rewritten(source), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != source
    assert {start: code_digest([start]) for start in STARTS} == before


CODE = 'x = 1\ndef f(a):\n    "What."\n    try:\n        return a\n    finally:\n        "text"\n'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (
            '"""Module."""\nx = 1  # one\n\n\ndef f( a ):\n    try: return a\n    finally: ""\n',
            True,
        ),
        (CODE.replace("x = 1", 'x = 1\n"""Of x."""'), True),
        (CODE.replace("x = 1", "if TYPE_CHECKING:\n    import swe.other\nx = 1"), True),
        (CODE.replace("x = 1", "x = 2"), False),
        (CODE.replace("(a)", "(a: int)"), False),
        (CODE.replace('"What."', 'f"{a}"'), False),
        (CODE.replace("x = 1", 'x = "1"'), False),
    ],
)
def test_what_counts_as_code(
    other: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    path = tmp_path / "swe.py"
    path.write_text(CODE)
    before = code_digest(["swe"])
    path.write_text(other)
    assert (code_digest(["swe"]) == before) == same


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import bert.pack.part", {"bert", "bert.pack", "bert.pack.part"}),
        ("import numpy, bert.pack as p", {"bert", "bert.pack"}),
        ("from bert.pack import part", {"bert", "bert.pack", "bert.pack.part"}),
        ("from bert.pack import name", {"bert", "bert.pack"}),
        ("from bert.pack.part import name", {"bert", "bert.pack", "bert.pack.part"}),
        ("def f():\n    if f:\n        from bert import pack", {"bert", "bert.pack"}),
        ("from . import sibling", {"swe.sibling"}),
        ("from .sibling import name", {"swe.sibling"}),
        ("from torch import bert", set()),
    ],
)
def test_every_form_of_import_is_followed(
    line: str, found: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    for path, text in {
        "swe/__init__.py": "",
        "swe/start.py": line,
        "swe/sibling.py": "import swe.start  # a circle ends",
        "bert/__init__.py": "",
        "bert/pack/__init__.py": "name = 1",
        "bert/pack/part.py": "name = 2",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert closure(["swe.start"]).keys() == {"swe", "swe.start"} | found


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"training\.loop: no module of swe, evidence"):
        closure(["swe.run.loop", "training.loop"])


def test_what_python_loads_is_in_the_closure() -> None:
    """Every start imported for itself, in one process that forgets the project in between."""
    program = (
        "import importlib, json, sys\nfound = {}\n"
        "def ours(): return [n for n in sys.modules if n.split('.')[0] in "
        f"{ROOMS!r}]\n"
        f"for start in {STARTS!r}:\n"
        "    for name in ours(): del sys.modules[name]\n"
        "    importlib.import_module(start)\n"
        "    found[start] = ours()\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    loaded = json.loads(done.stdout)
    assert loaded.keys() == set(STARTS)
    hidden = {start: set(names) - closure([start]).keys() for start, names in loaded.items()}
    assert not any(hidden.values()), hidden


def by_name(source: str, known: set[str]) -> Iterator[str]:
    """Ways to reach a module that are no import: by a function, or by its name in a string."""
    ways = {"import_module", "__import__", "run_module", "run_path", "set_forkserver_preload"}
    for node in ast.walk(ast.parse(source)):
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        if name in ways or (isinstance(node, ast.Name) and name in ("exec", "eval")):
            yield str(name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            module = node.value.split(":")[0]
            if "." in module and module in known:
                yield node.value


def test_nothing_that_computes_reaches_a_module_by_name() -> None:
    known = set(files(PROJECT))
    examples = "import_module('x'); y = 'theory.toys.moments:study'"
    assert set(by_name(examples, known)) == {"import_module", "theory.toys.moments:study"}
    paths = closure(STARTS)
    found = {n: list(by_name(p.read_text(encoding="utf-8"), known)) for n, p in paths.items()}
    assert not {name: ways for name, ways in found.items() if ways}
