"""Readers: every official file format, written here in small, and what a bad file is told."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from bert.data.reading import Errors
from bert.data.text import DataError
from bert.finetune.data.glue import Example, Examples, read_part, task_folder
from bert.finetune.data.tasks import GLUE, glue_task
from swe.base.errors import ConfigError

PARSES = [f"sentence{n}{kind}_parse" for kind in ("_binary", "") for n in (1, 2)]
MNLI_HEAD = ["index", "promptID", "pairID", "genre", *PARSES, "sentence1", "sentence2"]
STS_HEAD = [
    "index",
    "genre",
    "filename",
    "year",
    "old_index",
    "source1",
    "source2",
    "sentence1",
    "sentence2",
]
PAIR_HEAD = ["index", "sentence1", "sentence2"]
MNLI_ROW = ["7", "p", "q", "fiction", "(", ")", "(", ")", "It rains.", "It is wet."]
STS_ROW = ["7", "main", "MSRvid", "2012", "0001", "none", "none", "It rains.", "It is wet."]

# task, part, official file name, header or None, one row, what must be read.
OFFICIAL = [
    ("cola", "train", "train.tsv", None, ["gj04", "0", "*", "It rain."], ("It rain.", None, 0)),
    ("cola", "test", "test.tsv", ["index", "sentence"], ["7", "It rain."], ("It rain.", None)),
    ("sst-2", "dev", "dev.tsv", ["sentence", "label"], ["so good ", "1"], ("so good", None, 1)),
    ("sst-2", "test", "test.tsv", ["index", "sentence"], ["7", "so good"], ("so good", None)),
    ("mrpc", "train", "train.tsv", ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
     ["1", "11", "12", 'He said "no.', "No."], ('He said "no.', "No.", 1)),
    ("mrpc", "test", "test.tsv", ["index", "#1 ID", "#2 ID", "#1 String", "#2 String"],
     ["7", "11", "12", 'He said "no.', "No."], ('He said "no.', "No.")),
    ("sts-b", "dev", "dev.tsv", [*STS_HEAD, "score"], [*STS_ROW, "3.800"],
     ("It rains.", "It is wet.", 3.8)),
    ("sts-b", "test", "test.tsv", STS_HEAD, STS_ROW, ("It rains.", "It is wet.")),
    ("qqp", "train", "train.tsv", ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
     ["7", "1", "2", "Why?", "How?", "0"], ("Why?", "How?", 0)),
    ("qqp", "test", "test.tsv", ["id", "question1", "question2"], ["7", "Why?", "How?"],
     ("Why?", "How?")),
    ("mnli", "train", "train.tsv", [*MNLI_HEAD, "label1", "gold_label"],
     [*MNLI_ROW, "neutral", "entailment"], ("It rains.", "It is wet.", 1)),
    ("mnli", "dev", "dev_matched.tsv", [*MNLI_HEAD, *(f"label{i}" for i in range(1, 6)),
     "gold_label"], [*MNLI_ROW, *["neutral"] * 5, "contradiction"], ("It rains.", "It is wet.", 0)),
    ("mnli", "dev-mm", "dev_mismatched.tsv", [*MNLI_HEAD, *(f"label{i}" for i in range(1, 6)),
     "gold_label"], [*MNLI_ROW, *["entailment"] * 5, "neutral"], ("It rains.", "It is wet.", 2)),
    ("mnli", "test", "test_matched.tsv", MNLI_HEAD, MNLI_ROW, ("It rains.", "It is wet.")),
    ("mnli", "test-mm", "test_mismatched.tsv", MNLI_HEAD, MNLI_ROW, ("It rains.", "It is wet.")),
    ("mnli", "ax", "../diagnostic/diagnostic.tsv", PAIR_HEAD, ["7", "It rains.", "It is wet."],
     ("It rains.", "It is wet.")),
    ("mnli", "ax-full", "../AX/diagnostic-full.tsv",
     ["Lexical Semantics", "Predicate-Argument Structure", "Logic", "Knowledge", "Domain",
      "Premise", "Hypothesis", "Label"],
     ["", "Core args", "", "", "News", "It rains.", "It is wet.", "entailment"],
     ("It rains.", "It is wet.", 1)),
    ("qnli", "dev", "dev.tsv", ["index", "question", "sentence", "label"],
     ["7", "Why?", "So.", "not_entailment"], ("Why?", "So.", 1)),
    ("rte", "train", "train.tsv", [*PAIR_HEAD, "label"], ["7", "A b.", "B.", "entailment"],
     ("A b.", "B.", 0)),
    ("wnli", "test", "test.tsv", PAIR_HEAD, ["7", "A b.", "B."], ("A b.", "B.")),
    ("sick", "dev", "SICK_trial.txt", ["pair_ID", "sentence_A", "sentence_B", "relatedness_score",
     "entailment_judgment"], ["7", "A b.", "B.", "3.6", "CONTRADICTION"], ("A b.", "B.", 0)),
]  # fmt: skip


def put(path: Path, *rows: list[str] | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join("\t".join(row) + "\n" for row in rows if row is not None)
    path.write_text(text, encoding="utf-8")
    return path


def read(task: str, folder: Path, part: str) -> Examples:
    found = read_part(glue_task(task), folder, part)
    assert found is not None
    return found


@pytest.mark.parametrize(("task", "part", "name", "header", "row", "expected"), OFFICIAL)
def test_official_formats(
    task: str,
    part: str,
    name: str,
    header: list[str] | None,
    row: list[str],
    expected: tuple[str, str | None, float],
    tmp_path: Path,
) -> None:
    put(tmp_path / "task" / name, header, row)
    (tmp_path / "task").mkdir(exist_ok=True)
    first, second, *label = expected
    index = 7 if len(label) == 0 else 0  # only test files are answered under their own numbers
    want = Example(index, first, second, label[0] if label else None)
    assert read(task, tmp_path / "task", part).rows == [want]


def test_every_glue_task_and_submission_name_is_there() -> None:
    names = {spec.submission for task in GLUE.values() for spec in task.parts.values()}
    assert names - {None} == {
        "CoLA",
        "SST-2",
        "MRPC",
        "STS-B",
        "QQP",
        "MNLI-m",
        "MNLI-mm",
        "QNLI",
        "RTE",
        "WNLI",
        "AX",
    }
    with pytest.raises(ConfigError, match="task = 'snli': must be one of cola, sst-2"):
        glue_task("snli")


def test_quotes_are_characters_and_swallow_nothing(tmp_path: Path) -> None:
    """An odd quotation mark opens a field in a reader of quoted files; here rows stay rows."""
    header = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    rows = [["1", "1", "2", '"He left.', "He went."], ["0", "3", "4", 'She "stayed.', '"No."']]
    put(tmp_path / "dev.tsv", header, *rows)
    found = read("mrpc", tmp_path, "dev").rows
    assert [(row.first, row.second) for row in found] == [(r[3], r[4]) for r in rows]


def test_line_ends_marks_and_packing(tmp_path: Path) -> None:
    """A byte-order mark, CR LF, a Unicode line separator inside a sentence, xz and gz."""
    text = "\ufeffsentence\tlabel\r\none\u2028two\t1\r\nthree\x85four\t0"
    (tmp_path / "train.tsv").write_bytes(text.encode())
    (tmp_path / "dev.tsv.xz").write_bytes(lzma.compress(text.encode()))
    (tmp_path / "test.tsv.gz").write_bytes(gzip.compress(b"index\tsentence\n3\tfive\n"))
    plain, packed = read("sst-2", tmp_path, "train"), read("sst-2", tmp_path, "dev")
    assert [row.first for row in plain.rows] == ["one\u2028two", "three\x85four"]
    assert plain.rows == packed.rows
    assert plain.sha256 == packed.sha256
    assert read("sst-2", tmp_path, "test").rows == [Example(3, "five", None, None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence\tlabel\ngood\t1\nbad\n", r"train.tsv: line 3: 1 columns, 2 expected"),
        ("sentence\tlabel\na\tb\t1\n", "line 2: 3 columns, 2 expected"),
        ("sentence\tlabel\ngood\t2\n", "line 2: label '2', one of 0, 1 expected"),
        ("sentence\tlabel\n \t1\n", "line 2: an empty sentence"),
        ("sentence\tsentiment\n", "line 1: the header must have one column 'label'; it has"),
        ("index\tsentence\n0\tgood\n", "line 1: the header must have one column 'label'"),
        ("sentence\tlabel\n", "train.tsv: holds no example"),
        ("", "train.tsv: line 1: the header"),
    ],
)
def test_bad_files_are_named_with_the_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read("sst-2", tmp_path, "train")


def test_other_bad_files(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_bytes(b"sentence\tlabel\ngood\t1\nb\xffd\t0\n")
    with pytest.raises(DataError, match=r"train\.tsv: line 3: not UTF-8"):
        read("sst-2", tmp_path, "train")
    (tmp_path / "dev.tsv.xz").write_bytes(lzma.compress(b"sentence\tlabel\n")[:-9])
    with pytest.raises(DataError, match=r"dev\.tsv\.xz: cannot be read"):
        read("sst-2", tmp_path, "dev")
    put(tmp_path / "test.tsv", ["index", "sentence"], ["x", "good"])
    with pytest.raises(DataError, match="line 2: index 'x' is not a number"):
        read("sst-2", tmp_path, "test")
    put(tmp_path / "sts" / "dev.tsv", [*STS_HEAD, "score"], [*STS_ROW, "5.5"])
    with pytest.raises(DataError, match=r"line 2: score '5\.5', a number from 0 to 5 expected"):
        read("sts-b", tmp_path / "sts", "dev")
    with pytest.raises(DataError, match=r"neither it nor RTE/ in it holds dev\.tsv"):
        task_folder(glue_task("rte"), tmp_path / "empty")


def test_torn_rows_of_qqp_are_counted_and_passed_over(tmp_path: Path) -> None:
    header = ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]
    good = [["1", "1", "2", "Why?", "How?", "0"]] * 5
    put(tmp_path / "train.tsv", header, *good, ["2", "3", "4", "Torn"])
    found = read("qqp", tmp_path, "train")
    assert (len(found.rows), found.torn) == (5, (7,))
    put(tmp_path / "train.tsv", header, *good, ["Torn"], ["Torn"])
    with pytest.raises(DataError, match="line 7: too few columns, and so in 2 rows"):
        read("qqp", tmp_path, "train")
    put(tmp_path / "train.tsv", header, *good, ["2", "3", "4", "A?", "B?", "0", "more"])
    with pytest.raises(DataError, match="line 7: 7 columns, 6 expected"):
        read("qqp", tmp_path, "train")


def test_mrpc_as_microsoft_gives_it(tmp_path: Path) -> None:
    header = ["\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    rows = [[str(i % 2), str(10 + i), str(20 + i), f"a{i}", f"b{i}"] for i in range(4)]
    put(tmp_path / "msr_paraphrase_train.txt", header, *rows)
    put(tmp_path / "msr_paraphrase_test.txt", header, *rows[:2])
    task = glue_task("mrpc")
    assert task_folder(task, tmp_path) == tmp_path
    with pytest.raises(DataError, match=r"needs dev_ids\.tsv"):
        read("mrpc", tmp_path, "dev")
    put(tmp_path / "dev_ids.tsv", ["12", "22"])
    assert [row.first for row in read("mrpc", tmp_path, "dev").rows] == ["a2"]
    assert [row.first for row in read("mrpc", tmp_path, "train").rows] == ["a0", "a1", "a3"]
    assert [row.label for row in read("mrpc", tmp_path, "test").rows] == [None, None]


QQP_HEAD = ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"]


def test_empty_questions_of_qqp_are_kept_and_counted(tmp_path: Path) -> None:
    """As the official files have them: two rows in train. They keep their place and their label."""
    rows = [[str(n), "1", "2", "Why?", "How?", str(n % 2)] for n in range(8)]
    rows[2][4] = ""
    rows[5][3] = " "
    put(tmp_path / "train.tsv", QQP_HEAD, *rows)
    found = read("qqp", tmp_path, "train")
    assert (len(found.rows), found.torn, found.empty) == (8, (), (4, 7))
    assert [row.label for row in found.rows] == [n % 2 for n in range(8)]
    assert found.rows[2] == Example(2, "Why?", "", 0)
    assert found.rows[5] == Example(5, "", "How?", 1)
    assert found.note == f"{found.path}: 2 rows with an empty text kept (line 4, ...)"
    put(tmp_path / "test.tsv", ["id", "question1", "question2"], ["7", "", "How?"], ["8", "a", "b"])
    answered = read("qqp", tmp_path, "test")
    assert ([row.index for row in answered.rows], answered.empty) == ([7, 8], (2,))
    rows[6][3] = ""
    put(tmp_path / "train.tsv", QQP_HEAD, *rows)
    with pytest.raises(DataError, match="line 4: an empty sentence, and so in 3 rows"):
        read("qqp", tmp_path, "train")


def test_other_encodings_as_told(tmp_path: Path) -> None:
    content = "sentence\tlabel\ncafé\t1\n".encode() + b"na\xefve\t0\n"
    (tmp_path / "train.tsv").write_bytes(content)
    with pytest.raises(DataError, match="line 3: not UTF-8 text; --errors latin-1 reads such"):
        read("sst-2", tmp_path, "train")
    cases: tuple[tuple[Errors, str], ...] = (("latin-1", "naïve"), ("replace", "na\ufffdve"))
    for errors, word in cases:
        found = read_part(glue_task("sst-2"), tmp_path, "train", errors)
        assert found is not None
        assert [row.first for row in found.rows] == ["café", word]


def test_a_pointer_to_a_file_not_fetched_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"train\.tsv: line 1: is a Git LFS pointer; git lfs pull"):
        read("sst-2", tmp_path, "train")
