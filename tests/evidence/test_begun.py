"""Half-done work of other code is neither gone on with nor begun again unasked; who did what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evidence import begun
from evidence.begun import OtherCode, continued, keyed_folder
from swe.base.errors import ConfigError, RunFolderError
from swe.base.files import read_json

DONE = "done"


def half_done(folder: Path) -> bool:
    return not (folder / DONE).exists()


@pytest.fixture
def under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Ask for the folder of "small" as code ``letter``, of a commit of that letter."""

    def ask(letter: str, other_code: OtherCode = "refuse", dirty: bool = False) -> Path:
        revision = {"commit": letter * 40, "dirty": dirty}
        monkeypatch.setattr(begun, "code_digest", lambda modules: letter * 64)
        monkeypatch.setattr(begun, "revision", lambda: revision)
        return keyed_folder(tmp_path, "small", "some.module", other_code, half_done)

    return ask


def workers(folder: Path) -> list[tuple[str, bool]]:
    found = read_json(folder / "code.json")["workers"]
    assert all(one["code"][0] == one["commit"][0] for one in found)
    return [(one["commit"][0], one["dirty"]) for one in found]


def test_the_same_code_goes_on_in_its_folder(under: Callable[..., Path]) -> None:
    folder = under("a")
    assert folder.name == "small-aaaaaaaaaa"
    assert under("a") == folder
    assert workers(folder) == [("a", False)]


def test_other_code_is_refused_with_both_commits_and_the_option(
    under: Callable[..., Path], tmp_path: Path
) -> None:
    folder = under("a", dirty=True)
    with pytest.raises(ConfigError) as refused:
        under("b")
    [line] = str(refused.value).splitlines()
    for part in (
        str(folder),
        "commit aaaaaaaaaa with changes (code aaaaaaaaaa)",
        "commit bbbbbbbbbb (code bbbbbbbbbb)",
        "--other-code continue",
        "anew",
    ):
        assert part in line
    assert list(tmp_path.iterdir()) == [folder], "nothing was begun"
    assert workers(folder) == [("a", True)], "nor recorded"


def test_continued_under_other_code_the_record_names_both(under: Callable[..., Path]) -> None:
    """Asked once a pair of codes: then both may go on, and every change of hands is recorded."""
    folder = under("a")
    assert under("b", "continue") == folder
    assert under("b") == folder
    assert under("a") == folder
    assert workers(folder) == [("a", False), ("b", False), ("a", False)]
    with pytest.raises(ConfigError, match="half done by commit aaaaaaaaaa"):
        under("c")


def test_anew_begins_beside_it(under: Callable[..., Path]) -> None:
    old = under("a")
    new = under("b", "anew")
    assert new.name == "small-bbbbbbbbbb"
    assert under("b") == new
    assert under("b", "continue") == new, "its own comes first"
    assert under("a") == old
    assert (workers(old), workers(new)) == ([("a", False)], [("b", False)])


@pytest.mark.parametrize("option", begun.OTHER_CODE)
def test_what_other_code_finished_is_computed_again(
    option: OtherCode, under: Callable[..., Path]
) -> None:
    old = under("a")
    (old / DONE).touch()
    new = under("b", option)
    assert new != old
    assert workers(old) == [("a", False)]


def test_names_that_begin_alike_are_apart(under: Callable[..., Path], tmp_path: Path) -> None:
    mine = under("a")
    other = keyed_folder(tmp_path, "small-er", "some.module", "refuse", half_done)
    assert under("b", "continue") == mine != other


def test_a_folder_without_record_is_of_an_unknown_commit(
    under: Callable[..., Path], tmp_path: Path
) -> None:
    under("a")
    with pytest.raises(ConfigError, match=r"run: half done by an unknown commit, and this is comm"):
        continued(tmp_path / "run", "a" * 64, "refuse", anew="another --out begins again")
    assert workers(continued(tmp_path / "run", "a" * 64, "continue", anew="")) == [("a", False)]


@pytest.mark.parametrize("text", ["{", "[]", '{"workers": [{"code": 1}]}', '{"workers": 3}'])
def test_a_damaged_record_is_told(text: str, under: Callable[..., Path]) -> None:
    (under("a") / "code.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"code\.json: cannot be read"):
        under("a")
