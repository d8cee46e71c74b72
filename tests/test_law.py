"""Licence, citation, changelog and the contributor's page agree with the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def line_after(mark: str, page: str) -> list[str]:
    """Lines of the code block below a mark."""
    match = re.search(rf"<!-- {mark} -->\n```sh\n(.*?)```", read(page), re.DOTALL)
    assert match is not None, (mark, page)
    return match[1].splitlines()


def test_the_licence_is_whole_and_named_alike() -> None:
    text = read("LICENSE")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert all(f"\n   {number}. " in text for number in range(1, 10))
    assert "END OF TERMS AND CONDITIONS" in text
    assert "\nlicense: Apache-2.0\n" in read("CITATION.cff")
    assert "Apache License, Version 2.0" in read("NOTICE")


def test_the_citation_names_the_paper_of_the_readme() -> None:
    [number] = set(re.findall(r"arxiv\.org/abs/([\d.]+\d)", read("README.md")))
    citation = read("CITATION.cff")
    assert "cff-version: 1.2.0" in citation
    assert f"arXiv:{number}" in citation.partition("\nreferences:\n")[2]


def test_every_move_leads_from_a_gone_path_to_one_that_is_there() -> None:
    rows = re.findall(r"^\| (\S+\.py) \| (\S.*\.py) \|$", read("CHANGELOG.md"), re.MULTILINE)
    assert len(rows) == len(dict(rows)) > 150
    for old, new in rows:
        assert not (ROOT / old).exists(), old
        for path in new.split(", "):
            assert (ROOT / path).exists(), path


def test_the_test_line_is_that_of_the_readme() -> None:
    assert line_after("tests", "CONTRIBUTING.md") == line_after("tests", "README.md")


def test_the_checks_are_the_same_everywhere() -> None:
    """The contributor's page, the hooks before a commit and CI."""
    checks = line_after("checks", "CONTRIBUTING.md")
    hooks = re.findall(r"^ +entry: (.+)$", read(".pre-commit-config.yaml"), re.MULTILINE)
    ci = read(".ci/run").partition("'.[dev]'\n")[2].splitlines()
    assert checks == hooks == ci
    assert len(checks) == 3


@pytest.mark.parametrize("what", ["A schedule", "A claim", "A figure", "A language"])
def test_what_to_touch_exists(what: str) -> None:
    section = read("CONTRIBUTING.md").partition(f"### {what}\n")[2].partition("\n#")[0]
    paths = re.findall(r"`([\w./]+/[\w.]*)`", section)
    assert len(paths) >= 5
    for path in paths:
        assert (ROOT / path).exists(), path


def test_names_of_tests_are_short() -> None:
    """At most 60 characters: a name is read in a list of failures."""
    names = [
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
    ]
    assert len(names) > 1000
    assert [name for name in names if len(name) > 60] == []
