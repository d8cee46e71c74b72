"""Fine-tunes from end to end: learning, exactness, flags, selection, prediction files, command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bert.data.text import DataError
from bert.finetune import study as study_module
from bert.finetune.data.tasks import glue_task
from bert.finetune.learning import run as runs
from bert.finetune.learning.config import RATES, FinetuneConfig, Held
from bert.finetune.learning.run import fine_tune
from bert.finetune.learning.sentence_task import SentenceTask
from bert.finetune.learning.span_task import SpanTask
from bert.finetune.learning.start import StartingPoint, of_model
from bert.finetune.learning.task import Judged
from bert.finetune.scoring import squad_metrics
from bert.finetune.scoring.predictions import label_words
from bert.finetune.study import Sources, open_task, run_finetune, run_name, write_table
from bert.model.encoder import build_bert
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.interrupt import Interrupted
from swe.run.speed import SpeedConfig
from swe.sharing.layout import Layout
from swe.sharing.schedule import Schedule
from swe.sharing.stack import find_stack

CONFIG = FinetuneConfig(task="sst-2", rates=(1e-2, 1e-6), seeds=1, batch=8, max_length=24)


def task_of(start: StartingPoint, data: Path, **change: Any) -> SentenceTask | SpanTask:
    return open_task(start, Sources(pretrained=Path("none"), data=data), replace(CONFIG, **change))


def run(task: SentenceTask | SpanTask, rate: float, folder: Path, **how: Any) -> dict[str, Any]:
    config = task.config.train_config(rate, 0, len(task.rows), task.pretrained.layout)
    return fine_tune(task, config, folder, warn=print, **how)


def test_the_recipe_is_the_papers() -> None:
    recipe = FinetuneConfig(task="mrpc")
    assert [round(1e5 * rate, 6) for rate in RATES] == [1, 1.5, 2, 3, 4, 5, 7.5, 10, 12]
    assert (recipe.epochs, recipe.seeds, recipe.batch, recipe.warmup) == (3.0, 5, 32, 0.1)
    train = recipe.train_config(5e-5, 1, 3668, Layout.untied(12))
    assert train.steps == 343
    rates = [train.optimizer.learning_rate(step, train.steps) for step in range(train.steps)]
    assert rates.index(max(rates)) == 33, "34 updates of warm-up, 10 %"
    assert rates[-1] == pytest.approx(5e-5 / (343 - 34))
    assert from_dict(Schedule, to_dict(train.schedule)) == Held(groups=(1,) * 12)
    assert to_dict(train.schedule).keys() == {"kind", "unit", "groups"}, "as it was written"
    turned = Layout.tied(12, 3, last_reversed=True)
    assert recipe.train_config(5e-5, 1, 3668, turned).schedule.start(12).layout == turned


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "snli"}, "task = 'snli': must be one of cola"),
        ({"rates": ()}, "rates = "),
        ({"rates": (1e-5, 1e-5)}, "rates = .*without repetition"),
        ({"rates": (2.0,)}, r"rates = 2.0: must be in \(0, 1\]"),
        ({"seeds": 0}, "seeds = 0"),
        ({"epochs": 0.0}, "epochs = 0.0"),
        ({"batch": 0}, "batch = 0"),
        ({"max_length": 4}, "max_length = 4"),
        ({"tying": "maybe"}, "tying = 'maybe'"),
    ],
)
def test_impossible_recipes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)


def test_a_separable_task_is_learnt_and_a_tiny_rate_is_flagged(
    start: StartingPoint, glue: Path, tmp_path: Path
) -> None:
    """One word decides. The table, its selection and the submission follow from the two runs."""
    task = task_of(start, glue)
    assert isinstance(task, SentenceTask)
    runs = {rate: run(task, rate, tmp_path / "runs" / run_name(rate, 0)) for rate in (1e-2, 1e-6)}
    good, bad = runs[1e-2], runs[1e-6]
    assert good["value"] > 95.0 > 70.0 > good["baseline"]
    assert not good["degenerate"]
    assert bad["degenerate"]
    table = write_table(task, tmp_path / "runs", tmp_path)
    assert table["selected"]["rate"] == 1e-2
    assert table["rates"][1]["degenerate"] == 1
    assert table["rates"][1]["mean_of_sound"] is None
    assert json.loads((tmp_path / "sst-2" / "table.json").read_text()) == table
    # The dev file again, by hand: header, official words, and the score that they give.
    lines = (tmp_path / "runs" / "0.01-s0" / "predictions" / "dev.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    truth = [f"{i}\t{row.label}" for i, row in enumerate(task.parts["dev"].rows)]
    hits = sum(a == b for a, b in zip(lines[1:], truth, strict=True))
    assert good["value"] == pytest.approx(100 * hits / len(truth))
    submitted = (tmp_path / "submission" / "SST-2.tsv").read_text().splitlines()
    assert submitted[0] == "index\tprediction"
    assert [row.split("\t")[0] for row in submitted[1:]] == [str(i) for i in range(9)]
    assert sum(row.split("\t")[1] == str(i % 2) for i, row in enumerate(submitted[1:])) >= 8
    assert not (tmp_path / "runs" / "0.01-s0" / "checkpoints").exists()


def test_interrupted_is_unbroken(start: StartingPoint, glue: Path, tmp_path: Path) -> None:
    """Stopped twice and taken up by a new task object: the same score, byte for byte."""
    whole = run(task_of(start, glue, epochs=1.0), 1e-2, tmp_path / "whole")
    for after in (3, 9):
        countdown = iter(range(after))
        with pytest.raises(Interrupted):
            run(
                task_of(start, glue, epochs=1.0),
                1e-2,
                tmp_path / "broken",
                stop=lambda left=countdown: next(left, None) is None,
            )
        assert not (tmp_path / "broken" / "score.json").exists()
    again = run(task_of(start, glue, epochs=1.0), 1e-2, tmp_path / "broken")
    assert again["scores"] == whole["scores"]
    assert again["loss"] == whole["loss"]
    for name in ("dev.tsv", "SST-2.tsv"):
        one, other = (tmp_path / d / "predictions" / name for d in ("whole", "broken"))
        assert one.read_bytes() == other.read_bytes()
    assert run(task_of(start, glue, epochs=1.0), 1e-2, tmp_path / "broken") == again
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        run(task_of(start, glue, epochs=2.0), 1e-2, tmp_path / "broken")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's
def test_speed_options_change_no_score(start: StartingPoint, glue: Path, tmp_path: Path) -> None:
    """Compiled blocks (traced, no code generated), batches built ahead, rows of many widths."""
    task = task_of(start, glue, epochs=0.4)
    plain = run(task, 1e-3, tmp_path / "plain")
    fast = SpeedConfig(compile="blocks", backend="eager", prefetch=2)
    found = run(task, 1e-3, tmp_path / "fast", speed=fast)
    assert found["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    assert found["scores"] == plain["scores"]


def test_killed_while_scoring(
    start: StartingPoint, glue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights wait until the score is written; nothing is trained again."""
    task = task_of(start, glue, epochs=0.3)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_score", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(task, 1e-3, tmp_path)
    rows = (tmp_path / "metrics.jsonl").read_bytes()
    assert run(task, 1e-3, tmp_path)["metric"] == "accuracy"
    assert (tmp_path / "metrics.jsonl").read_bytes() == rows


