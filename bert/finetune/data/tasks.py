"""The GLUE tasks as data: where their columns are, what their labels are called, how they score.

Columns are found by the names that the official files give them, so that a file in another order
is read right and a file of another kind is refused. Sources: Wang et al. 2019 (GLUE), its download
script for the file names and for MRPC, its FAQ for the names and words of a submission; Devlin et
al. 2019, table 1, for the score that stands for a task.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swe.base.config import require

NLI_WORDS = ("contradiction", "entailment", "neutral")
TWO_WORDS = ("entailment", "not_entailment")
DIGITS = ("0", "1")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a file's columns; a file without a header line has numbers from 0 instead."""

    first: str | int
    """The sentence, or the first of the pair."""
    second: str | int | None = None
    """The second of the pair."""
    label: str | int | None = None
    """The label; None in a file that has none."""
    index: str | int | None = None
    """The number that a submission repeats; None: rows are counted from 0."""
    count: int | None = None
    """Columns of a file without a header; None: there is a header line, and it says."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a task: its name without a packer's suffix, its columns."""

    files: tuple[str, ...]
    """Names it is known by; the first that is there is read."""
    columns: Columns
    submission: str | None = None
    """Name of the file in a GLUE submission, without suffix; None for labelled parts."""
    torn_rows: float = 0.0
    """Largest share of rows with too few columns that is passed over (and counted), not refused."""
    empty_texts: float = 0.0
    """Largest share of rows with an empty text that is kept (and counted), not refused."""


@dataclass(frozen=True, kw_only=True)
class GlueTask:
    """One task."""

    name: str
    """As on the command line."""
    folder: str
    """As the download script calls it."""
    labels: tuple[str, ...] | None
    """Words of the labels, position = class; None: a number from 0 to 5 (STS-B)."""
    metrics: tuple[str, ...]
    """Scores of the task, the one that stands for it first."""
    parts: dict[str, Part] = field(default_factory=dict)
    """By name; "train" and "dev" are the ones that a fine-tune needs."""
    words: dict[str, str] = field(default_factory=dict)
    """Other spellings of labels."""

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for an example."""
        return 1 if self.labels is None else len(self.labels)

    @property
    def pair(self) -> bool:
        """Whether an example is a pair of texts."""
        return self.parts["dev"].columns.second is not None


def _plain(
    first: str, second: str | None, label: str, submission: str, **test: str
) -> dict[str, Part]:
    """Return train, dev and test of a task with a header line everywhere."""
    labelled = Columns(first=first, second=second, label=label)
    bare = Columns(
        first=test.get("first", first),
        second=test.get("second", second),
        index=test.get("index", "index"),
    )
    return {
        "train": Part(files=("train.tsv",), columns=labelled),
        "dev": Part(files=("dev.tsv",), columns=labelled),
        "test": Part(files=("test.tsv",), columns=bare, submission=submission),
    }


def _cola() -> dict[str, Part]:
    """CoLA has no header but in its test file: source, label, the author's mark, sentence."""
    bare = Columns(first=3, label=1, count=4)
    return {
        "train": Part(files=("train.tsv",), columns=bare),
        "dev": Part(files=("dev.tsv",), columns=bare),
        "test": Part(
            files=("test.tsv",), columns=Columns(first="sentence", index="index"), submission="CoLA"
        ),
    }


def _qqp() -> dict[str, Part]:
    """QQP's official files hold a few rows that a line break has torn, and some empty questions.

    Torn rows have lost a question or the label, and are passed over. A row with an empty question
    is whole: it is kept, as the official scripts do, so that every part has their rows and scores.
    """
    labelled = Columns(first="question1", second="question2", label="is_duplicate")
    bare = Columns(first="question1", second="question2", index="id")
    few = 1e-3
    return {
        "train": Part(files=("train.tsv",), columns=labelled, torn_rows=few, empty_texts=few),
        "dev": Part(files=("dev.tsv",), columns=labelled, torn_rows=few, empty_texts=few),
        "test": Part(files=("test.tsv",), columns=bare, submission="QQP", empty_texts=few),
    }


