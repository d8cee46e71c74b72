"""Long lines in bounded pieces, damaged archives, other encodings."""

from __future__ import annotations

import gzip
import importlib
import json
import lzma
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert.data import reading, records, unpacking
from bert.data.files import file_pieces
from bert.data.reading import DataError, Errors, Piece
from bert.data.text import TextFiles, documents
from bert.data.vocab import Vocabulary
from swe.base.errors import ConfigError


def zstd_compress(data: bytes) -> bytes:
    """With a checksum, as the zstd command writes it; without one, no reader can see a change."""
    zstd: Any = unpacking.zstd_module()
    return bytes(zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}))


CODECS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstd_compress,
}
letters = st.text(" \t\nabé中\u0301\u3000.\r", max_size=120)


def by_definition(text: str) -> list[str]:
    """Documents of a text file in one go: stripped lines, blank ones between documents."""
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.rstrip():
            found[-1].append(line.rstrip())
        else:
            found.append([])
    return ["\n".join(lines) for lines in found if lines]


@given(text=letters, piece=st.integers(1, 9))
def test_pieces_make_up_the_documents(
    tmp_path_factory: pytest.TempPathFactory, text: str, piece: int
) -> None:
    file = tmp_path_factory.mktemp("text") / "a.txt"
    file.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PIECE", piece)
        pieces = list(file_pieces(file))
        found, places, held = [], [], ""
        for one in pieces:
            # Blanks before a line's first letter are held back, for the line may be a blank one,
            # and so is a word that has not ended.
            assert len(one.text) <= 3 * piece + 120
            beside = (held[-1:], one.text[:1])
            assert not all(letter.isalpha() for letter in beside) or "中" in beside
            held += one.text
            if one.last:
                found.append(held)
                places.append(one.place)
                held = ""
        assert not held
        assert found == by_definition(text)
        # Every place behind a document is one to go on from.
        for index, place in enumerate(places):
            offset, line = place
            rest = list(file_pieces(file, (offset, line)))
            assert [one.place for one in rest if one.last] == places[index + 1 :]
            assert [
                *found[: index + 1],
                *by_definition(text[len(_prefix(text, offset)) :]),
            ] == found


def _prefix(text: str, offset: int) -> str:
    return text.encode()[:offset].decode()


