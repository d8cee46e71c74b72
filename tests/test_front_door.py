"""The public names of ``swe``: lazily loaded, documented, and all there is."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import swe
from figures.pages.api import PAGE, definition, page, public_names

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(set(swe.__all__) - {"__version__"})
PAPERS = {
    "AlwaysShared", "GradientStatistics", "Layout", "NeverShared", "OptimizerConfig",
    "ShareThenUnshare", "SweAdaptive", "SweFixed", "SweMultistage",
}  # fmt: skip
"""What comes out of the paper, or is measured against it: the docstring says where it stands."""


def run(program: str) -> str:
    """What a fresh interpreter prints, started in the checkout."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_loads_nothing_heavy() -> None:
    heavy = "('torch', 'numpy', 'scipy', 'tqdm', 'safetensors')"
    assert run(f"import swe, sys; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_names_are_themselves_in_any_order() -> None:
    """Where submodules were imported before, and where they were not: never a module."""
    kinds = "sorted(type(getattr(swe, n)).__name__ for n in swe.__all__)"
    one = run(f"import swe; print({kinds})")
    assert one == run(f"import swe.sharing.adopt, swe.run.loop, swe; print({kinds})")
    assert "module" not in one


def test_the_stub_the_list_and_the_definitions_agree() -> None:
    assert sorted(public_names()) == NAMES
    for name in NAMES:
        value = getattr(swe, name)
        assert value.__name__ == name
        assert public_names()[name] == f"{value.__module__.replace('.', '/')}.py"
    assert set(dir(swe)) == set(NAMES)
    missing = "nothing"
    with pytest.raises(AttributeError, match=missing):
        getattr(swe, missing)


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", swe.__version__)
    assert 'version = { attr = "swe.__version__" }' in (ROOT / "pyproject.toml").read_text("utf-8")


def raises(node: ast.AST) -> bool:
    """Whether code refuses something itself: ``raise`` or one of the checks of swe.base.config."""
    return any(
        isinstance(part, ast.Raise)
        or (isinstance(part, ast.Call) and ast.unparse(part.func).startswith("require"))
        for part in ast.walk(node)
    )


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_say_what_is_needed(name: str) -> None:
    value = getattr(swe, name)
    words = value.__doc__
    assert words
    assert words.strip().split("\n")[0].endswith((".", ":"))
    if name in PAPERS:
        assert "arXiv" in words, "no source"
    node = definition(name, public_names()[name])
    body = node.body if isinstance(node, ast.FunctionDef) else [
        part for part in node.body
        if isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__post_init__")
    ]  # fmt: skip
    if any(raises(part) for part in body):
        assert "Error" in words or "Raises" in words, "raises, and does not say what"


@pytest.mark.parametrize("name", NAMES)
def test_public_members_are_documented(name: str) -> None:
    node = definition(name, public_names()[name])
    if isinstance(node, ast.FunctionDef):
        return
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
            assert inspect.getdoc(getattr(getattr(swe, name), part.name)), part.name


def test_the_page_is_that_of_the_docstrings() -> None:
    """``python -m figures.pages.api`` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()
