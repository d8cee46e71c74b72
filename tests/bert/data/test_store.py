from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bert.data import building, packing
from bert.data import store as module
from bert.data.store import MANIFEST_NAME, VOCABULARY_NAME, TokenStore, build_store
from bert.data.text import DataError, Reading, TextFiles, fingerprint, is_validation
from bert.data.vocab import SPECIALS, Vocabulary
from swe.base.files import file_digest


def write_text(path: Path, documents: list[str]) -> Path:
    path.write_text("\n\n".join(documents) + "\n", "utf-8")
    return path


def some_documents(count: int = 60) -> list[str]:
    words = ["the cat sat", "on the mat", "walking walked", "a b c", "it's."]
    return [" ".join(words[(i * j) % 5] for j in range(1, 3 + i % 7)) for i in range(1, count + 1)]


def packed(documents: list[str], vocabulary: Vocabulary, length: int) -> list[list[int]]:
    """The rows by the definition, in plain Python."""
    stream: list[int] = []
    for ids in vocabulary.encode_batch(documents):
        if stream and len(ids):
            stream.append(vocabulary.sep_id)
        stream += ids.tolist()
    width = length - 2
    rows = [
        [vocabulary.cls_id, *stream[start : start + width], vocabulary.sep_id]
        for start in range(0, len(stream) - width + 1, width)
    ]
    return [row for row in rows if ordinary(row, vocabulary) >= max(1, round(0.15 * length))]


def ordinary(row: list[int], vocabulary: Vocabulary) -> int:
    return sum(vocabulary.tokens[token] not in (*SPECIALS, "[unused0]") for token in row)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def built(tmp_path: Path, vocabulary: Vocabulary) -> TokenStore:
    text = write_text(tmp_path / "text.txt", some_documents())
    return build_store(text, vocabulary, tmp_path / "store", length=16, per_mille=200)


