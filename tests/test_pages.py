"""Pages lead where they say: links, paths and modules exist, claims have all that they name."""

from __future__ import annotations

import ast
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from figures.pages.claims_page import anchor

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
)
ROOMS = ("swe", "evidence", "theory", "bert", "figures", "tests", "benchmarks", "records", "docs")
CLAIMS = json.loads((ROOT / "records" / "default" / "claims.json").read_text(encoding="utf-8"))
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def links(page: str) -> list[tuple[Path, str]]:
    """File and anchor of every link that leads to a file of ours."""
    found = []
    for target in LINK.findall(CODE.sub("", read(page))):
        if "://" not in target:
            path, _, place = target.partition("#")
            found.append(((ROOT / page).parent / path if path else ROOT / page, place))
    return found


def anchors(path: Path) -> set[str]:
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for path, place in links(page):
        assert path.exists(), path
        assert not place or place in anchors(path), f"{path}#{place}"


@pytest.mark.parametrize("page", PAGES)
def test_every_path_and_module_of_ours_on_a_page_exists(page: str) -> None:
    """Paths in backticks that begin with a room, and what ``python -m`` is told to run."""
    text = read(page)
    for path in re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"-m ((?:swe|theory|bert|figures|benchmarks|evidence)[\w.]*\w)", text):
        assert find_spec(module) is not None, module
    for name in re.findall(r"`((?:swe|theory|bert|figures|evidence)(?:\.\w+)+)\b[^`]*`", text):
        parts = name.split(".")
        places = [ROOT.joinpath(*parts[:end]) for end in range(len(parts) - 1, len(parts) + 1)]
        assert any(p.is_dir() or p.with_suffix(".py").exists() for p in places), name


def test_every_page_is_one_step_from_the_readme() -> None:
    linked = {path.resolve() for path, _ in links("README.md")}
    assert [page for page in PAGES if page != "README.md" and ROOT / page not in linked] == []


def test_every_room_is_one_step_from_the_readme() -> None:
    linked = [path.resolve() for path, _ in links("README.md")]
    for room in ROOMS:
        if room != "docs":
            assert ROOT / room in linked
        assert any(ROOT / room in path.parents for path in linked), room


def test_the_readme_stays_short() -> None:
    assert len(read("README.md").splitlines()) <= 145


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim["id"] for claim in CLAIMS])
def test_a_claim_has_its_place_and_all_that_it_names(claim: dict[str, str]) -> None:
    assert anchor(claim["id"]) in anchors(ROOT / "docs" / "claims.md")
    page, _, place = claim["section"].partition("#")
    assert place in anchors(ROOT / page)
    path, _, function = claim["code"].partition(":")
    tree = ast.parse(read(path))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