def test_scores_are_learnt_as_numbers(start: StartingPoint, glue: Path, tmp_path: Path) -> None:
    found = run(task_of(start, glue, task="sts-b", epochs=3.0), 1e-2, tmp_path)
    assert found["metric"] == "spearman"
    assert found["scores"]["pearson"] > 80.0
    rows = (tmp_path / "predictions" / "dev.tsv").read_text().splitlines()[1:]
    assert all(0 <= float(row.split("\t")[1]) <= 5 for row in rows)


def test_words_of_a_submission() -> None:
    assert label_words(glue_task("mnli"), np.array([0.0, 1.0, 2.0])) == [
        "contradiction",
        "entailment",
        "neutral",
    ]
    assert label_words(glue_task("rte"), np.array([1.0])) == ["not_entailment"]
    assert label_words(glue_task("sts-b"), np.array([-0.2, 3.14159, 6.0])) == [
        "0.000",
        "3.142",
        "5.000",
    ]


def test_squad_2_is_learnt_and_its_files_score_again(
    start: StartingPoint, squad: Path, tmp_path: Path
) -> None:
    """From the written files the official procedure finds the same numbers."""
    task = task_of(start, squad, task="squad-2.0", epochs=5.0, max_query=4, stride=6)
    assert isinstance(task, SpanTask)
    assert len(task.rows) > 160, "some paragraphs need two windows"
    found = run(task, 1e-2, tmp_path)
    assert found["metric"] == "best_f1"
    assert found["value"] > 90.0 > found["baseline"] + 40
    files = {
        name: json.loads((tmp_path / "predictions" / f"{name}.json").read_text())
        for name in ("predictions", "na_prob", "spans")
    }
    again = squad_metrics.score_v2(task.dev.rows, files["spans"], files["na_prob"], threshold=0.5)
    assert again == found["scores"]
    final = squad_metrics.score_v2(task.dev.rows, files["predictions"])
    assert final["f1"] == pytest.approx(found["scores"]["best_f1"])