@settings(deadline=None, max_examples=40)
@given(
    documents=st.lists(
        st.text("cats walked.", min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=30
    ),
    length=st.integers(3, 20),
    batch_characters=st.sampled_from([1, 50, 1 << 20]),
    batch_tokens=st.sampled_from([1, 30, 1 << 20]),
)
def test_rows_against_plain_python(
    tmp_path_factory: pytest.TempPathFactory,
    vocabulary: Vocabulary,
    documents: list[str],
    length: int,
    batch_characters: int,
    batch_tokens: int,
) -> None:
    documents = [document.rstrip() for document in documents]
    expected = packed(documents, vocabulary, length)
    assume(expected)
    folder = tmp_path_factory.mktemp("store")
    text = write_text(folder / "text.txt", documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "CHUNK", batch_characters)
        patch.setattr(packing, "BATCH_TOKENS", batch_tokens)
        store = build_store(text, vocabulary, folder, length=length, per_mille=0)
    assert store.train.tolist() == expected
    assert store.valid.shape == (0, length)
    entry = store.manifest["parts"]["train"]
    lengths = [len(ids) for ids in vocabulary.encode_batch(documents)]
    assert entry["documents"] == len(documents)
    assert entry["tokens"] == sum(lengths)
    assert entry["rows"] == len(expected)
    TokenStore.open(folder, vocabulary, verify=True)


def test_parts_split_by_hash_and_manifest(built: TokenStore, vocabulary: Vocabulary) -> None:
    documents = some_documents()
    valid = [document for document in documents if is_validation(document, 200)]
    train = [document for document in documents if not is_validation(document, 200)]
    assert built.train.tolist() == packed(train, vocabulary, 16)
    assert built.valid.tolist() == packed(valid, vocabulary, 16)
    assert isinstance(built.train, np.memmap)
    assert built.train.dtype == np.uint16
    assert not built.train.flags.writeable
    assert built.length == 16
    manifest = built.manifest
    assert manifest["vocabulary_sha256"] == vocabulary.sha256
    assert manifest["vocabulary_size"] == vocabulary.size
    text = built.folder.parent / "text.txt"
    assert manifest["text"]["fingerprint"] == fingerprint(text)
    [file] = manifest["text"]["files"]
    assert file == {"name": "text.txt", "bytes": text.stat().st_size, "sha256": file_digest(text)}
    assert manifest["documents"] == "across"
    assert manifest["parts"]["train"]["words"] == sum(len(d.split()) for d in train)
    assert manifest["parts"]["train"]["documents"] == len(train)
    assert manifest["parts"]["valid"]["documents"] == len(valid)


def test_wide_vocabulary_is_stored_in_32_bits(tmp_path: Path) -> None:
    vocabulary = Vocabulary([*SPECIALS, *(f"w{i}" for i in range(65536))])
    text = write_text(tmp_path / "text.txt", ["w65535 w1 w0 w65535"])
    store = build_store(text, vocabulary, tmp_path / "store", length=4, per_mille=0)
    assert store.train.dtype == np.uint32
    assert store.train.tolist() == [[2, 65540, 6, 3], [2, 5, 65540, 3]]


def test_same_inputs_reuse_the_store(built: TokenStore, vocabulary: Vocabulary) -> None:
    def inodes() -> dict[str, int]:
        return {file.name: file.stat().st_ino for file in built.folder.iterdir()}

    calls: list[building.BuildProgress] = []
    before = inodes()
    text = built.folder.parent / "text.txt"
    again = build_store(
        [text],
        vocabulary,
        str(built.folder),
        length=16,
        per_mille=200,
        progress=calls.append,
    )
    assert inodes() == before
    assert calls == []
    assert again.manifest == built.manifest
    # Other text under the same name is noticed.
    write_text(text, [*some_documents(), "one more"])
    changed = build_store(text, vocabulary, built.folder, length=16, per_mille=200)
    assert changed.manifest["text"] != built.manifest["text"]


def test_other_inputs_replace_the_store_and_open_maps_stay_valid(
    built: TokenStore, vocabulary: Vocabulary
) -> None:
    old_rows, old_files = built.train.tolist(), {file.name for file in built.folder.iterdir()}
    text = built.folder.parent / "text.txt"
    new = build_store(text, vocabulary, built.folder, length=12, per_mille=200)
    assert new.length == new.train.shape[1] == 12
    assert built.train.tolist() == old_rows
    files = {file.name for file in new.folder.iterdir()}
    assert files & old_files == {MANIFEST_NAME, VOCABULARY_NAME}
    assert len(files) == 4


@pytest.mark.parametrize("file", [MANIFEST_NAME, "train", "valid"])
def test_unfinished_store_is_rebuilt(built: TokenStore, vocabulary: Vocabulary, file: str) -> None:
    before = snapshot(built.folder)
    name = built.manifest["parts"][file]["file"] if file != MANIFEST_NAME else file
    (built.folder / name).unlink()
    text = built.folder.parent / "text.txt"
    build_store(text, vocabulary, built.folder, length=16, per_mille=200)
    assert snapshot(built.folder) == before


def fail_in_the_text(text: Path, patch: pytest.MonkeyPatch) -> None:
    text.write_bytes(text.read_bytes() + b"\xff")


def fail_in_the_archive(text: Path, patch: pytest.MonkeyPatch) -> None:
    text.write_bytes(gzip.compress(text.read_bytes() * 50)[:-20])


def fail_before_the_manifest(text: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, value: Any) -> None:
        raise DataError("no space left")

    patch.setattr(module, "write_json", refuse)


@pytest.mark.parametrize("fail", [fail_in_the_text, fail_in_the_archive, fail_before_the_manifest])
def test_failure_midway_leaves_the_previous_store_readable(
    tmp_path: Path,
    vocabulary: Vocabulary,
    monkeypatch: pytest.MonkeyPatch,
    fail: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    plain = write_text(tmp_path / "plain.txt", some_documents())
    store = build_store(plain, vocabulary, tmp_path / "store", length=16, per_mille=200)
    before = snapshot(store.folder)
    text = tmp_path / ("text.gz" if fail is fail_in_the_archive else "text.txt")
    write_text(text, some_documents(200))
    fail(text, monkeypatch)
    monkeypatch.setattr(building, "CHUNK", 100)
    monkeypatch.setattr(packing, "BATCH_TOKENS", 100)
    with pytest.raises(DataError):
        build_store(text, vocabulary, store.folder, length=12, per_mille=200)
    after = snapshot(store.folder)
    assert {name: after[name] for name in before} == before
    assert TokenStore.open(store.folder, vocabulary, verify=True).manifest == store.manifest
    monkeypatch.undo()
    # The next success leaves nothing of the failure behind.
    new = build_store(plain, vocabulary, store.folder, length=12, per_mille=200)
    assert len(list(new.folder.iterdir())) == 4


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def change_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def drop_a_row(path: Path) -> None:
    np.save(path, np.load(path)[:-1])


def widen(path: Path) -> None:
    np.save(path, np.load(path).astype(np.uint32))


@pytest.mark.parametrize("part", ["train", "valid"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (Path.unlink, "the store's array is missing"),
        (truncate, "damaged or truncated"),
        (empty, "damaged or truncated"),
        (drop_a_row, "the manifest says"),
        (widen, "the array is uint32"),
        (change_one_byte, "differs from its checksum"),
    ],
)
def test_damaged_array_is_refused(
    built: TokenStore, part: str, damage: Callable[[Path], None], reason: str
) -> None:
    path = built.folder / built.manifest["parts"][part]["file"]
    damage(path)
    with pytest.raises(DataError, match=reason) as caught:
        TokenStore.open(built.folder, verify=True)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "the manifest cannot be read"),
        ("[]", "not a token store of this version"),
        ('{"format": "of another tool"}', "not a token store of this version"),
        (json.dumps({"format": module.FORMAT}), "the manifest is incomplete"),
        ("without valid", "the manifest is incomplete"),
    ],
)
def test_foreign_manifest_is_refused(built: TokenStore, content: str, reason: str) -> None:
    if content == "without valid":
        content = json.dumps(
            built.manifest | {"parts": {"train": built.manifest["parts"]["train"]}}
        )
    (built.folder / MANIFEST_NAME).write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        TokenStore.open(built.folder)
    assert "\n" not in str(caught.value)


