"""Rows in which nothing can be masked: left out when a store is built, replaced where one has them.

The texts are letters that the vocabulary lacks, between words that it has.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from bert.data import packing
from bert.data.masking import mask_rows, maskable, masked_per_row
from bert.data.order import row_order
from bert.data.packing import Documents
from bert.data.pairs import pair_rows, pairs_to_mask
from bert.data.stand_ins import rows_to_mask
from bert.data.store import TokenStore, build_store
from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from bert.model.config import BertConfig
from bert.pretraining.next_sentence import NextSentenceTask
from bert.pretraining.task import MaskedLanguageTask
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import NeverShared

LENGTH = 16
UNKNOWN = {
    "Chinese": "汉字" * 60,
    "emoji": "😀 " * 270,
    "base64": "QUJDREVGR0hJSktMTU5PUA" * 9 + " " + "+/" * 3 + " 123 " * 90,
}


def text_of(folder: Path, unknown: str) -> Path:
    rng = np.random.default_rng(0)
    english = [" ".join(rng.choice(["the", "cat", "sat", "mat"], size=60)) for _ in range(40)]
    documents = [*english[:20], unknown, f"{english[0]} {unknown} {english[1]}", *english[20:]]
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text("\n\n".join(documents), "utf-8")
    return folder / "text.txt"


def build(folder: Path, vocabulary: Vocabulary, text: Path, documents: Documents) -> TokenStore:
    return build_store(text, vocabulary, folder, length=LENGTH, per_mille=200, documents=documents)


def old_store(
    folder: Path, vocabulary: Vocabulary, text: Path, documents: Documents = "across"
) -> TokenStore:
    """As versions before the rule built it: every row kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "maskable", lambda rows, vocabulary: np.ones(len(rows), dtype=bool))
        return build(folder, vocabulary, text, documents)


@pytest.mark.parametrize("documents", ["across", "apart"])
@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("batch_tokens", [100, 1 << 20])
def test_a_built_store_has_none_and_counts_them(
    tmp_path: Path,
    vocabulary: Vocabulary,
    monkeypatch: pytest.MonkeyPatch,
    unknown: str,
    documents: Documents,
    batch_tokens: int,
) -> None:
    monkeypatch.setattr(packing, "BATCH_TOKENS", batch_tokens)
    text = text_of(tmp_path, UNKNOWN[unknown])
    old = old_store(tmp_path / "old", vocabulary, text, documents)
    new = build(tmp_path / "new", vocabulary, text, documents)
    least = round(0.15 * LENGTH)
    dropped = 0
    for part in ("train", "valid"):
        rows = getattr(old, part).tolist()
        words = [sum(vocabulary.is_ordinary[token] for token in row) for row in rows]
        kept = [row for row, count in zip(rows, words, strict=True) if count >= least]
        assert getattr(new, part).tolist() == kept
        entry = new.manifest["parts"][part]
        assert entry["rows"] == len(kept)
        assert entry.get("unmaskable", 0) == len(rows) - len(kept)
        dropped += len(rows) - len(kept)
        if documents == "apart":
            starts = getattr(old, f"{part}_starts").tolist()
            ends = [*starts[1:], len(rows)]
            survivors = [
                sum(count >= least for count in words[:start])
                for start, end in zip(starts, ends, strict=True)
                if any(count >= least for count in words[start:end])
            ]
            assert getattr(new, f"{part}_starts").tolist() == survivors
    assert dropped > 3
    assert f"rows left out, for fewer than {least} of their tokens" in new.left_out
    assert (old.left_out, "unmaskable" in old.manifest["parts"]["train"]) == ("", False)


def test_a_text_of_unknown_letters_is_refused(tmp_path: Path, vocabulary: Vocabulary) -> None:
    (tmp_path / "text.txt").write_text("汉字" * 60)
    with pytest.raises(DataError, match="knows too few words of all 8 rows to mask any; train one"):
        build_store(tmp_path / "text.txt", vocabulary, tmp_path / "s", length=LENGTH, per_mille=0)


def task_of(store: TokenStore, vocabulary: Vocabulary, kind: type = MaskedLanguageTask) -> object:
    shape = BertConfig(
        layers=2,
        hidden=16,
        heads=2,
        intermediate=32,
        vocabulary=vocabulary.size,
        positions=LENGTH,
        dropout=0.0,
    )
    return kind(shape, vocabulary, store, rows=4, validation_rows=60)