@given(
    words=st.lists(st.text("abwalkedé.", min_size=1, max_size=9), min_size=1, max_size=60),
    piece=st.integers(20, 60),
    json_lines=st.booleans(),
)
def test_tokens_of_the_pieces_are_the_tokens_of_the_document(
    tmp_path_factory: pytest.TempPathFactory,
    vocabulary: Vocabulary,
    words: list[str],
    piece: int,
    json_lines: bool,
) -> None:
    text = " ".join(words)
    file = tmp_path_factory.mktemp("text") / ("a.jsonl" if json_lines else "a.txt")
    file.write_text(json.dumps({"text": text}) if json_lines else text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PIECE", piece)
        pieces = [one.text for one in file_pieces(file)]
    assert "".join(pieces) == text
    in_pieces = [token for ids in vocabulary.encode_batch(pieces) for token in ids.tolist()]
    assert in_pieces == vocabulary.encode_batch([text])[0].tolist()
    assert len(text) <= 2 * piece or len(pieces) > 1


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("json_lines", [False, True])
def test_going_on_in_a_compressed_file(tmp_path: Path, suffix: str, json_lines: bool) -> None:
    texts = [f"document {number} of several" for number in range(50)]
    if json_lines:
        content = "".join(json.dumps({"body": text}) + "\n" for text in texts)
    else:
        content = "\n\n".join(texts)
    file = tmp_path / f"a{'.jsonl' if json_lines else '.txt'}{suffix}"
    half = len(content) // 2
    members = [CODECS[suffix](part.encode()) for part in (content[:half], content[half:], "")]
    file.write_bytes(b"".join(members) + bytes(8) * (suffix == ".xz"))
    pieces = list(file_pieces(file, field="body"))
    assert [one.text for one in pieces] == texts
    assert pieces[-1].read == file.stat().st_size
    offset, line = pieces[30].place
    assert [one.text for one in file_pieces(file, (offset, line), field="body")] == texts[31:]
    source = TextFiles([file, file], field="body")
    both = list(source.pieces())
    assert [one.text for one in source.pieces(both[70].place)] == [*texts, *texts][71:]
    assert source.total == both[-1].read == 2 * file.stat().st_size


@pytest.mark.parametrize("suffix", CODECS)
def test_a_corrupt_member_is_told_after_the_documents_before_it(
    tmp_path: Path, suffix: str
) -> None:
    """Two members; the second cut short, or with a byte changed, or no archive at all."""
    first = "".join(f"document {number}\n\n" for number in range(300)).encode()
    second = CODECS[suffix](bytes(range(1, 256)) * 40)
    for damaged in (second[:-5], second[: len(second) // 2], _flip(second), b"no archive at all"):
        file = tmp_path / f"a.txt{suffix}"
        file.write_bytes(CODECS[suffix](first) + damaged)
        found: list[str] = []
        with pytest.raises(DataError) as caught:
            found.extend(documents(file, errors="replace"))
        message = str(caught.value)
        assert message.startswith(f"{file}: corrupt archive after line ")
        assert "\n" not in message


def _flip(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0x40
    return bytes(changed)


def test_without_zstd_the_message_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt.zst"
    file.write_bytes(zstd_compress(b"text"))
    monkeypatch.setattr(unpacking, "zstd_module", lambda: None)
    with pytest.raises(DataError, match=r"a\.txt\.zst: reading \.zst needs .* backports\.zstd"):
        list(documents(file))


MIXED = "Größe\n".encode() + "café au lait".encode("latin-1") + "\nfin é".encode()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ("replace", "Größe\ncaf\ufffd au lait\nfin é"),
        ("latin-1", "Größe\ncafé au lait\nfin é"),
    ],
)
def test_latin_letters_within_utf8(tmp_path: Path, errors: Errors, expected: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(MIXED)
    with pytest.raises(DataError) as caught:
        list(documents(file))
    at = MIXED.index(b"\xe9 au")
    assert str(caught.value).startswith(f"{file}: not UTF-8 text at byte {at} (line 2); --errors ")
    assert list(documents(file, errors=errors)) == [expected]
    unknown: dict[str, Any] = {"errors": "ignore"}
    with pytest.raises(ConfigError, match="errors = 'ignore': must be one of strict, replace"):
        TextFiles(file, **unknown)


@pytest.mark.parametrize("piece", [1, 3, 4, 5, 100])
def test_the_byte_of_an_encoding_error_is_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(reading, "PIECE", piece)
    file = tmp_path / "a.txt"
    for content, at, line in (
        (MIXED, MIXED.index(b"\xe9 au"), 2),
        ("中文中文".encode() + b"\xff", 12, 1),
        ("one\n中文".encode()[:-1], 7, 2),  # cut within a letter at the end of the file
        (b"\xef\xbb\xbf" + "é".encode() + b"\xff\nx", 5, 1),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=rf"not UTF-8 text at byte {at} \(line {line}\); "):
            list(documents(file))
    file.write_bytes("a é\nbcd".encode() + b"\0")
    with pytest.raises(DataError, match=r"NUL byte at byte 8 \(line 2\)"):
        list(documents(file))


def test_a_long_json_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PIECE", 10)
    monkeypatch.setattr(records, "LONGEST_JSON", 50)
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": "short"}) + "\n" + json.dumps({"text": "x" * 60}))
    with pytest.raises(DataError, match="line 2 is longer than 50 characters"):
        list(documents(file))


def test_memory_holds_a_piece_of_a_long_line(tmp_path: Path) -> None:
    """A document of one line, 20 MB: neither the line nor the document is held."""
    file = tmp_path / "a.txt.gz"
    with gzip.open(file, "wb", compresslevel=1) as out:
        for _ in range(2000):
            out.write(b"word " * 2000)
    tracemalloc.start()
    try:
        sizes = [(len(one.text), one.last) for one in file_pieces(file)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(size for size, _ in sizes) == 20_000_000 - 1
    assert [last for _, last in sizes] == [False] * (len(sizes) - 1) + [True]
    assert peak < 4 << 20


LONG = """
import resource, sys
from pathlib import Path
from bert.data.store import build_store
from bert.data.vocab import Vocabulary, load_vocabulary
folder = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store = build_store(folder / "a.txt", load_vocabulary(folder / "vocab.txt"), folder / "store",
                    length=128, per_mille=0)
print(store.manifest["parts"]["train"]["words"], store.manifest["parts"]["train"]["tokens"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_line_of_100_megabytes_builds_in_bounded_memory(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    words = 20_000_000
    with (tmp_path / "a.txt").open("wb") as out:
        for _ in range(words // 20_000):
            out.write(b"cat, " * 20_000)
    vocabulary.save(tmp_path / "vocab.txt")
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path)], capture_output=True, text=True, check=True
    )
    counts, extra = done.stdout.splitlines()
    assert counts == f"{words} {2 * words}"
    # The document's tokens (2 bytes each) and once more to join them; and the encoder.
    assert int(extra) * 1024 < 2 * 2 * (2 * words) + (100 << 20)


def test_an_empty_file_and_empty_documents_are_no_documents(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "b.txt").write_text("\n\n \n\none\n\n\n\t\n\ntwo\n\n")
    (tmp_path / "c.jsonl").write_text('{"text": ""}\n{"text": "three"}\n{"text": " "}\n')
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b""))
    assert list(documents(tmp_path)) == ["one", "two", "three"]


def test_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real loader on a folder that this test writes; the network is switched off."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    pytest.importorskip("datasets")
    hub = importlib.import_module("bert.data.hub")
    folder = tmp_path / "set"
    folder.mkdir()
    texts = [f"document {number}" for number in range(20)]
    rows = [{"body": text, "number": 1} for text in [*texts[:10], " ", *texts[10:]]]
    with (folder / "train.jsonl").open("w") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    source = hub.HubSource(str(folder), field="body")
    pieces: list[Piece] = list(source.pieces())
    assert [one.text for one in pieces] == texts
    assert pieces[10].place == (12,)
    assert [one.text for one in source.pieces(pieces[10].place)] == texts[11:]
    assert source.describe() == {
        "dataset": str(folder),
        "config": None,
        "split": "train",
        "revision": None,
        "field": "body",
    }
    with pytest.raises(DataError) as caught:
        list(hub.HubSource(str(folder), field="text").pieces())
    assert "text" in str(caught.value)
    with pytest.raises(DataError, match="the data set cannot be read") as caught:
        hub.HubSource(str(tmp_path / "nowhere"))
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"needs the package datasets \(the extra hf-data\)"):
        hub.HubSource(str(folder))
