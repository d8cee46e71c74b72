from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert.data import harvest as module
from bert.data.harvest import harvest, module_files, package_folder, paragraphs_of_source
from bert.data.prose import paragraphs
from bert.data.text import DataError, documents, file_sha256, is_validation

NUMPYDOC = """
Return the sum of all the elements of an array.

Parameters
----------
x, y : array_like, optional
    The arrays whose ``elements`` are to be
    summed, as in :func:`numpy.sum <sum>`.
axis : int
    The axis.

Returns
-------
total : float

See Also
--------
mean : Compute the average of the elements of an array.

Notes
-----
The *exact* sum is not `representable` in floating point [1]_; see::

    total = the(of, an, array) is in the code and it is not prose

.. note:: The order of the sum is that of the memory.

.. math::

    s = \\\\sum_i a_i is the sum of the and of the

- One item of the list that is a sentence.
- Another item of the list; it goes
  on to the next line.

=====  ==========================
Name   The meaning of the name
=====  ==========================
a | b  the one or the other of the two is in the table

>>> total(the, of) # is a doctest and is not in the text
the output of the doctest is dropped as well

Some more prose follows after the doctest.
"""

NUMPYDOC_PROSE = [
    "Return the sum of all the elements of an array.",
    "The arrays whose elements are to be summed, as in numpy.sum.",
    "mean : Compute the average of the elements of an array.",
    "The exact sum is not representable in floating point; see:",
    "The order of the sum is that of the memory.",
    "One item of the list that is a sentence.",
    "Another item of the list; it goes on to the next line.",
    "Some more prose follows after the doctest.",
]

GOOGLE = """Moves the tensor to the device of the module.

Args:
    input (Tensor): the tensor that is to be moved to the device.
    device (str, optional): name of the device. It must be one of
        those that are known to the module.

Returns:
    Tensor: a copy of the tensor on the device.

Example::

    >>> move(the, tensor) is not in the text of the module
    more of the code that is not in the text
"""

GOOGLE_PROSE = [
    "Moves the tensor to the device of the module.",
    "the tensor that is to be moved to the device.",
    "name of the device. It must be one of those that are known to the module.",
    "a copy of the tensor on the device.",
]


def test_numpydoc_keeps_descriptions_only() -> None:
    assert paragraphs(NUMPYDOC) == NUMPYDOC_PROSE


def test_google_style_keeps_descriptions_only() -> None:
    assert paragraphs(GOOGLE) == GOOGLE_PROSE


@pytest.mark.parametrize(
    "text",
    [
        "one two three four five six seven",  # no function words
        "It is too short.",
        "if (x) { return the_value; } else { is in the other; }",
        "the 1.0 of 2.0 is 3.0 and 4.0 or 5.0 in 6.0",
        "the text of this has a \0 in it",
        "the text of this has a lone \ud800 in it",
    ],
)
def test_what_is_no_prose_is_dropped(text: str) -> None:
    assert paragraphs(text) == []


def test_strings_and_comments_come_in_source_order() -> None:
    source = (
        b'add_newdoc("f", "The first text is the argument of a call.")\n'
        b"# The second text is a comment\n#  of two lines in the module.\n\n"
        b"# a single comment line of the module is not taken\n\n"
        b'def g():\n    r"""The third text is a docstring of the module."""\n'
    )
    assert paragraphs_of_source(source) == [
        "The first text is the argument of a call.",
        "The second text is a comment of two lines in the module.",
        "The third text is a docstring of the module.",
    ]


def test_unparsable_source_is_passed_over() -> None:
    assert paragraphs_of_source(b'"""The text of a template is here."""\n{{ if }}') == []
    assert paragraphs_of_source(b"\xff\xfe") == []


SHARED = "This sentence of the base class, version {}, is inherited by all of the others."


@pytest.fixture
def fake_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    files = {
        "__init__.py": f'"""{SHARED.format(1)}"""\nraise RuntimeError("imported")\n',
        "b/later.py": f'"""{SHARED.format(2).upper()}\n\nThe sun is out, and it is warm."""\n',
        "a.py": '"""A module of its own, which has a sentence\nthat is in no other module."""\n',
        "empty.py": "x = 1\n",
        "broken.py": "def (:\n",
        "tests/test_a.py": '"""The text of a test is not a part of the documentation at all."""\n',
        "_vendor/lib.py": '"""The text of another project under the licence of the other."""\n',
    }
    for name, source in files.items():
        file = tmp_path / "site" / "fakepackage" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return "fakepackage"


