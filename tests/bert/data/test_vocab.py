from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models

from bert.data.text import DataError
from bert.data.tokenizer_files import open_vocabulary, read_tokenizer, write_tokenizer
from bert.data.vocab import (
    SPECIALS,
    Vocabulary,
    load_vocabulary,
    read_vocabulary,
    train_vocabulary,
)
from swe.base.files import read_json, write_json


def text_full_of_ties(words: int = 3000) -> list[str]:
    """Random words, so that very many pairs are equally frequent: the worst case for ties."""
    rng = np.random.default_rng(np.random.SeedSequence([7, 1]))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    chosen = ["".join(rng.choice(letters, size=6)) for _ in range(words)]
    return [" ".join(chosen[start : start + 100]) for start in range(0, words, 100)]


SCRIPT = """
import sys
from bert.data.vocab import train_vocabulary
print(train_vocabulary(sys.stdin.read().split("\\n"), 600).sha256)
"""


def test_training_repeats_in_other_processes_and_thread_counts() -> None:
    documents = text_full_of_ties()
    here = train_vocabulary(documents, 600)
    assert here.size == 600
    for environment in (
        {"TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "1"},
        {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "5", "PYTHONHASHSEED": "2"},
    ):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input="\n".join(documents),
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == here.sha256


def test_training_repeats_and_ignores_the_order_of_documents() -> None:
    # The hash tables of the library are seeded anew at each training, hence five of them.
    documents = text_full_of_ties()
    digests = {train_vocabulary(documents, 600).sha256 for _ in range(4)}
    digests.add(train_vocabulary(documents[::-1], 600).sha256)
    assert len(digests) == 1


def test_small_training_written_out() -> None:
    documents = ["Lower, lowest; low! LOW", "löw newer", "newest"]
    vocabulary = train_vocabulary(documents, 100)
    assert vocabulary.tokens == (
        *SPECIALS,
        *"!,;elnorstw",
        *("##e", "##o", "##r", "##s", "##t", "##w"),
        *("lo", "low"),  # five times each; all pairs below twice, ties by the ids of the pair
        *("ne", "##er", "##es", "new", "##est"),
    )


def test_words_with_rare_letters_are_unknown_not_split() -> None:
    documents = ["aa ab ba bb " * 9 + "aξb"]
    vocabulary = train_vocabulary(documents, 50, alphabet=2)
    assert not [token for token in vocabulary.tokens if "ξ" in token]
    known, unknown = vocabulary.encode_batch(["ab", "aξb"])
    assert vocabulary.unk_id not in known
    assert unknown.tolist() == [vocabulary.unk_id]


def test_rare_letters_make_room_in_a_small_vocabulary() -> None:
    """An encyclopaedia has more letters than a vocabulary of 256 has tokens."""
    rare = " ".join(chr(code) * 2 for code in range(ord("α"), ord("ω")))
    documents = ["abcd dcba abba " * 9, rare]
    roomy, small = train_vocabulary(documents, 100), train_vocabulary(documents, 30)
    assert "α" in roomy.tokens
    assert "α" in small.tokens  # the fifth letter: half of 30, less five, is five plain and five on
    assert "β" not in small.tokens
    assert "abcd" in small.tokens
    assert small.size <= 30


def test_letters_equally_frequent_are_kept_by_code_point() -> None:
    for documents in (["ab ab", "dc dc"], ["dc dc", "ab ab"]):
        assert train_vocabulary(documents, 50, alphabet=2).tokens[5:] == ("a", "b", "##b", "ab")


def test_min_count_stops_the_merges() -> None:
    often, once = ("abcab " * 5), "xyzxy"
    assert "abcab" in train_vocabulary([often + once], 100).tokens
    assert "xyzxy" not in train_vocabulary([often + once], 100).tokens
    assert "xyzxy" in train_vocabulary([often + once], 100, min_count=1).tokens


def test_training_refuses_no_words_and_too_small_a_size() -> None:
    with pytest.raises(DataError, match="there is no word in the documents"):
        train_vocabulary([" \n "], 100)
    with pytest.raises(DataError, match=r"^vocabulary: 8 tokens are too few, .* take 9$"):
        train_vocabulary(["ab ba"], 8)


def test_encoding_written_out(vocabulary: Vocabulary) -> None:
    texts = ["The cat walked.", "CATS's café", "[MASK] zoë", "日", "x" * 101, ""]
    decoded = [
        [vocabulary.tokens[i] for i in ids.tolist()] for ids in vocabulary.encode_batch(texts)
    ]
    assert decoded == [
        ["the", "cat", "walk", "##ed", "."],
        ["cat", "##s", "'", "s", "c", "##a", "##f", "##e"],  # accents go before the look-up
        ["[UNK]", "m", "##a", "##s", "##k", "[UNK]", "z", "##o", "##e"],
        ["[UNK]"],
        ["[UNK]"],  # longer than 100 characters
        [],
    ]


def greedy(word: str, vocabulary: Vocabulary) -> list[int]:
    """Longest match first, as BERT defines WordPiece."""
    ids, start = [], 0
    while start < len(word):
        for stop in range(len(word), start, -1):
            token = ("##" if start else "") + word[start:stop]
            if token in vocabulary.tokens:
                ids.append(vocabulary.tokens.index(token))
                start = stop
                break
        else:
            return [vocabulary.unk_id]
    return ids


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.text("cats walkinged1 ", max_size=30), max_size=4))
def test_encoding_is_greedy_longest_match(vocabulary: Vocabulary, texts: list[str]) -> None:
    expected = [[i for word in text.split() for i in greedy(word, vocabulary)] for text in texts]
    encoded = vocabulary.encode_batch(texts)
    assert [ids.tolist() for ids in encoded] == expected
    assert all(ids.dtype == np.uint16 for ids in encoded)


