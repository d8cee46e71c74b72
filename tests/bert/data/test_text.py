from __future__ import annotations

import gzip
import json
import lzma
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert.data.text import DataError, documents, fingerprint, is_validation, source_files

DOCUMENTS = ["First line.\nSecond línea.", "Another document", "中文 and more\nwords"]
BLANK_SEPARATED = "\n\n".join(DOCUMENTS).encode() + b"\n"
JSON_LINES = "".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS).encode()
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
}


def one_line_error(paths: Path | list[Path]) -> str:
    with pytest.raises(DataError) as caught:
        list(documents(paths))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("suffix", "content"), [(".txt", BLANK_SEPARATED), (".jsonl", JSON_LINES)])
def test_same_documents_from_every_container(
    tmp_path: Path, suffix: str, content: bytes, codec: str
) -> None:
    file = tmp_path / f"data{suffix}{codec}"
    file.write_bytes(CODECS[codec](content))
    assert list(documents(file)) == DOCUMENTS


line = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"], exclude_characters="\ufeff"),
    min_size=1,
)


@settings(deadline=None, max_examples=50)
@given(
    expected=st.lists(st.lists(line, min_size=1, max_size=3), min_size=1, max_size=5),
    line_end=st.sampled_from(["\n", "\r\n", " \n"]),
    gap=st.integers(1, 3),
    final=st.booleans(),
)
def test_documents_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory,
    expected: list[list[str]],
    line_end: str,
    gap: int,
    final: bool,
) -> None:
    file = tmp_path_factory.mktemp("text") / "data.txt"
    separator = line_end * (gap + 1)
    text = separator.join(line_end.join(lines) for lines in expected) + line_end * final
    file.write_bytes(text.encode())
    assert list(documents(file)) == ["\n".join(lines) for lines in expected]


def test_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfword")
    assert list(documents(tmp_path)) == ["word"]


def test_folder_is_read_sorted_and_recursively(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.txt", "a.txt", "b/c.txt", "notes.md", ".hidden.txt", "b/image.png"):
        (tmp_path / name).write_text(name)
    assert list(documents(tmp_path)) == ["a.txt", "b/c.txt", "z.txt"]
    both = [tmp_path / "z.txt", tmp_path / "b"]
    assert list(documents(both)) == ["z.txt", "b/c.txt"]
    assert source_files(both) == [tmp_path / "z.txt", tmp_path / "b" / "c.txt"]


def test_memory_holds_one_document_not_the_file(tmp_path: Path) -> None:
    file = tmp_path / "large.txt.gz"
    with gzip.open(file, "wb", compresslevel=1) as out:
        for _ in range(2000):
            out.write(b"word " * 2000 + b"\n\n")  # 20 MB in documents of 10 kB
    tracemalloc.start()
    try:
        assert sum(1 for _ in documents(file)) == 2000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


# No time of day in the archives: they name the tests, and two workers must collect the same.
DAMAGED_GZIP = bytearray(gzip.compress(bytes(range(1, 10)) * 400, mtime=0))
DAMAGED_GZIP[-6] ^= 1  # in the checksum


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "the text is empty"),
        ("a.txt", b" \n\n\t\n", "the text is empty"),
        ("a.jsonl", b'{"text": " "}\n', "the text is empty"),
        ("a.txt", b"one\ntwo\0three", "binary file, NUL byte at byte 7 (line 2)"),
        ("a.txt", b"one\nna\xffve", "not UTF-8 text at byte 6 (line 2)"),
        ("a.txt", b"\xef\xbb\xbfna\xffve", "not UTF-8 text at byte 5 (line 1)"),
        ("a.gz", b"not an archive", "corrupt archive after line 0"),
        ("a.xz", b"not an archive", "corrupt archive after line 0"),
        ("a.gz", gzip.compress(BLANK_SEPARATED, mtime=0)[:-9], "corrupt archive"),
        ("a.xz", lzma.compress(BLANK_SEPARATED)[:-9], "corrupt archive"),
        ("a.gz", bytes(DAMAGED_GZIP), "corrupt archive"),
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', 'line 2 has no string under the key "text"'),
        ("a.jsonl", b'{"text": 3}\n', 'line 1 has no string under the key "text"'),
        ("a.jsonl", b'["text"]\n', 'line 1 has no string under the key "text"'),
        ("a.jsonl", b'{"text": "x"}\n\n{"text"\n', "line 3 is not JSON"),
        ("a.jsonl", b'{"text": "\\ud800 x"}\n', "line 1 holds half a surrogate pair"),
        ("a.pdf", b"text", "unknown suffix"),
    ],
)
def test_faulty_file_gives_one_line_that_names_it(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    message = one_line_error(file)
    assert message.startswith(f"{file}: ")
    assert reason in message


def test_missing_path_is_told_before_any_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fine")
    missing = tmp_path / "b.txt"
    with pytest.raises(DataError, match=r"b\.txt: no such file or folder"):
        next(documents([tmp_path / "a.txt", missing]))


def test_folder_without_text_and_empty_list_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("not read")
    assert "holds no .txt" in one_line_error(tmp_path)
    assert "the list of paths is empty" in one_line_error([])


def test_fingerprint_sees_names_contents_and_order_not_place(tmp_path: Path) -> None:
    def folder(place: str, **files: str) -> Path:
        (tmp_path / place).mkdir()
        for name, text in files.items():
            (tmp_path / place / f"{name}.txt").write_text(text)
        return tmp_path / place

    here = folder("here", a="one", b="two")
    assert fingerprint(here) == fingerprint(folder("there", a="one", b="two"))
    variants = [
        fingerprint(path)
        for path in (
            here,
            folder("content", a="one", b="twO"),
            folder("name", a="one", c="two"),
            folder("moved_bytes", a="onet", b="wo"),
            folder("fewer", a="one"),
            [here / "a.txt", here / "b.txt", here / "a.txt"],
            [here / "b.txt", here / "a.txt"],
        )
    ]
    assert len(set(variants)) == len(variants)


def test_validation_share_is_per_mille_and_nested() -> None:
    texts = [f"document number {number}" for number in range(20_000)]
    chosen = [text for text in texts if is_validation(text)]
    # Binomial(20000, 0.02): a hash is as good as chance, so 4 standard errors at fixed texts.
    assert abs(len(chosen) - 400) < 4 * math.sqrt(20_000 * 0.02 * 0.98)
    assert all(is_validation(text, 50) for text in chosen)
    assert not any(is_validation(text, 0) for text in texts)
    assert all(is_validation(text, 1000) for text in texts)


def test_validation_split_is_frozen() -> None:
    # A silent change of the split would leak training documents into validation.
    assert [n for n in range(200) if is_validation(f"document {n}")] == [5, 35, 167, 187]


@pytest.mark.parametrize("per_mille", [-1, 1001])
def test_validation_share_out_of_range(per_mille: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1000"):
        is_validation("text", per_mille)