def _mnli() -> dict[str, Part]:
    """Two dev and two test files; the diagnostic set has no training part and is MNLI's."""
    labelled = Columns(first="sentence1", second="sentence2", label="gold_label")
    bare = Columns(first="sentence1", second="sentence2", index="index")
    full = Columns(first="Premise", second="Hypothesis", label="Label")
    return {
        "train": Part(files=("train.tsv",), columns=labelled),
        "dev": Part(files=("dev_matched.tsv",), columns=labelled),
        "dev-mm": Part(files=("dev_mismatched.tsv",), columns=labelled),
        "test": Part(files=("test_matched.tsv",), columns=bare, submission="MNLI-m"),
        "test-mm": Part(files=("test_mismatched.tsv",), columns=bare, submission="MNLI-mm"),
        "ax": Part(
            files=tuple(
                f"../{name}.tsv" for name in ("AX/diagnostic", "diagnostic/diagnostic", "AX/AX")
            ),
            columns=bare,
            submission="AX",
        ),
        "ax-full": Part(
            files=("../AX/diagnostic-full.tsv", "../diagnostic/diagnostic-full.tsv"), columns=full
        ),
    }


def _sick() -> dict[str, Part]:
    """SICK (Marelli et al. 2014): not of GLUE; three-way inference small enough for a desk.

    MNLI's matched development set, where it lies beside, is scored as well: another text, the
    same question.
    """
    columns = Columns(first="sentence_A", second="sentence_B", label="entailment_judgment")
    names = {"train": "SICK_train", "dev": "SICK_trial", "test": "SICK_test_annotated"}
    parts = {part: Part(files=(f"{name}.txt",), columns=columns) for part, name in names.items()}
    matched = Columns(first="sentence1", second="sentence2", label="gold_label")
    return parts | {"mnli-m": Part(files=("../MNLI/dev_matched.tsv",), columns=matched)}


_ALL = (
    GlueTask(
        name="cola",
        folder="CoLA",
        labels=DIGITS,
        metrics=("matthews", "accuracy"),
        parts=_cola(),
    ),
    GlueTask(
        name="sst-2",
        folder="SST-2",
        labels=DIGITS,
        metrics=("accuracy",),
        parts=_plain("sentence", None, "label", "SST-2"),
    ),
    GlueTask(
        name="mrpc",
        folder="MRPC",
        labels=DIGITS,
        metrics=("f1", "accuracy"),
        parts=_plain("#1 String", "#2 String", "Quality", "MRPC"),
    ),
    GlueTask(
        name="sts-b",
        folder="STS-B",
        labels=None,
        metrics=("spearman", "pearson"),
        parts=_plain("sentence1", "sentence2", "score", "STS-B"),
    ),
    GlueTask(name="qqp", folder="QQP", labels=DIGITS, metrics=("f1", "accuracy"), parts=_qqp()),
    GlueTask(
        name="mnli",
        folder="MNLI",
        labels=NLI_WORDS,
        metrics=("accuracy", "matthews"),
        parts=_mnli(),
    ),
    GlueTask(
        name="qnli",
        folder="QNLI",
        labels=TWO_WORDS,
        metrics=("accuracy",),
        parts=_plain("question", "sentence", "label", "QNLI"),
    ),
    GlueTask(
        name="rte",
        folder="RTE",
        labels=TWO_WORDS,
        metrics=("accuracy",),
        parts=_plain("sentence1", "sentence2", "label", "RTE"),
    ),
    GlueTask(
        name="wnli",
        folder="WNLI",
        labels=DIGITS,
        metrics=("accuracy",),
        parts=_plain("sentence1", "sentence2", "label", "WNLI"),
    ),
    GlueTask(
        name="sick",
        folder="SICK",
        labels=NLI_WORDS,
        metrics=("accuracy", "matthews"),
        parts=_sick(),
        words={word.upper(): word for word in NLI_WORDS},
    ),
)
GLUE = {task.name: task for task in _ALL}
"""The tasks by name, in the order of the GLUE paper's table, SICK last."""


def glue_task(name: str) -> GlueTask:
    """Return a task by name; ConfigError lists the known ones."""
    require(name in GLUE, "task", name, f"one of {', '.join(GLUE)}")
    return GLUE[name]