def test_attributes_written_out() -> None:
    tokens = ["a", *SPECIALS, "##b", "##", "[unused7]", "c"]
    vocabulary = Vocabulary(tokens)
    assert (vocabulary.size, vocabulary.padded_size) == (10, 64)
    assert Vocabulary([*tokens, *(f"w{i}" for i in range(54))]).padded_size == 64
    assert Vocabulary([*tokens, *(f"w{i}" for i in range(55))]).padded_size == 128
    ids = [vocabulary.pad_id, vocabulary.unk_id, vocabulary.cls_id, vocabulary.sep_id]
    assert [*ids, vocabulary.mask_id] == [1, 2, 3, 4, 5]
    assert np.flatnonzero(vocabulary.is_continuation).tolist() == [6]  # "##" itself is a word
    assert vocabulary.ordinary_ids.tolist() == [0, 6, 7, 9]
    assert np.flatnonzero(vocabulary.is_ordinary).tolist() == [0, 6, 7, 9]


def test_large_vocabulary_needs_wider_ids() -> None:
    words = [f"w{i}" for i in range(65536 - 5)]
    assert Vocabulary([*SPECIALS, *words]).dtype == np.uint16
    wider = Vocabulary([*words, "one", *SPECIALS])
    assert wider.dtype == np.uint32
    assert wider.mask_id == 65536


