"""The code that a result depends on: the import closure of the module that computes it.

Read from the sources, never imported: what a function imports when it is called counts, and so does
the code of every package on the way (its ``__init__``). A library's code does not: versions stand
in the record of the machine. What names a module by a string (``theory.studies.results``) is no
import, so the key of such a result starts at the module that the string names.

Files that are no Python (templates) are of the rooms that show results, not of those that compute
them; data enters by its checksums, in the configuration.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("swe", "evidence", "theory", "bert")
"""Top packages whose code counts; nothing that computes imports another (tests/test_rooms.py)."""


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """Return {module: file} of all that ``modules`` import, at any depth, and themselves.

    Raises ModuleNotFoundError for a start that is none of the project's modules.
    """
    found: dict[str, Path] = {}
    todo = list(modules)
    for name in todo:
        if _file(name) is None:
            raise ModuleNotFoundError(f"{name}: no module of {', '.join(ROOMS)} in {ROOT}")
    while todo:
        name = todo.pop()
        path = None if name in found else _file(name)
        if path is None:
            continue
        found[name] = path
        todo += [name.rpartition(".")[0], *_module(name, path)[1]]
    return found


def code_digest(modules: Iterable[str]) -> str:
    """Return a digest of the closure's code: layout, comments and docstrings do not count."""
    digest = hashlib.sha256()
    for name, path in sorted(closure(modules).items()):
        code, _ = _module(name, path)
        if code:  # a package of a docstring alone is no code
            digest.update(f"{name} {code}\n".encode())
    return digest.hexdigest()


def _file(name: str) -> Path | None:
    """Return the file of a module of the project; None for a library's, or a function's name."""
    if name.partition(".")[0] not in ROOMS:
        return None
    place = ROOT.joinpath(*name.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _module(name: str, path: Path) -> tuple[str, frozenset[str]]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _read(path.read_text(encoding="utf-8"), package)


@lru_cache(maxsize=4096)
def _read(source: str, package: str) -> tuple[str, frozenset[str]]:
    """Return the digest of a module's code ("" without any), and all names that it may import."""
    tree = ast.parse(source)
    code = list(_running(tree.body))
    if not code:
        return "", frozenset()
    tree.body = code
    names = {name for node in ast.walk(tree) for name in _imported(node, package)}
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(names)


def _running(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run, within them too: not text that stands alone (a docstring of a
    module, class, function or attribute), nor what only a type checker reads."""
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            if isinstance(statement.value.value, str):
                continue
        elif isinstance(statement, ast.If) and _is_type_checking(statement.test):
            yield from _running(statement.orelse)
            continue
        _strip(statement)
        yield statement


def _strip(node: ast.AST) -> None:
    """Keep, in every block below a statement, what runs."""
    for name in ("body", "orelse", "finalbody"):
        block: Any = getattr(node, name, None)
        if isinstance(block, list):
            setattr(node, name, list(_running(block)))
    for name in ("handlers", "cases"):
        for part in getattr(node, name, ()):
            _strip(part)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _imported(node: ast.AST, package: str) -> list[str]:
    """Return the dotted names that an import statement may load: modules, and names in them."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        above = parts[: len(parts) + 1 - node.level] if node.level else []
        start = ".".join([*above, *([node.module] if node.module else [])])
        names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
    else:
        return []
    return names
