"""Which files are read, and that none is left out without being counted."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from bert.data.finding import Finder
from bert.data.formats import format_of
from bert.data.looks import is_vocabulary
from bert.data.store import build_store
from bert.data.text import DataError, Reading, TextFiles, documents
from bert.data.tokenizer_files import write_tokenizer
from bert.data.vocab import Vocabulary

PROSE = "The cat sat on the mat.\nIt walked.\n\nAnother document.\n"


def put(path: Path, content: str | bytes = PROSE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def names(finder: Finder) -> list[str]:
    return [found.name for found in finder.found]


def refusal(*paths: Path, reading: Reading | None = None) -> str:
    with pytest.raises(DataError) as caught:
        list(TextFiles(paths, reading=reading).documents())
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text"),
        ("B.TXT", "text"),
        ("a.Txt.GZ", "text"),
        ("a.jsonl", "jsonl"),
        ("a.JSONL.gz", "jsonl"),
        ("a.ndjson.xz", "jsonl"),
        ("c4-train.00000-of-01024.json.gz", "json"),
        ("a.json.zst", "json"),
        ("a.csv.gz", "csv"),
        ("a.TSV", "tsv"),
        ("a.parquet", "parquet"),
        ("wiki_00", None),
        ("a.md", None),
        ("a.gz", None),
        ("news.2007.en.gz", None),
        ("a.txt.bz2", None),
    ],
)
def test_a_name_says_the_format(name: str, expected: str | None) -> None:
    assert format_of(name) == expected


def test_everything_in_a_folder_is_read_or_counted(tmp_path: Path, vocabulary: Vocabulary) -> None:
    root = tmp_path / "corpus"
    put(root / "a.txt")
    put(root / "deep/B.TXT", "Of capitals.")
    put(root / "c.JSONL.gz", gzip.compress(b'{"text": "A line."}\n'))
    put(root / "c4.json.gz", gzip.compress(b'{"text": "Of the web.", "url": "u"}\n'))
    put(root / "table.csv", "id,text\n1,A cell.\n")
    put(root / "about.json", '{"name": "corpus"}')
    put(root / "numbers.csv", "id,count\n1,2\n")
    put(root / ".git/config.txt")
    put(root / ".ipynb_checkpoints/a-checkpoint.txt")
    put(root / ".hidden.txt")
    put(root / "notes.md")
    put(root / "wiki_00")
    put(root / "deep/image.png", b"\x89PNG\0")
    vocabulary.save(root / "vocab.txt")
    (root / "gone.txt").symlink_to(root / "nowhere")
    os.mkfifo(root / "pipe.txt")
    finder = Finder(root)
    assert names(finder) == ["a.txt", "c.JSONL.gz", "c4.json.gz", "deep/B.TXT", "table.csv"]
    assert finder.passed_over == {
        "hidden": [".git", ".hidden.txt", ".ipynb_checkpoints"],
        "no regular file": ["pipe.txt"],
        "broken link": ["gone.txt"],
        "of unknown suffix": ["deep/image.png", "notes.md", "wiki_00"],
        "vocabulary": ["vocab.txt"],
        "without 'text'": ["about.json", "numbers.csv"],
    }
    assert "3 hidden (.git, .hidden.txt, .ipynb_checkpoints)" in finder.note
    assert finder.note.endswith(
        "; --format text reads those of unknown suffix; --field names another key or column"
    )
    assert list(documents(root)) == [
        *PROSE.strip().split("\n\n"),
        "A line.",
        "Of the web.",
        "Of capitals.",
        "A cell.",
    ]


def test_a_store_records_what_was_passed_over(tmp_path: Path, vocabulary: Vocabulary) -> None:
    put(tmp_path / "c/a.txt", "the cat sat on the mat " * 9)
    plain = build_store(tmp_path / "c", vocabulary, tmp_path / "s", length=8, per_mille=0)
    assert "passed_over" not in plain.manifest
    put(tmp_path / "c/.hidden/b.txt")
    again = build_store(tmp_path / "c", vocabulary, tmp_path / "s", length=8, per_mille=0)
    assert again.manifest == plain.manifest, "the same text, hence the same store"
    counted = build_store(tmp_path / "c", vocabulary, tmp_path / "n", length=8, per_mille=0)
    assert counted.manifest == plain.manifest | {"passed_over": {"hidden": 1}}


def test_a_link_is_followed_once(tmp_path: Path) -> None:
    root, beside = tmp_path / "corpus", tmp_path / "beside"
    put(root / "a.txt", "first")
    put(root / "sub/b.txt", "second")
    put(beside / "c.txt", "third")
    (beside / "back").symlink_to(root)
    (root / "loop").symlink_to(root)
    (root / "linked").symlink_to(beside)
    (root / "twice").symlink_to(beside)
    (root / "same.txt").symlink_to(root / "a.txt")
    (root / "z").symlink_to("sub")
    finder = Finder(root)
    assert names(finder) == ["a.txt", "linked/c.txt", "sub/b.txt"]
    assert finder.passed_over == {
        "linked, read already": ["loop", "same.txt", "twice", "z", "linked/back"]
    }
    assert names(Finder([root / "same.txt", root / "a.txt"])) == ["same.txt", "a.txt"]
    assert names(Finder(root / "loop")) == names(finder), "a link that is named is its folder"


def test_files_without_a_known_suffix_need_a_format(tmp_path: Path) -> None:
    wiki = put(tmp_path / "wiki/AA/wiki_00")
    assert "the folder holds no .txt" in (message := refusal(tmp_path / "wiki"))
    assert "1 of unknown suffix (AA/wiki_00); --format text" in message
    assert "wiki_00: unknown suffix, expected one of .txt" in refusal(wiki)
    texts = TextFiles([tmp_path / "wiki"], reading=Reading(format="text"))
    assert len(list(texts.documents())) == 2
    assert texts.describe()["format"] == "text"
    wiki.write_text('{"text": "of the extractor"}\n')
    read = TextFiles(wiki, reading=Reading(format="jsonl")).documents()
    assert list(read) == ["of the extractor"]


def test_packed_files_of_unknown_suffix_are_looked_into(tmp_path: Path) -> None:
    """By what they hold: records as records, markup not at all, and text as ever."""
    for name, content, expected in (
        ("a.gz", PROSE, PROSE.strip().split("\n\n")),
        ("news.2007.en.gz", "[Chapter 1]\n{so}", ["[Chapter 1]\n{so}"]),
        ("b.gz", '{"text": "of a line"}\n', ["of a line"]),
        ("c.data.gz", '[\n {"text": "of an array"}\n]', ["of an array"]),
        ("d.gz", json.dumps({"text": "long " * 9000}), ["long " * 9000]),
    ):
        file = put(tmp_path / name, gzip.compress(content.encode()))
        assert list(documents(file)) == expected, name
    page = put(tmp_path / "page.html.gz", gzip.compress(b"<!DOCTYPE html><p>Text</p>"))
    assert "page.html.gz: line 1: is markup" in refusal(page)
    assert list(TextFiles(page, reading=Reading(format="text")).documents())


@pytest.mark.parametrize(
    "content",
    [
        "the\n[UNK]\n##s\n[MASK]\n",
        "\ufeff[PAD]\n[UNK]\n\u2028\n\u3000\nthe\n",
        "[PAD]\n[UNK]\nthe\n[PAD]\n[PAD]\n\n\n",
        "<unk>\t0\n<s>\t0\n\u2581the\t-3.2\n",
        "#version: 0.2\nt h\nth e\n",
        "".join(f"word{n} {1000 - n}\n" for n in range(30)),
    ],
)
def test_lists_of_tokens_are_no_text(tmp_path: Path, content: str) -> None:
    file = put(tmp_path / "corpus/list.txt", content)
    assert is_vocabulary(file)
    put(tmp_path / "corpus/a.txt")
    assert names(Finder(tmp_path / "corpus")) == ["a.txt"]
    assert "list.txt: is a list of tokens" in refusal(file)


@pytest.mark.parametrize(
    "content",
    [
        PROSE,
        "word\n",
        "one\ntwo\nthree\n",
        "the\n[UNK]\nthe\n",
        "All [UNK] words\nare here\n",
        "",
        "Kapitel 1\nKapitel 2\n",
        "".join(f"这是第{n}句没有空格的中文句子的例子\n" for n in range(3000)) + "[UNK]\n",
    ],
)
def test_texts_are_no_lists_of_tokens(tmp_path: Path, content: str) -> None:
    assert not is_vocabulary(put(tmp_path / "a.txt", content))


def test_the_vocabulary_given_is_never_text(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """Also one that does not look like it; and no file of a tokenizer's folder is."""
    given = put(tmp_path / "c/words.txt", "a b\nc d\n")
    put(tmp_path / "c/a.txt", "prose of it")
    assert list(TextFiles(tmp_path / "c", vocabulary=given).documents()) == ["prose of it"]
    write_tokenizer(vocabulary, tmp_path / "c", longest=8)
    found = Finder(tmp_path / "c", vocabulary=given)
    assert names(found) == ["a.txt"]
    assert found.passed_over["without 'text'"] == ["tokenizer.json", "tokenizer_config.json"]