def test_missing_store_and_other_vocabulary_are_refused(
    built: TokenStore, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    other = Vocabulary([*vocabulary.tokens, "more"])
    with pytest.raises(DataError, match=r"built with another vocabulary \(\d+ tokens, given \d+\)"):
        TokenStore.open(built.folder, other)
    with pytest.raises(DataError, match=r"nowhere: there is no finished token store"):
        TokenStore.open(tmp_path / "nowhere")
    shutil.rmtree(built.folder)
    with pytest.raises(DataError, match="there is no finished token store"):
        TokenStore.open(built.folder, vocabulary)


def test_too_little_text_is_told_and_leaves_nothing(tmp_path: Path, vocabulary: Vocabulary) -> None:
    text = write_text(tmp_path / "text.txt", ["the cat sat on the mat", "a b"])
    folder = tmp_path / "store"
    with pytest.raises(DataError, match=r"one train row of 64 tokens: 2 documents seen, 2 for t"):
        build_store(text, vocabulary, folder, length=64, per_mille=0)
    with pytest.raises(DataError, match=r"one valid row of 6 tokens: .* 0 for valid \(0 tokens\)"):
        build_store(text, vocabulary, folder, length=6, per_mille=1)
    assert list(folder.iterdir()) == []
    store = build_store(text, vocabulary, folder, length=6, per_mille=1000)
    assert (len(store.train), len(store.valid)) == (0, 2)


def test_arguments_are_checked(tmp_path: Path, vocabulary: Vocabulary) -> None:
    text = write_text(tmp_path / "text.txt", some_documents())
    with pytest.raises(ValueError, match="length must be at least 3"):
        build_store(text, vocabulary, tmp_path / "store", length=2)
    with pytest.raises(ValueError, match=r"per_mille must be within 0\.\.1000"):
        build_store(text, vocabulary, tmp_path / "store", length=8, per_mille=1001)
    assert not (tmp_path / "store" / MANIFEST_NAME).exists()


def test_progress_counts_up_to_the_totals(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "CHUNK", 200)
    text = write_text(tmp_path / "text.txt", some_documents())
    calls: list[building.BuildProgress] = []
    store = build_store(
        text,
        vocabulary,
        tmp_path / "store",
        length=16,
        per_mille=200,
        progress=calls.append,
    )
    assert len(calls) > 3
    assert calls == sorted(calls)
    parts = store.manifest["parts"].values()
    assert calls[-1] == (
        sum(p["documents"] for p in parts),
        sum(p["tokens"] for p in parts),
        text.stat().st_size,
        text.stat().st_size,
    )


def one_line(caught: pytest.ExceptionInfo[DataError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_too_little_text_says_what_was_seen_and_the_ways_out(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    """One book without a blank line; documents shorter than a row; a text for validation."""
    lines = some_documents(200)
    book = tmp_path / "book.txt"
    book.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        build_store(book, vocabulary, tmp_path / "s", length=16)
    assert ": 1 document seen, 1 for train" in (message := one_line(caught))
    assert "if each line is one, say --document-per-line; or name files to validate on" in message
    by_line = TextFiles(book, reading=Reading(document_per_line=True))
    store = build_store(by_line, vocabulary, tmp_path / "s", length=16, per_mille=200)
    assert sum(part["documents"] for part in store.manifest["parts"].values()) == len(lines)
    valid = write_text(tmp_path / "valid.txt", ["the mat sat on the cat " * 4])
    assert len(build_store(book, vocabulary, tmp_path / "v", length=16, valid=valid).valid) == 1
    with pytest.raises(DataError) as caught:
        build_store(by_line, vocabulary, tmp_path / "a", length=400, documents="apart")
    assert "200 documents seen" in (message := one_line(caught))
    assert "every document is shorter than a row" in message
    assert "take a smaller length, or documents across" in message
    assert "--document-per-line" not in message, "that is how it was read"
