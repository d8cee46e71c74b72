"""Stores come out the same byte for byte, however many processes and interruptions made them."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bert.data import building, encoding, packing, reading
from bert.data.building import BuildProgress, difference
from bert.data.manifest import BUILDING_NAME
from bert.data.packing import Documents
from bert.data.store import MANIFEST_NAME, TokenStore, build_store
from bert.data.text import DataError, documents, is_validation
from bert.data.vocab import Vocabulary
from swe.base.interrupt import Interrupted


def make_text(path: Path, count: int = 120, seed: int = 0) -> Path:
    """Documents of a word to some hundred, the first of them one line longer than a piece."""
    rng = np.random.default_rng(seed)
    words = ["the", "cat", "sat", "on", "walking", "walked", "mat.", "a,", "it's", "café"]
    texts = [" ".join(rng.choice(words, size=rng.integers(1, 150))) for _ in range(count)]
    texts[0] = " ".join(texts[:8])
    path.write_text("\n\n".join(texts) + "\n", "utf-8")
    return path


def arrays(folder: Path) -> dict[str, bytes]:
    """Everything of a finished store: manifest, vocabulary, rows, starts."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def apart(documents: list[list[int]], vocabulary: Vocabulary, length: int) -> list[list[int]]:
    """Rows of documents apart by the definition, in plain Python."""
    width, rows = length - 2, []
    for ids in documents:
        places = list(range(0, len(ids) - width + 1, width))
        if places and places[-1] + width < len(ids):
            places.append(len(ids) - width)
        rows += [[vocabulary.cls_id, *ids[p : p + width], vocabulary.sep_id] for p in places]
    return rows


