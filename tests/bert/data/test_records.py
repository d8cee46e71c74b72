"""Records: JSON of every shape, CSV, Parquet; and words that no cut divides."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert.data import reading, records
from bert.data.files import file_pieces
from bert.data.reading import DataError
from bert.data.text import Reading, TextFiles, documents
from bert.data.vocab import Vocabulary
from tests.bert.data.test_reading import CODECS

TEXTS = ['One, "quoted"\nand two lines', "Größe 中文", "", "three " * 40, "  kept  "]
KEPT = [text for text in TEXTS if text.strip()]


def lines() -> str:
    return "".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(TEXTS))


def array(indent: int | None) -> str:
    return json.dumps([{"id": n, "text": text} for n, text in enumerate(TEXTS)], indent=indent)


def table(delimiter: str) -> str:
    out = io.StringIO()
    rows = csv.writer(out, delimiter=delimiter)
    rows.writerow(["id", "text"])
    rows.writerows(enumerate(TEXTS))
    return out.getvalue()


CONTENTS: dict[str, Callable[[], str]] = {
    "lines.json": lines,
    "lines.ndjson": lines,
    "array.json": lambda: array(None),
    "pretty.json": lambda: array(2),
    "a.csv": lambda: table(","),
    "marked.csv": lambda: "\ufeff" + table(","),
    "a.tsv": lambda: table("\t"),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("codec", ["", *CODECS])
def test_records_of_every_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str
) -> None:
    file = tmp_path / f"{name}{codec.upper()}"
    data = CONTENTS[name]().encode()
    file.write_bytes(CODECS[codec](data) if codec else data)
    assert list(documents(file)) == KEPT
    monkeypatch.setattr(reading, "PIECE", 20)
    pieces = list(file_pieces(file))
    places = [one.place for one in pieces if one.last]
    assert len(pieces) > len(places) == len(KEPT)
    for done, place in enumerate(places, 1):
        offset, number = place
        rest = list(file_pieces(file, (offset, number)))
        assert [one.place for one in rest if one.last] == places[done:]
        assert "".join(one.text for one in rest) == "".join(KEPT[done:])


def test_one_record_over_many_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"text": "the whole file", "id": 1}, indent=1))
    assert list(documents(file)) == ["the whole file"]
    file.write_text("\n")
    with pytest.raises(DataError, match="the text is empty"):
        list(documents(file))


def test_a_parquet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    arrow: Any = importlib.import_module("pyarrow")
    file = tmp_path / "a.PARQUET"
    texts = [f"document {n}" for n in range(600)]
    parquet.write_table(arrow.table({"body": [*texts, " "], "n": list(range(601))}), file)
    pieces = list(file_pieces(file, field="body"))
    assert [one.text for one in pieces] == texts
    assert [one.text for one in file_pieces(file, (0, 300), field="body")] == texts[300:]
    with pytest.raises(DataError, match=r"a\.PARQUET: no column 'text'; --field names one of 'bo"):
        list(file_pieces(file))
    with pytest.raises(DataError, match=r'row 1 has no string under the key "n" but a value of ty'):
        list(file_pieces(file, field="n"))
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(DataError, match=r"a\.parquet\.gz: Parquet in an archive; unpack it"):
        list(file_pieces(packed))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"a\.PARQUET: no Parquet file, or damaged") as caught:
        list(file_pieces(file, field="body"))
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs the package pyarrow \(the extra hf-data\)"):
        list(file_pieces(file, field="body"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", '{"content": "x", "n": 1}', "line 1 has no string under the key \"text\", "
         "only under 'content'; --field names it"),
        ("a.json", '{"text": "x"}\n{"body": 1}\n', 'line 2 has no string under the key "text"; -'),
        ("a.jsonl", '{"text": null}', 'line 1 has no string under the key "text" but null; take'),
        ("a.json", '[{"text": "x"}, {"text": ["y"]}]', "record 2 has no string under the key "
         '"text" but a value of type list'),
        ("a.json", '["x"]', 'record 1 has no string under the key "text"'),
        ("a.json", '{"text": "x"', "a.json is not JSON"),
        ("a.json", '[{"text": "x"}]\n[{"text": "y"}]', "a.json is not JSON (Extra data"),
        ("a.csv", "id,body\n1,x\n", "line 1: 0 columns 'text'; --field names one of 'id', 'body'"),
        ("a.csv", "text,text\n1,x\n", "line 1: 2 columns 'text'"),
        ("a.csv", "id,text\n1,x\n2,y,z\n", "line 3: 3 columns, the header has 2"),
        ("a.csv", 'id,text\n1,"x\n2,y\n', "line 3: no CSV (unexpected end of data)"),
        ("a.csv", "", "line 1: 0 columns 'text'"),
        ("a.csv", b"id,text\n1,caf\xe9\n", "not UTF-8 text at byte 13 (line 2); --errors latin-1"),
    ],
)  # fmt: skip
def test_a_faulty_record_is_one_line_with_file_and_place(
    tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        list(documents(file))
    assert reason in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_too_long_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "LONGEST_JSON", 100)
    monkeypatch.setattr(reading, "PIECE", 30)
    for name, content in (("a.json", array(2)), ("a.csv", "text\n" + "x" * 200)):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match="longer than 100 characters, too long for JSON or CSV"):
            list(documents(tmp_path / name))


def test_every_line_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("One sentence.\n\n \nTwo, which is longer than a piece. \nThree")
    reading_by_line = Reading(document_per_line=True)
    source = TextFiles(file, reading=reading_by_line)
    wanted = ["One sentence.", "Two, which is longer than a piece.", "Three"]
    assert list(source.documents()) == wanted
    assert source.describe()["document_per_line"] is True
    assert "document_per_line" not in TextFiles(file).describe()
    monkeypatch.setattr(reading, "PIECE", 8)
    assert list(source.documents()) == wanted
    places = [one.place for one in source.pieces() if one.last]
    rest = source.pieces(places[0])
    assert "".join(one.text for one in rest) == "".join(wanted[1:])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("codec", ["", ".gz"])
def test_a_mark_says_the_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, codec: str
) -> None:
    monkeypatch.setattr(reading, "PIECE", 7)
    texts = ["Größe 中文 😀", "second"]
    data = "\n\n".join(texts).encode(encoding)
    file = tmp_path / f"a.txt{codec}"
    file.write_bytes(gzip.compress(data) if codec else data)
    assert list(documents(file)) == texts
    offset, line = next(one.place for one in file_pieces(file) if one.last)
    assert "".join(one.text for one in file_pieces(file, (offset, line))) == "second"


def test_utf16_that_is_none_or_has_no_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("ab".encode("utf-16") + b"x")
    with pytest.raises(DataError, match=r"a\.txt: not UTF-16 text, which its first bytes say"):
        list(documents(file))
    file.write_bytes("abc".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"NUL byte at byte 1 \(line 1\); if it is UTF-16, iconv"):
        list(documents(file))


parts = st.text("ab.中, é\u0301\u3000か\u2028", min_size=0, max_size=90)


@settings(deadline=None, max_examples=150)
@given(text=parts, piece=st.integers(1, 12), json_lines=st.booleans(), cased=st.booleans())
def test_no_cut_divides_a_word(
    tmp_path_factory: pytest.TempPathFactory, text: str, piece: int, json_lines: bool, cased: bool
) -> None:
    """The tokens of the pieces are those of the whole, and a run of letters is in one piece."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ab.中,éか", "##a", "##b", "##か"]
    vocabulary = Vocabulary(tokens, cased=cased)
    file = tmp_path_factory.mktemp("text") / ("a.jsonl" if json_lines else "a.txt")
    file.write_text(json.dumps({"text": text}) if json_lines else text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PIECE", piece)
        pieces = [one.text for one in file_pieces(file)]
    whole = "".join(pieces)
    assert whole == (text if json_lines and text.strip() else text.rstrip())
    in_pieces = [token for ids in vocabulary.encode_batch(pieces) for token in ids.tolist()]
    assert in_pieces == vocabulary.encode_batch([whole])[0].tolist()
    for one, other in itertools.pairwise(pieces):
        assert not (one[-1:] in "abéか" and other[:1] in "abéか" and one and other)


def test_a_quarter_million_letters_are_one_word(tmp_path: Path) -> None:
    """At the real size: no white space at all, of Latin letters and of kana between commas."""
    for text, count in (("ab" * 200_000, 1), (("かな" * 30 + "、") * 9000, 2)):
        for name, content in (("a.jsonl", json.dumps({"text": text})), ("a.txt", text)):
            (tmp_path / name).write_text(content, "utf-8")
            pieces = [one.text for one in file_pieces(tmp_path / name) if one.text]
            assert "".join(pieces) == text
            assert len(pieces) >= count
            assert all(one.endswith("、") for one in pieces) or len(pieces) == 1


def test_a_word_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 10)
    monkeypatch.setattr(reading, "LONGEST_WORD", 50)
    (tmp_path / "a.txt").write_text("some words\n" + "x" * 70)
    with pytest.raises(DataError, match="line 2 has 50 characters without a space between words"):
        list(documents(tmp_path / "a.txt"))