def test_a_loss_that_is_not_finite_is_a_degenerate_run(
    start: StartingPoint, glue: Path, tmp_path: Path
) -> None:
    broken = {name: torch.full_like(t, torch.nan) for name, t in start.state.items()}
    found = run(task_of(replace(start, state=broken), glue), 1e-2, tmp_path)
    assert found["degenerate"]
    assert found["value"] is None
    assert "not finite at update 0" in found["reason"]


def test_degenerate_rule() -> None:
    def judged(value: float, constant: bool = False) -> str:
        return Judged({"accuracy": value}, "accuracy", constant, 60.0).degenerate(1.0)

    assert judged(60.0, constant=True) == "constant answers"
    assert judged(61.0) == "not above a constant answer"
    assert judged(61.1) == ""


def test_what_was_tied_stays_tied_unless_asked(
    start: StartingPoint, glue: Path, tmp_path: Path
) -> None:
    model = build_bert(start.config, 0)
    model.stack.retie(Layout.tied(2))
    tied = of_model(model, start.vocabulary, {"kind": "tied"})
    kept = run(task_of(tied, glue, epochs=0.2), 1e-3, tmp_path / "kept")
    untied = run(task_of(tied, glue, epochs=0.2, tying="untie"), 1e-3, tmp_path / "untied")
    _, stack = find_stack(model)
    block = sum(p.numel() for p in stack.blocks[0].parameters())
    assert untied["parameters"] - kept["parameters"] == block