def test_fake_package_gives_this_text(fake_package: str, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        calls.append((done, total))

    path = harvest(tmp_path / "out", packages=[fake_package], jobs=1, progress=progress)
    assert list(documents(path)) == [
        SHARED.format(1),
        "A module of its own, which has a sentence that is in no other module.",
        "The sun is out, and it is warm.",
    ]
    assert calls == [(n, 5) for n in range(1, 6)]
    assert fake_package not in sys.modules
    manifest = json.loads((path.parent / module.MANIFEST_NAME).read_text())
    assert manifest["packages"] == [
        {
            "name": fake_package,
            "version": None,
            "licence": None,
            "files": 5,
            "documents": 3,
            "bytes": path.stat().st_size,
        }
    ]
    assert (manifest["files"], manifest["documents"], manifest["paragraphs"]) == (5, 3, 3)
    assert manifest["words"] == sum(len(text.split()) for text in documents(path))
    assert manifest["bytes"] == path.stat().st_size
    assert manifest["sha256"] == file_sha256(path).hex()


def test_current_harvest_is_reused_and_a_changed_one_rebuilt(
    fake_package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = harvest(tmp_path / "out", packages=[fake_package], jobs=1)
    text, inode = path.read_bytes(), path.stat().st_ino
    assert harvest(tmp_path / "out", packages=[fake_package], jobs=1) == path
    assert path.stat().st_ino == inode
    path.write_bytes(text + b"tampered")
    harvest(tmp_path / "out", packages=[fake_package], jobs=1)
    assert path.read_bytes() == text
    (path.parent / module.MANIFEST_NAME).write_text("{")
    harvest(tmp_path / "out", packages=[fake_package], jobs=1)
    inode = path.stat().st_ino
    newer = {"name": fake_package, "version": "2", "licence": None}
    monkeypatch.setattr(module, "_describe", lambda package: newer)
    harvest(tmp_path / "out", packages=[fake_package], jobs=1)
    assert path.stat().st_ino != inode


def test_failure_midway_leaves_the_old_harvest(
    fake_package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = harvest(tmp_path / "out", packages=[fake_package], jobs=1)
    before = {file: file.read_bytes() for file in path.parent.iterdir()}

    def failing(files: list[Path], jobs: int) -> Iterator[list[str]]:
        yield ["The first file of the new harvest is written to the disk."]
        raise OSError("disk full")

    monkeypatch.setattr(module, "_extract_all", failing)
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    with pytest.raises(OSError, match="disk full"):
        harvest(tmp_path / "out", packages=[fake_package], jobs=1)
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def test_missing_package_and_missing_prose(
    fake_package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"^no_such_package_here: the package is not installed"):
        harvest(tmp_path / "out", packages=["no_such_package_here"])
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(module, "paragraphs", lambda text: [])
    with pytest.raises(DataError, match="no documentation found in fakepackage"):
        harvest(tmp_path / "out", packages=[fake_package], jobs=1)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture(scope="module")
def numpy_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return harvest(tmp_path_factory.mktemp("numpy"), packages=["numpy"], jobs=1)


def test_two_workers_write_the_same_bytes(numpy_text: Path, tmp_path: Path) -> None:
    path = harvest(tmp_path, packages=["numpy"], jobs=2)
    assert path.read_bytes() == numpy_text.read_bytes()


def test_installed_package_gives_prose_with_its_licence(numpy_text: Path) -> None:
    manifest = json.loads((numpy_text.parent / module.MANIFEST_NAME).read_text())
    (entry,) = manifest["packages"]
    assert entry["licence"] is not None
    assert "BSD" in entry["licence"]
    assert manifest["words"] > 50_000
    assert ">>>" not in numpy_text.read_text("utf-8")
    # numpy's array functions get their text by calls, not as docstrings.
    assert "Return a new array of given shape and type, filled with zeros." in numpy_text.read_text(
        "utf-8"
    )


def test_validation_shares_no_paragraph_with_training(numpy_text: Path) -> None:
    def letters(valid: bool) -> set[str]:
        return {
            "".join(filter(str.isalpha, paragraph.lower()))
            for document in documents(numpy_text)
            if is_validation(document, 200) == valid
            for paragraph in document.split("\n")
        }

    train, valid = letters(False), letters(True)
    assert len(train) > 1000
    assert len(valid) > 100
    assert not train & valid


def test_module_files_skip_tests_and_are_sorted() -> None:
    root = package_folder("numpy")
    files = [file.relative_to(root).as_posix() for file in module_files(root)]
    assert files == sorted(files)
    assert "ma/core.py" in files
    assert not [name for name in files if "tests/" in name or "testing/" in name]
    assert ast.parse((root / "ma/core.py").read_bytes())