def test_a_store_is_never_text(tmp_path: Path, vocabulary: Vocabulary) -> None:
    text = put(tmp_path / "corpus/a.txt", "the cat sat on the mat " * 9)
    store = build_store(text, vocabulary, tmp_path / "store", length=8, per_mille=0).folder
    for paths in ([store], [store, text], [text, store]):
        assert f"{store}: is a token store, and no text" in refusal(*paths)
    os.rename(store, tmp_path / "corpus/store")
    finder = Finder(tmp_path / "corpus")
    assert (names(finder), finder.passed_over) == (["a.txt"], {"token store": ["store"]})


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz", "a.parquet", "a.json"])
def test_pointers_to_files_not_fetched_are_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path / "c/other.txt")
    file = put(tmp_path / "c" / name, "version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    for path in (file, tmp_path / "c"):
        assert f"{file}: line 1: is a Git LFS pointer; git lfs pull fetches" in refusal(path)
    file.write_text("/annex/objects/MD5-s1--2\n")
    assert "is a git-annex pointer; git annex get" in refusal(file)


def test_a_name_that_is_not_utf8_is_read_and_written_out(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    folder = os.fsencode(tmp_path / "corpus")
    os.mkdir(folder)
    for name in (b"caf\xe9.txt", b"caf\xe8.txt"):
        with open(folder + b"/" + name, "w") as out:
            out.write("the cat sat on the mat " * 9)
    os.mkdir(folder + b"/.\xff")
    source = TextFiles(tmp_path / "corpus")
    described = source.describe()
    assert [file["name"] for file in described["files"]] == [r"caf\xe8.txt", r"caf\xe9.txt"]
    assert source.note == r"passed over: 1 hidden (.\xff)"
    os.rename(folder + b"/caf\xe8.txt", folder + b"/caf\xe7.txt")
    assert TextFiles(tmp_path / "corpus").describe()["fingerprint"] != described["fingerprint"]
    os.rename(folder + b"/caf\xe7.txt", folder + b"/caf\xe8.txt")
    store = build_store(source, vocabulary, tmp_path / "s", length=8, per_mille=0)
    assert store.manifest["text"] == described


def test_a_pipe_is_refused_when_it_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert "pipe.txt: is no regular file; text is read twice" in refusal(tmp_path / "pipe.txt")