def test_missing_parts_and_long_rows(start: StartingPoint, glue: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither it nor CoLA/ in it holds dev\.tsv"):
        task_of(start, glue, task="cola")
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\ncat\t1\n")
    with pytest.raises(DataError, match=r"has no train\.tsv"):
        task_of(start, tmp_path)
    with pytest.raises(DataError, match=r"neither it nor SQuAD/ in it holds train-v1\.1\.json"):
        task_of(start, tmp_path, task="squad-1.1")
    with pytest.raises(ConfigError, match="max_length = 64: must be at most the model's positions"):
        task_of(start, glue, max_length=64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu(start: StartingPoint, glue: Path, tmp_path: Path, precision: str) -> None:
    task = task_of(start, glue, precision=precision)
    assert run(task, 1e-2, tmp_path, device="cuda")["value"] > 95.0


def short(start: StartingPoint, data: Path, **change: Any) -> SentenceTask | SpanTask:
    """A task of a few updates."""
    return task_of(start, data, epochs=0.2, **change)


def with_test_file(glue: Path, folder: Path) -> Path:
    shutil.copytree(glue / "SST-2", folder / "SST-2")
    return folder / "SST-2" / "test.tsv"


def test_a_test_file_that_changes_is_answered_again(
    start: StartingPoint, glue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By repeating the run that is submitted, and no other: the same score, other answers."""
    file = with_test_file(glue, tmp_path)
    sources = Sources(pretrained=Path("none"), data=tmp_path)
    config = replace(CONFIG, epochs=0.2)
    seen: list[str] = []

    def study() -> dict[str, Any]:
        def build(sources: Sources, config: FinetuneConfig) -> SentenceTask | SpanTask:
            return open_task(start, sources, config)

        build.__module__ = open_task.__module__
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(study_module, "build_task", build)
            return run_finetune(sources, config, tmp_path / "out", warn=seen.append)

    def answers() -> list[str]:
        lines = (tmp_path / "out" / "submission" / "SST-2.tsv").read_text().splitlines()
        return [line.split("\t")[0] for line in lines[1:]]

    first = study()
    assert answers() == [str(n) for n in range(9)]
    assert study()["rows"] == first["rows"]
    assert seen == []
    file.write_text("index\tsentence\n7\tthe cat\n8\tthe mat\n")
    again = study()
    assert answers() == ["7", "8"]
    assert [line.split(": ")[1] for line in seen] == [
        "test changed since it was answered; the run is repeated"
    ]
    assert seen[0].startswith(str(next((tmp_path / "out" / "runs").iterdir())))
    assert [row["value"] for row in again["rows"]] == [row["value"] for row in first["rows"]]
    assert study()["rows"] == again["rows"]
    assert len(seen) == 1


def test_a_labelled_part_that_changes_repeats_every_run(
    start: StartingPoint, glue: Path, tmp_path: Path
) -> None:
    """It is scored, so all runs of the table would hold scores on another file."""
    task = short(start, glue)
    assert isinstance(task, SentenceTask)
    more = replace(task, parts=task.parts | {"dev-mm": task.parts["dev"]})
    spec = replace(task.glue, parts=task.glue.parts | {"dev-mm": task.glue.parts["dev"]})
    more = replace(more, glue=spec)
    before = run(task, 1e-2, tmp_path / "run")
    assert before["other_parts"] == {}
    assert run(task, 1e-2, tmp_path / "run") == before
    after = run(more, 1e-2, tmp_path / "run")
    assert after["other_parts"] == {"dev-mm": after["scores"]}
    assert after["value"] == before["value"]
    assert run(more, 1e-2, tmp_path / "run") == after
    # Without labels it is another matter for all runs but the submitted one.
    bare = replace(task.parts["test"], sha256="another")
    unlabelled = replace(more, parts=more.parts | {"test": bare})
    assert run(unlabelled, 1e-2, tmp_path / "run") == after
    assert run(unlabelled, 1e-2, tmp_path / "run", submitted=True)["answered"]["test"] == "another"


def test_rows_beyond_the_trained_positions_are_told(
    start: StartingPoint, glue: Path, squad: Path, tmp_path: Path
) -> None:
    for task in (
        short(replace(start, trained_length=8), glue),
        short(replace(start, trained_length=8), squad, task="squad-2.0", stride=4, max_query=4),
    ):
        lengths = task.rows.lengths
        assert task.beyond_pretraining == {
            "trained": 8,
            "longest": int(lengths.max()),
            "rows": int((lengths > 8).sum()),
        }
        [note] = [note for note in task.notes() if "longer than the 8 tokens" in note]
        assert "; --max-length 8 cuts them, or pre-train with --set length=" in note
        cut = replace(task.config, max_length=8, max_query=4)
        assert replace(task, config=cut).beyond_pretraining == {}
    for length in (None, int(short(start, glue).rows.lengths.max())):
        task = short(replace(start, trained_length=length), glue)
        assert task.beyond_pretraining == {}
        assert task.notes() == []


def test_empty_texts_are_learnt_and_answered(start: StartingPoint, tmp_path: Path) -> None:
    """QQP as released: a question of no tokens is a row like any other."""
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    rows = [f"{n}\t1\t2\tthe cat\t{'the mat' * (n != 3)}\t{n % 2}\n" for n in range(16)]
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text(head + "".join(rows))
    (tmp_path / "test.tsv").write_text("id\tquestion1\tquestion2\n0\t\tthe cat\n1\ta\tb\n")
    task = task_of(start, tmp_path, task="qqp", epochs=1.0)
    assert task.sources()["train"] == {
        "sha256": task.sources()["dev"]["sha256"],
        "rows": 16,
        "torn": 0,
        "empty": 1,
    }
    assert [note.split(": ")[1] for note in task.notes()] == [
        f"1 rows with an empty text kept (line {line})" for line in (5, 5, 2)
    ]
    score = run(task, 1e-3, tmp_path / "run")
    assert np.isfinite(score["loss"])
    assert len((tmp_path / "run/predictions/QQP.tsv").read_text().splitlines()) == 3