def test_save_and_load(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "vocab.txt"
    vocabulary.save(path)
    loaded = load_vocabulary(path)
    assert loaded == vocabulary
    assert hash(loaded) == hash(vocabulary)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_vocabulary(path) == vocabulary
    assert vocabulary != Vocabulary([*vocabulary.tokens, "more"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the vocabulary is empty"),
        (b"\n", "the vocabulary is empty"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nword\n", r"the vocabulary lacks \[MASK\]"),
        (b"word\n", r"lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\], \[MASK\]"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\na\n", "the token 'a' appears more than once"),
        (b"[PAD]\n\n[UNK]\n", "token 1 is empty or has white space"),
        (b"[PAD]\n[UNK]\n\n[CLS]\n", "token 2 is empty or has white space: ''"),
        (b"[PAD]\nin it\n", "token 1 is empty or has white space: 'in it'"),
        (b"[PAD]\n\xff\n", "not UTF-8 text at byte 6"),
    ],
)
def test_faulty_vocabulary_gives_one_line_that_names_it(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        load_vocabulary(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"vocab\.txt: cannot be read \(No such file"):
        load_vocabulary(tmp_path / "vocab.txt")


PLAIN = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\n"


@pytest.mark.parametrize(
    ("content", "more"),
    [
        (b"\xef\xbb\xbf" + PLAIN, []),
        (PLAIN.replace(b"\n", b"\r\n"), []),
        (PLAIN + b"\n\n\n", []),
        (PLAIN + b"\r\n\r\n", []),
        (PLAIN.rstrip(), []),
        (PLAIN + "\u2028\n\u2029\n\x85\n\u3000\n\xa0\nlast\n".encode(),
         ["\u2028", "\u2029", "\x85", "\u3000", "\xa0", "last"]),
    ],
)  # fmt: skip
def test_vocabularies_as_others_write_them(tmp_path: Path, content: bytes, more: list[str]) -> None:
    """Against the ids of the stock tokenizers library, which reads the file by itself."""
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    vocabulary = load_vocabulary(path)
    assert list(vocabulary.tokens) == [*PLAIN.decode().split(), *more]
    stock = models.WordPiece.from_file(str(path), unk_token="[UNK]")
    for token in ("the", "cat", "last")[: 3 if more else 2]:
        assert vocabulary.tokens.index(token) == stock.token_to_id(token)
    path.with_name("again.txt").write_bytes(b"")
    vocabulary.save(path.with_name("again.txt"))
    assert load_vocabulary(path.with_name("again.txt")) == vocabulary
    assert vocabulary.encode_batch(["the\u2028cats"])[0].tolist() == [5, 6, 7]


def test_a_doubled_token_is_named_with_both_ids(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(PLAIN + b"[PAD]\n[PAD]\n")
    with pytest.raises(DataError, match=r"'\[PAD\]' appears more than once \(ids 0 and 9\)"):
        load_vocabulary(tmp_path / "vocab.txt")


CASED = PLAIN + b"The\nCat\nA\n##S\n"


def test_cased_and_uncased_are_not_taken_for_one_another(tmp_path: Path) -> None:
    plain, cased = tmp_path / "plain.txt", tmp_path / "cased.txt"
    plain.write_bytes(PLAIN)
    cased.write_bytes(CASED)
    with pytest.raises(DataError, match=r"cased\.txt: is a cased vocabulary \(4 tokens .* '##S'\)"):
        load_vocabulary(cased)
    with pytest.raises(
        DataError, match=r"plain\.txt: is an uncased vocabulary .*leave --cased out"
    ):
        load_vocabulary(plain, cased=True)
    found = load_vocabulary(cased, cased=True)
    assert found.encode_batch(["The the CATS cats Á"])[0].tolist() == [8, 5, 1, 6, 7, 1]
    uncased = read_vocabulary(cased)
    assert uncased.encode_batch(["The the Cats á"])[0].tolist() == [5, 5, 6, 7, 1]
    assert found != uncased
    assert found.sha256 != uncased.sha256
    assert uncased.sha256 == hashlib.sha256(CASED).hexdigest()
    one_in_a_hundred = [*(f"w{n}" for n in range(99)), "Stray"]
    plain.write_bytes(PLAIN + "".join(f"{word}\n" for word in one_in_a_hundred).encode())
    assert load_vocabulary(plain).size == 108


def test_a_cased_vocabulary_is_trained(tmp_path: Path) -> None:
    texts = ["The Cat, the cát. "] * 9
    cased, plain = train_vocabulary(texts, 60, cased=True), train_vocabulary(texts, 60)
    assert {"The", "Cat", "cát"} <= set(cased.tokens)
    assert cased.cased
    assert {"the", "cat"} <= set(plain.tokens)
    assert not any("T" in token for token in plain.tokens if token not in SPECIALS)
    assert load_vocabulary(saved(plain, tmp_path / "plain.txt")) == plain
    assert load_vocabulary(saved(cased, tmp_path / "cased.txt"), cased=True) == cased


def saved(vocabulary: Vocabulary, path: Path) -> Path:
    vocabulary.save(path)
    return path


def test_tokenizer_files_of_a_cased_vocabulary(tmp_path: Path) -> None:
    """There and back, and as the stock tokenizer splits."""
    transformers = pytest.importorskip("transformers")
    tokens = [line for line in CASED.decode().split("\n") if line]
    vocabulary = Vocabulary(tokens, cased=True)
    write_tokenizer(vocabulary, tmp_path, longest=16)
    texts = ["The the CATS cats Á", "The  cat"]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text, ids in zip(texts, vocabulary.encode_batch(texts), strict=True):
        assert theirs(text, add_special_tokens=False)["input_ids"] == ids.tolist()
    assert read_tokenizer(tmp_path) == vocabulary
    for path in (tmp_path, tmp_path / "tokenizer.json", tmp_path / "vocab.txt"):
        assert open_vocabulary(path, cased=True) == vocabulary
        with pytest.raises(DataError, match="cased"):
            open_vocabulary(path)
    (tmp_path / "vocab.txt").unlink()
    assert read_tokenizer(tmp_path) == vocabulary
    (tmp_path / "tokenizer.json").unlink()
    vocabulary.save(tmp_path / "vocab.txt")
    assert read_tokenizer(tmp_path) == vocabulary
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(DataError, match=r"no tokenizer_config\.json beside it says"):
        read_tokenizer(tmp_path)


def test_files_that_contradict_one_another(vocabulary: Vocabulary, tmp_path: Path) -> None:
    write_tokenizer(vocabulary, tmp_path, longest=16)
    words, fast = tmp_path / "vocab.txt", tmp_path / "tokenizer.json"
    assert open_vocabulary(words) == vocabulary

    def refused(message: str) -> None:
        for read in (read_tokenizer, lambda folder: open_vocabulary(folder / "vocab.txt")):
            with pytest.raises(DataError, match=message) as caught:
                read(tmp_path)
            assert "\n" not in str(caught.value)

    swapped = [*vocabulary.tokens[:-2], vocabulary.tokens[-1], vocabulary.tokens[-2]]
    Vocabulary(swapped).save(words)
    at = len(swapped) - 2
    refused(
        rf"tokenizer\.json: token {at} is 'café', in vocab\.txt beside it '\[unused0\]'; remove"
    )
    Vocabulary([*vocabulary.tokens, "more"]).save(words)
    refused(rf"token {at + 2} is none, in vocab\.txt beside it 'more'")
    vocabulary.save(words)
    data = read_json(fast)
    data["added_tokens"].append({"id": vocabulary.size, "content": "[NEW]"})
    write_json(fast, data)
    with pytest.raises(
        DataError, match=rf"added token '\[NEW\]' has id {vocabulary.size}, which is"
    ):
        read_tokenizer(tmp_path)
    fast.unlink()
    write_json(tmp_path / "added_tokens.json", {"[NEW]": 3})
    with pytest.raises(DataError, match=r"added_tokens\.json: the added token '\[NEW\]' has id 3"):
        read_tokenizer(tmp_path)
    with pytest.raises(DataError, match=r"tokenizer\.json: cannot be read \(No such file"):
        open_vocabulary(fast)