def test_a_stand_in_takes_the_place_and_the_others_stay(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    store = old_store(tmp_path / "s", vocabulary, text_of(tmp_path, UNKNOWN["Chinese"]))
    task = task_of(store, vocabulary)
    assert isinstance(task, MaskedLanguageTask)
    poor = ~maskable(store.train, vocabulary)
    assert poor.any()
    model = task.build(0)
    met = 0
    for index in range(12):
        order = row_order(5, index, 4, len(store.train))
        batch = task.batch(5, index)
        assert set(batch) == {"inputs", "masked", "labels"}
        good = ~poor[order]
        met += int((~good).sum())
        assert (vocabulary.is_ordinary[batch["labels"].numpy()]).all()
        # The masks of the other rows are those of a batch in which the poor ones were good.
        filled = np.array(store.train[order])
        filled[~good] = store.train[np.flatnonzero(~poor)[0]]
        expected = mask_rows(filled, vocabulary, 5, index)
        assert (batch["inputs"].numpy()[good] == expected.inputs[good]).all()
        logits = model(batch["inputs"], batch["masked"]).detach()
        loss = task.loss(model, batch).detach()
        each = functional.cross_entropy(logits, batch["labels"].flatten(), reduction="none")
        # Every row has one weight: the mean over rows of the means within them.
        torch.testing.assert_close(loss, each.reshape(4, -1).mean(1).mean())
    assert met > 0
    result = task.evaluate(model, torch.device("cpu"))
    assert np.isfinite(result["loss"])
    assert result["predictions"] == min(60, len(store.valid)) * masked_per_row(LENGTH)


def test_stand_ins_are_a_function_of_the_place(tmp_path: Path, vocabulary: Vocabulary) -> None:
    store = old_store(tmp_path / "s", vocabulary, text_of(tmp_path, UNKNOWN["emoji"]))
    everything = np.arange(len(store.train))
    rows = rows_to_mask(store.train, everything, vocabulary)
    assert maskable(rows, vocabulary).all()
    poor = np.flatnonzero(~maskable(store.train, vocabulary))
    again = rows_to_mask(store.train, poor[::-1], vocabulary)[::-1]
    assert (again == rows[poor]).all()
    assert len(np.unique(rows[poor], axis=0)) > 1
    good = np.setdiff1d(everything, poor)
    assert (rows[good] == store.train[good]).all()


def test_one_good_row_among_thousands_is_found(vocabulary: Vocabulary) -> None:
    rows = np.full((40_000, LENGTH), vocabulary.unk_id)
    rows[777] = vocabulary.ordinary_ids[0]
    assert (rows_to_mask(rows, np.array([39_999, 3, 777]), vocabulary) == rows[777]).all()
    rows[777] = vocabulary.unk_id
    with pytest.raises(DataError, match="no row of the store has tokens to mask"):
        rows_to_mask(rows, np.array([3]), vocabulary)


def test_a_store_without_a_good_row_is_refused_at_once(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(["汉字" * (60 + n) for n in range(40)]))
    store = old_store(tmp_path / "s", vocabulary, tmp_path / "text.txt")
    with pytest.raises(DataError, match=r"s: train: no row has the 2 tokens to mask; the vocab"):
        task_of(store, vocabulary)


def test_pairs_without_tokens_to_mask_are_drawn_anew(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    """Rows half of unknown letters: each can be masked, and two such halves cannot."""
    half = "汉字" * 3 + " the" + " 汉" * 6 + " cat"
    documents = [" ".join([half] * 3), "the cat sat on the mat " * 8] * 20
    (tmp_path / "text.txt").write_text(
        "\n\n".join(f"{text} {n}" for n, text in enumerate(documents))
    )
    store = build(tmp_path / "s", vocabulary, tmp_path / "text.txt", "apart")
    chosen = np.arange(len(store.train))
    changed = 0
    for step in range(20):
        plain = pair_rows(store.train, store.train_starts, chosen, vocabulary, 3, step)
        made = pairs_to_mask(store.train, store.train_starts, chosen, vocabulary, 3, step)
        good = maskable(plain.tokens, vocabulary)
        assert maskable(made.tokens, vocabulary).all()
        for one, other in zip(plain, made, strict=True):
            assert (one[good] == other[good]).all()
        changed += int((~good).sum())
    assert changed > 0
    task = task_of(store, vocabulary, NextSentenceTask)
    assert isinstance(task, NextSentenceTask)
    assert np.isfinite(task.evaluate(task.build(0), torch.device("cpu"))["loss"])


def test_a_run_on_an_old_store_ends_and_resumes(tmp_path: Path, vocabulary: Vocabulary) -> None:
    store = old_store(tmp_path / "s", vocabulary, text_of(tmp_path, UNKNOWN["Chinese"]))
    task = task_of(store, vocabulary)
    assert isinstance(task, MaskedLanguageTask)
    config = TrainConfig(steps=10, schedule=NeverShared(), checkpoint_interval=3, log_interval=1)
    whole = train(task, config, tmp_path / "whole")
    seen = {"updates": 0}

    def stop() -> bool:
        seen["updates"] += 1
        return seen["updates"] > 5

    with pytest.raises(BaseException, match="stopped"):
        train(task, config, tmp_path / "parts", stop=stop)
    parts = train(task, config, tmp_path / "parts")
    assert parts["valid"] == whole["valid"]
    assert np.isfinite(whole["valid"]["loss"])
