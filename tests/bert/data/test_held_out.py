"""A document of the validation text that stands in the training text too is not trained on."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bert.data.held_out import HeldOut
from bert.data.store import TokenStore, build_store
from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from swe.base.files import write_json

BOTH = ["the cat sat on the mat.", "walking, walked", "it's a café"]
TEXT = ["the cat walked", "a cat", "the mat. the mat.", "on the mat. a cat sat"]


def store_of(folder: Path, vocabulary: Vocabulary, text: list[str], valid: list[str]) -> TokenStore:
    folder.mkdir()
    (folder / "text.txt").write_text("\n\n".join(text), "utf-8")
    (folder / "valid.txt").write_text("\n\n".join(valid), "utf-8")
    return build_store(
        folder / "text.txt", vocabulary, folder / "store", length=4, valid=folder / "valid.txt"
    )


def test_repeats_are_dropped_from_the_training_part_and_counted(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    """First, between, twice in a row and last: the rows are those of the text without them."""
    mixed = [BOTH[0], *TEXT[:2], BOTH[1], BOTH[1], *TEXT[2:], BOTH[2]]
    store = store_of(tmp_path / "mixed", vocabulary, mixed, BOTH)
    plain = store_of(tmp_path / "plain", vocabulary, TEXT, BOTH)
    assert store.train.tolist() == plain.train.tolist()
    assert store.valid.tolist() == plain.valid.tolist()
    assert store.manifest["parts"]["valid"]["documents"] == len(BOTH)
    dropped = [BOTH[0], BOTH[1], BOTH[1], BOTH[2]]
    assert store.manifest["dropped"] == {
        "documents": 4,
        "tokens": sum(map(len, vocabulary.encode_batch(dropped))),
        "words": sum(len(one.split()) for one in dropped),
    }
    assert plain.manifest["dropped"] == {"documents": 0, "tokens": 0, "words": 0}


def test_the_same_to_the_tokenizer_is_the_same_document(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    """Case, accents, white space and line breaks are no difference; a word or its place is one."""
    same = ["The CAT  sat\non the mat.", "it's a cafe"]
    other = [
        "the cat sat on the mat. a",
        "the cat sat the on mat.",
        "the cat sat on the",
        "walking",
    ]
    store = store_of(tmp_path / "both", vocabulary, same + other, BOTH)
    assert store.manifest["dropped"]["documents"] == len(same)
    assert store.manifest["parts"]["train"]["documents"] == len(other)


def test_without_a_validation_text_nothing_is_dropped(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(TEXT * 2))
    store = build_store(
        tmp_path / "text.txt", vocabulary, tmp_path / "store", length=4, per_mille=0
    )
    assert "dropped" not in store.manifest
    assert store.manifest["parts"]["train"]["documents"] == 2 * len(TEXT)


def test_a_text_that_is_its_own_validation_text_is_refused(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    with pytest.raises(DataError, match=r"3 dropped because they stand in the validation text; "):
        store_of(tmp_path / "both", vocabulary, BOTH, BOTH)


def test_a_store_from_before_the_rule_is_readable_not_the_same(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    store = store_of(tmp_path / "both", vocabulary, TEXT, BOTH)
    old = {k: v for k, v in store.manifest.items() if k not in ("dropped", "repeats_of_valid")}
    write_json(store.folder / "store.json", old)
    TokenStore.open(store.folder, vocabulary, verify=True)
    with pytest.raises(DataError, match="a store of another version of this program"):
        build_store(
            tmp_path / "both/text.txt",
            vocabulary,
            store.folder,
            length=4,
            valid=tmp_path / "both/valid.txt",
            replace=False,
        )


def test_digests_go_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "digests.npy"
    ids = [np.array(one, np.uint16) for one in ([], [1], [1, 2], [2, 1], [258])]
    held = HeldOut(path)
    assert ids[1] not in held
    for one in (*ids[:3], ids[1]):
        held.add(one)
    assert held.checkpoint() == 2  # no empty document, none twice
    held.add(ids[3])
    held.close()
    assert HeldOut.holds(path, 2)
    assert not HeldOut.holds(path, 4)
    again = HeldOut(path, keep=2)
    assert [one in again for one in ids] == [False, True, True, False, False]
    again.add(ids[3])
    assert again.checkpoint() == 3
    again.close()
    last = HeldOut(path, keep=3)
    assert [one in last for one in ids] == [False, True, True, True, False]
    last.close()


def test_memory_is_within_200_bytes_a_validation_document(tmp_path: Path) -> None:
    documents = np.arange(50_000, dtype=np.uint32).reshape(-1, 1)
    held = HeldOut(tmp_path / "digests.npy")
    tracemalloc.start()
    try:
        for ids in documents:
            held.add(ids)
        held.checkpoint()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    held.close()
    assert peak < 200 * len(documents)
