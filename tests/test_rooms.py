"""The rules of the house: what each room may import, told with the line that breaks the rule."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("swe", "evidence", "theory", "bert", "figures", "benchmarks", "paper_repro", "tests")

BASE = ("swe.base",)
CORE = (*BASE, "swe.sharing", "swe.transforms", "swe.ranks", "swe.run")
CLOSED = ("theory.numerics", "theory.linear", "theory.theorems", "theory.models")
DRAWN = (*BASE, "evidence", "figures.base")
PRETRAINED = (
    *(*CORE, "evidence", *CLOSED),
    *("bert.data", "bert.model", "bert.huggingface", "bert.languages"),
)
STUDIED = (*PRETRAINED, "bert.pretraining", "bert.study")
FINE = (*STUDIED, "bert.finetune.data", "bert.finetune.scoring", "bert.finetune.learning")

MAY_IMPORT: dict[str, Sequence[str]] = {
    "swe.base": (),
    "swe.sharing": CORE[:1],
    "swe.transforms": CORE[:2],
    "swe.ranks": CORE[:3],
    "swe.run": CORE[:4],
    "swe.predict": CORE[:1],
    "swe.probes": (*CORE[:2], "swe.predict"),
    "swe": (),
    "evidence": BASE,
    "theory.numerics": (),
    "theory.linear": CLOSED[:1],
    "theory.theorems": CLOSED[:2],
    "theory.models": CLOSED[:3],
    "theory.studies": (*BASE, "evidence", *CLOSED),
    "theory.claims": (*BASE, "evidence", *CLOSED, "theory.studies"),
    "theory.toys": (
        *CORE,
        "swe.predict",
        "swe.probes",
        "evidence",
        *CLOSED,
        "theory.studies",
        "theory.claims",
    ),
    "theory": (),
    "bert.data": (*BASE, "evidence"),
    "bert.model": CORE,
    "bert.huggingface": (*CORE, "bert.data", "bert.model"),
    "bert.languages": (*CORE, "bert.model"),
    "bert.pretraining": (*CORE, "bert.data", "bert.model"),
    "bert.study": (*PRETRAINED, "bert.pretraining"),
    "bert.claims": (*BASE, "evidence"),
    "bert.finetune.data": FINE[:-3],
    "bert.finetune.scoring": FINE[:-2],
    "bert.finetune.learning": FINE[:-1],
    "bert.finetune": FINE,
    "bert": (*STUDIED,),
    "figures.base": DRAWN[:-1],
    "figures.theory": DRAWN,
    "figures.toys": DRAWN,
    "figures.bert": DRAWN,
    "figures.pages": (*DRAWN, "figures.theory", "figures.toys", "figures.bert"),
    "figures": (),
}
"""Of each room, the rooms that it may import beside itself. A module's room is its package;
commands that lie in no deeper room (``bert/pretrain.py``) are in their top folder's. What is in no
room here (the tests, the benchmarks, ``paper_repro.py``) may import everything."""

NO_TORCH = [
    room
    for room in MAY_IMPORT
    if room in ("swe.base", "swe.predict", "evidence")
    or (room.split(".")[0] in ("theory", "figures") and room != "theory.toys")
]


class Import(NamedTuple):
    """One import statement: the module it is in, its line, and what it names."""

    module: str
    line: str
    names: tuple[str, ...]


def module_of(path: Path) -> str:
    """Dotted name of a file of the project."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(source: str, module: str, where: str) -> Iterator[Import]:
    """Every import of a source text, at any depth: one inside a function is one too."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        line = f"{where}:{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Import):
            yield Import(module, line, tuple(alias.name for alias in node.names))
        else:
            assert node.level == 0, f"{line}: relative"
            yield Import(module, line, tuple(f"{node.module}.{a.name}" for a in node.names))


@cache
def project_imports() -> tuple[Import, ...]:
    """All imports of the project's own code (tests and benchmarks too)."""
    return tuple(
        found
        for top in TOPS
        for path in sorted([*(ROOT / top).rglob("*.py"), *ROOT.glob(f"{top}.py")])
        for found in imports_in(
            path.read_text(encoding="utf-8"), module_of(path), str(path.relative_to(ROOT))
        )
    )