@settings(max_examples=20)  # each writes files and waits for the disk
@given(
    texts=st.lists(
        st.text("cats walked.", min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=20
    ),
    length=st.integers(3, 12),
    chunk=st.sampled_from([1, 50, 1 << 20]),
)
def test_documents_apart_against_plain_python(
    tmp_path_factory: pytest.TempPathFactory,
    vocabulary: Vocabulary,
    texts: list[str],
    length: int,
    chunk: int,
) -> None:
    texts = [text.rstrip() for text in texts]
    ids = [array.tolist() for array in vocabulary.encode_batch(texts)]
    expected = apart(ids, vocabulary, length)
    assume(expected)
    folder = tmp_path_factory.mktemp("apart")
    (folder / "text.txt").write_text("\n\n".join(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "CHUNK", chunk)
        patch.setattr(packing, "BATCH_TOKENS", chunk)
        store = build_store(
            folder / "text.txt",
            vocabulary,
            folder / "store",
            length=length,
            per_mille=0,
            documents="apart",
        )
    assert store.train.tolist() == expected
    width = length - 2
    kept = [document for document in ids if len(document) >= width]
    counts = [-(-len(document) // width) for document in kept]
    assert store.train_starts is not None
    assert store.train_starts.tolist() == [sum(counts[:i]) for i in range(len(counts))]
    entry = store.manifest["parts"]["train"]
    assert entry["tokens"] == sum(map(len, ids))
    assert entry["left_out"] == sum(map(len, ids)) - sum(map(len, kept))
    assert entry["rows"] * width == entry["tokens"] - entry["left_out"] + entry["repeated"]
    TokenStore.open(folder / "store", vocabulary, verify=True)


@pytest.mark.parametrize("how", ["across", "apart"])
def test_interrupted_at_every_chunk_the_bytes_are_the_same(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, how: Documents
) -> None:
    text = make_text(tmp_path / "text.txt")
    more = make_text(tmp_path / "more.txt", seed=1)
    valid = make_text(tmp_path / "valid.txt", 30, seed=2)
    valid.write_text("\n\n".join([valid.read_text(), *list(documents(more))[40:60]]))
    options: dict[str, Any] = {"length": 20, "documents": how, "valid": valid}
    whole = build_store([text, more], vocabulary, tmp_path / "whole", **options)
    assert whole.manifest["dropped"]["documents"] == 20
    monkeypatch.setattr(reading, "PIECE", 300)  # most documents come in pieces
    monkeypatch.setattr(building, "CHUNK", 700)
    monkeypatch.setattr(packing, "BATCH_TOKENS", 90)
    folder, calls, jobs = tmp_path / "parts", 0, 1
    while True:
        progress: list[BuildProgress] = []
        try:
            build_store(
                [text, more],
                vocabulary,
                folder,
                **options,
                jobs=jobs,
                progress=progress.append,
                stop=lambda: len(progress) >= 7,  # noqa: B023
            )
            break
        except Interrupted:
            calls += 1
        jobs = 2 if calls == 3 else 1
    assert calls > 6
    assert arrays(folder) == arrays(whole.folder)


def test_a_line_longer_than_all_is_encoded_in_bounded_chunks(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and line are a hundredth of the real ones; test_reading has the line of 100 MB."""
    monkeypatch.setattr(reading, "PIECE", reading.PIECE // 100)
    monkeypatch.setattr(building, "CHUNK", building.CHUNK // 100)
    sizes: list[int] = []
    encode = vocabulary.encode_batch

    def noting(texts: list[str]) -> list[np.ndarray[Any, Any]]:
        sizes.append(sum(map(len, texts)))
        return encode(texts)

    monkeypatch.setattr(vocabulary, "encode_batch", noting)
    words = 200_000
    (tmp_path / "a.txt").write_bytes(b"cat, " * words)
    store = build_store(tmp_path / "a.txt", vocabulary, tmp_path / "s", length=128, per_mille=0)
    assert sum(sizes) == 5 * words - 1
    assert max(sizes) <= building.CHUNK + reading.PIECE
    entry = store.manifest["parts"]["train"]
    assert (entry["documents"], entry["words"], entry["tokens"]) == (1, words, 2 * words)


def test_a_document_is_on_one_side_and_counted_once(tmp_path: Path, vocabulary: Vocabulary) -> None:
    text = make_text(tmp_path / "text.txt", 300)
    store = build_store(
        text, vocabulary, tmp_path / "store", length=12, per_mille=300, documents="apart"
    )
    texts = list(documents(text))
    chain = bytes(32)
    for one in texts:
        chain = hashlib.sha256(chain + hashlib.sha256(one.encode()).digest()).digest()
    assert store.manifest["documents_sha256"] == chain.hex()
    for part, rows in (("train", store.train), ("valid", store.valid)):
        mine = [one for one in texts if is_validation(one, 300) == (part == "valid")]
        ids = [array.tolist() for array in vocabulary.encode_batch(mine)]
        assert rows.tolist() == apart(ids, vocabulary, 12)
        assert store.manifest["parts"][part]["documents"] == len(mine)


@pytest.fixture
def stopped(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A text and the folder of a build of it (length 16) that was stopped midway."""
    monkeypatch.setattr(building, "CHUNK", 700)
    text = make_text(tmp_path / "text.txt")
    seen: list[BuildProgress] = []
    with pytest.raises(Interrupted, match=r"store: stopped; the same command goes on$"):
        build_store(
            text,
            vocabulary,
            tmp_path / "store",
            length=16,
            progress=seen.append,
            stop=lambda: bool(seen),
        )
    return text, tmp_path / "store"


def test_other_inputs_on_resume_are_refused_and_lose_nothing(
    stopped: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    text, folder = stopped
    before = arrays(folder)
    content = text.read_bytes()
    other = Vocabulary([*vocabulary.tokens, "more"])

    def refusal(vocabulary: Vocabulary = vocabulary, **options: Any) -> str:
        with pytest.raises(DataError) as caught:
            build_store(text, vocabulary, folder, **({"length": 16} | options), replace=False)
        message = str(caught.value)
        assert "\n" not in message
        start, end = f"{folder}: holds an unfinished build with another ", building_end
        assert message.startswith(start)
        assert message.endswith(end)
        assert arrays(folder) == before
        return message[len(start) : -len(end)]

    building_end = "; it is left alone unless told to replace it"
    assert refusal(other) == "vocabulary"
    assert refusal(length=12) == "length (16, now 12)"
    assert refusal(documents="apart") == "documents (across, now apart)"
    assert refusal(per_mille=30) == "validation share (20, now 30)"
    assert refusal(valid=text).startswith("validation share")
    text.write_bytes(content.replace(b"cat", b"car", 1))
    assert refusal() == "text (text.txt has changed)"
    text.write_bytes(content)
    build_store(text, vocabulary, folder, length=16, replace=False)
    # A finished store is as safe as an unfinished one.
    before = arrays(folder)
    with pytest.raises(DataError, match=r"holds a store of another length \(16, now 12\); it is"):
        build_store(text, vocabulary, folder, length=12, replace=False)
    (folder / MANIFEST_NAME).write_text("{")
    with pytest.raises(DataError, match=r"cannot be read .*; it is left alone"):
        build_store(text, vocabulary, folder, length=16, replace=False)
    (folder / MANIFEST_NAME).write_bytes(before[MANIFEST_NAME])
    assert arrays(folder) == before


def test_replacing_drops_the_unfinished_build(
    stopped: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    text, folder = stopped
    new = build_store(text, vocabulary, folder, length=12)
    whole = build_store(text, vocabulary, folder.with_name("whole"), length=12)
    assert arrays(new.folder) == arrays(whole.folder)


@pytest.mark.parametrize("damage", ["missing", "short", "checkpoint"])
def test_a_damaged_unfinished_build_begins_anew_or_is_told(
    stopped: tuple[Path, Path], vocabulary: Vocabulary, damage: str
) -> None:
    text, folder = stopped
    [rows] = folder.glob("train-*.npy")
    if damage == "missing":
        rows.unlink()
    elif damage == "short":
        os.truncate(rows, rows.stat().st_size - 1)
    else:
        (folder / BUILDING_NAME).write_text("{")
        with pytest.raises(DataError, match=r"building\.json: the checkpoint cannot be read"):
            build_store(text, vocabulary, folder, length=16)
        return
    build_store(text, vocabulary, folder, length=16, replace=False)
    whole = build_store(text, vocabulary, folder.with_name("whole"), length=16)
    assert arrays(folder) == arrays(whole.folder)


def test_two_builds_in_one_folder_are_refused(
    stopped: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    text, folder = stopped
    refusals: list[pytest.ExceptionInfo[DataError]] = []

    def build_again(progress: BuildProgress) -> None:
        if not refusals:
            with pytest.raises(DataError, match="a process is at work here already") as caught:
                build_store(text, vocabulary, folder, length=16)
            refusals.append(caught)

    build_store(text, vocabulary, folder, length=16, progress=build_again)
    assert refusals


def test_a_full_disk_keeps_what_was_built(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on file sizes gives real failing writes; without it the same call goes on."""
    monkeypatch.setattr(building, "CHUNK", 700)
    monkeypatch.setattr(packing, "BATCH_TOKENS", 90)
    text = make_text(tmp_path / "text.txt", 300)
    whole = build_store(text, vocabulary, tmp_path / "whole", length=16)
    folder = tmp_path / "full"
    monkeypatch.setattr(building, "CHECKPOINT_SECONDS", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole.train.nbytes // 2, hard))
    try:
        with pytest.raises(DataError) as caught:
            build_store(text, vocabulary, folder, length=16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == (
        f"{folder}: File too large; what was built is kept, and the same command goes on"
    )
    kept = json.loads((folder / BUILDING_NAME).read_text())["documents"]
    assert kept > 100
    monkeypatch.undo()
    seen: list[BuildProgress] = []
    build_store(text, vocabulary, folder, length=16, progress=seen.append)
    assert seen[-1].documents == 300
    assert arrays(folder) == arrays(whole.folder)


def test_a_text_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "CHUNK", 700)
    text = make_text(tmp_path / "text.txt")

    def grow(progress: BuildProgress) -> None:
        with text.open("a") as stream:
            stream.write("more")

    with pytest.raises(DataError, match=r"text\.txt: changed while it was read"):
        build_store(text, vocabulary, tmp_path / "store", length=16, progress=grow)


def test_a_dead_worker_is_told_in_one_line(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_start_worker", _die)
    text = make_text(tmp_path / "text.txt", 20)
    with pytest.raises(DataError, match=r"a tokenizing process died .* fewer than 2 jobs"):
        build_store(text, vocabulary, tmp_path / "store", length=16, jobs=2)


def _die(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_differences_are_named() -> None:
    inputs: dict[str, Any] = {
        "vocabulary_sha256": "a",
        "length": 8,
        "documents": "across",
        "per_mille": 2,
        "format": 1,
        "text": {"files": [{"name": "x", "sha256": "1"}], "errors": "strict", "field": "text"},
        "valid_text": None,
    }
    assert difference(inputs, inputs | {"parts": {}}) is None
    assert difference(inputs, inputs | {"format": 2}) == "version of this program"
    files: list[dict[str, str]] = [{"name": "y", "sha256": "2"}]
    text = inputs["text"]
    assert difference(inputs, inputs | {"text": text | {"files": files}}) == ("text (x was added)")
    assert difference(inputs, inputs | {"text": text | {"errors": "replace"}}) == (
        "text (errors replace, now strict)"
    )
    assert difference(inputs, inputs | {"text": {"dataset": "z"}}) == (
        "text (errors None, now strict)"
    )
    assert difference(inputs, inputs | {"valid_text": text}) == "validation text"
