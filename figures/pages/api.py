"""docs/api.md from the stub and the docstrings of ``swe``, read as text: nothing is imported.

``python -m figures.pages.api`` writes the page; a test compares it.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from swe.base.files import write_text

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"
HEAD = """# Public names

All of them: `from swe import NAME`. Each is loaded when it is first used. What is not on this page
is private by convention. Made from the docstrings by `python -m figures.pages.api`.

| Name | What it is | Defined in |
| --- | --- | --- |
"""

Definition = ast.FunctionDef | ast.ClassDef


def public_names() -> dict[str, str]:
    """Return {public name: file that defines it, below the project's root} from the stub."""
    stub = ast.parse((ROOT / "swe" / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: f"swe/{node.module.replace('.', '/')}.py"
        for node in stub.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def definition(name: str, file: str) -> Definition:
    """Return the syntax tree of a public function or class."""
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, Definition) and node.name == name:
            return node
    raise LookupError(f"{file}: does not define {name}, which swe/__init__.pyi names")


def page() -> str:
    """Return the whole page: a table of the names, then each with its signature and docstring."""
    found = {name: definition(name, file) for name, file in sorted(public_names().items())}
    files = public_names()
    rows = [
        f"| [`{name}`](#{name.lower()}) | {_cell(_summary(node))} | `{files[name]}` |"
        for name, node in found.items()
    ]
    return HEAD + "\n".join(rows) + "\n" + "".join(_entry(node) for node in found.values())


def _entry(node: Definition) -> str:
    parts = [f"\n## {node.name}\n\n```python\n{_signature(node)}\n```\n\n{_text(node)}\n"]
    if isinstance(node, ast.ClassDef):
        for field, words in _fields(node):
            parts.append(f"\n- `{field}`: {' '.join(words.split())}")
        for member in node.body:
            if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                parts.append(f"\n- `.{_signature(member, short=True)}`: {_summary(member)}")
        parts.append("\n")
    return "".join(parts)


def _fields(node: ast.ClassDef) -> list[tuple[str, str]]:
    """Annotated fields with the docstring that follows each."""
    return [
        (ast.unparse(field), text.value.value)
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    ]


def _signature(node: Definition, short: bool = False) -> str:
    if isinstance(node, ast.ClassDef):
        start = next(
            (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None
        )
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        head = f"class {node.name}({bases})" if bases else f"class {node.name}"
        return f"{head}\n{node.name}({_arguments(start, skip=1)})" if start else head
    if short:
        static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
        if any("property" in ast.unparse(d) for d in node.decorator_list):
            return node.name
        return f"{node.name}({_arguments(node, skip=0 if static else 1)})"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({_arguments(node)}){result}"


def _arguments(node: ast.FunctionDef, skip: int = 0) -> str:
    arguments = ast.parse(ast.unparse(node)).body[0]
    assert isinstance(arguments, ast.FunctionDef)
    del arguments.args.args[:skip]
    return ast.unparse(arguments.args)


def _text(node: Definition) -> str:
    return inspect.cleandoc(ast.get_docstring(node) or "")


def _summary(node: Definition) -> str:
    return " ".join(_text(node).split("\n\n")[0].split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_text(PAGE, page())