@cache
def modules() -> frozenset[str]:
    """All modules and packages of the project."""
    return frozenset(
        module_of(path)
        for top in TOPS
        for path in [*(ROOT / top).rglob("*.py"), *ROOT.glob(f"{top}.py")]
    )


def defining(name: str) -> str:
    """The project's module that an imported dotted name stands for or in; "" for a library's."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name


def room_of(module: str) -> str:
    """The longest room that holds the module; "" for tests, benchmarks and the command."""
    while module and module not in MAY_IMPORT:
        module = module.rpartition(".")[0]
    return module


def out_of_bounds(imports: Sequence[Import]) -> list[str]:
    """Lines that import from a room that theirs may not."""
    found = []
    for module, line, names in imports:
        room = room_of(module)
        for name in names:
            target = room_of(defining(name))
            if room and target and target != room and target not in MAY_IMPORT[room]:
                found.append(f"{line}\n    {room} may import {', '.join(MAY_IMPORT[room])} only")
    return found


def with_torch(imports: Sequence[Import]) -> list[str]:
    """Lines by which a room without torch would load it."""
    return [
        line
        for module, line, names in imports
        if room_of(module) in NO_TORCH and any(name.split(".")[0] == "torch" for name in names)
    ]


def through_the_front_door(imports: Sequence[Import]) -> list[str]:
    """Lines that take a public name from ``swe`` itself: it is loaded lazily, out of sight."""
    return [
        line
        for module, line, names in imports
        if room_of(module) and any(defining(name) == "swe" and name != "swe" for name in names)
    ]


def a_circle(imports: Sequence[Import]) -> list[str]:
    """One circle of files that import one another; empty without any."""
    graph: dict[str, set[str]] = {}
    for module, _, names in imports:
        graph.setdefault(module, set()).update(
            target for name in names if (target := defining(name)) and target != module
        )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def test_every_folder_is_a_room() -> None:
    folders = {
        module_of(path / "__init__.py")
        for top in TOPS[:5]
        for path in [ROOT / top, *(ROOT / top).rglob("*")]
        if path.is_dir() and path.name != "__pycache__"
    }
    assert folders == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "rule", [out_of_bounds, with_torch, through_the_front_door, a_circle], ids=lambda r: r.__name__
)
def test_rule(rule: type) -> None:
    broken = rule(project_imports())
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        (out_of_bounds, "swe.base.files", "def f():\n    from swe.run.loop import train"),
        (out_of_bounds, "swe.sharing.stack", "from swe.ranks import distributed"),
        (out_of_bounds, "swe.run.loop", "from swe.probes import curvature"),
        (out_of_bounds, "theory.models.quadratic", "import theory.claims.ledger"),
        (out_of_bounds, "bert.study.arms", "from bert.pretrain import main"),
        (out_of_bounds, "figures.bert.loss", "from bert.study import tables"),
        (with_torch, "evidence.claim", "def f():\n    import torch.nn as nn"),
        (with_torch, "theory.linear.descent", "from torch import Tensor"),
        (through_the_front_door, "bert.pretrain", "from swe import adopt"),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_a_broken_rule_is_told_with_its_line(rule: type, module: str, source: str) -> None:
    [line] = rule(list(imports_in(source, module, "some/file.py")))
    assert line.startswith("some/file.py:")


def test_a_circle_is_found() -> None:
    pair = [
        Import("swe.run.loop", "", ("swe.run.task",)),
        Import("swe.run.task", "", ("swe.run.loop",)),
    ]
    assert a_circle(pair)
    assert not a_circle(pair[:1])


def test_rooms_without_torch_load_none() -> None:
    """Not by way of another module either: each module of these rooms, imported in one process."""
    names = [name for name in sorted(modules()) if room_of(name) in NO_TORCH]
    program = (
        f"import importlib, sys\nfor name in {names}:\n    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
