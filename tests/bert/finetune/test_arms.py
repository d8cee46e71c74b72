"""Fine-tuning all arms of a table: which runs, which rate, what is compared, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert.data.store import TokenStore, build_store
from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from bert.finetune.arm_runs import open_table
from bert.finetune.arm_scores import contrast, named, select_rate, task_scores
from bert.finetune.arms import main
from bert.finetune.learning.run import SCORE
from bert.huggingface.export import find_vocabulary
from bert.pretraining.task import MaskedLanguageTask
from bert.study.paper_numbers import FINE_TUNED, TASK_ROWS, fine_tuned
from bert.study.table_arms import table_arms
from bert.study.table_study import TableStudy
from bert.study.tables import run_folder, write_table
from swe.base.errors import ConfigError
from swe.base.files import read_json, write_json
from swe.run.loop import train
from tests.bert.finetune.conftest import NOISE, shape
from tests.command_lines import instead

STUDY = TableStudy(
    size="2x16",
    length=16,
    rows=4,
    steps=4,
    seeds=2,
    validation_rows=8,
    rates=(2e-3,),
    check=0.5,
)
DONE = ("baseline", "swe-f", "equal-start")


@pytest.fixture(scope="module")
def results(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with three arms finished, of which equal-start has one seed alone."""
    out = tmp_path_factory.mktemp("table") / "results"
    text = out / "text.txt"
    text.parent.mkdir()
    rng = np.random.default_rng(0)
    lines = (" ".join(rng.choice(["cat", "mat", *NOISE], size=40)) for _ in range(200))
    text.write_text("\n\n".join(lines), encoding="utf-8")
    vocabulary.save(out / "data" / f"vocab-{vocabulary.sha256[:12]}.txt")
    store: TokenStore = build_store(
        [text], vocabulary, out / "data" / "tokens", length=16, per_mille=100
    )
    task = MaskedLanguageTask(shape(vocabulary), vocabulary, store, 4, validation_rows=8)
    folder = out / "bert" / "tables" / "smoke-1"
    for arm in table_arms("table2", STUDY):
        for seed in range(1 if arm.name == "equal-start" else 2):
            if arm.name in DONE:
                train(
                    task,
                    STUDY.arm_config(arm, 2e-3, seed),
                    run_folder(folder, arm.name, 2e-3, seed),
                )
    write_table("table2", STUDY, folder)
    write_json(out / "bert" / "tables" / "table2.json", {"folder": "smoke-1", "scale": "smoke"})
    return out


def row(rate: float, value: float | None, degenerate: bool = False, **more: Any) -> dict[str, Any]:
    found = {"rate": rate, "value": value, "degenerate": degenerate, "metric": "accuracy"}
    return found | {"baseline": 50.0} | more


def test_the_rate_with_the_best_mean_over_models_is_taken() -> None:
    """A run that diverged counts 0; at a tie the lower rate."""
    one = [row(1e-3, 60.0), row(1e-3, 70.0), row(3e-3, 90.0), row(3e-3, None)]
    other = [row(1e-3, 50.0), row(1e-3, 50.0), row(3e-3, 80.0), row(3e-3, 80.0)]
    assert select_rate((1e-3, 3e-3), [one]) == 1e-3  # 65 against 45
    assert select_rate((1e-3, 3e-3), [one, other]) == 3e-3  # 57.5 against 62.5
    assert select_rate((3e-3, 1e-3), [[row(1e-3, 60.0), row(3e-3, 60.0)]]) == 1e-3


def test_differences_are_paired_by_the_pretraining_seed() -> None:
    """Gaps 1, 2, 3: mean 2, t(2) = 4.3027, half width 4.3027 / sqrt(3) = 2.484."""
    found = contrast(
        {"baseline": {0: 60.0, 1: 50.0, 2: 40.0}, "swe-f": {0: 61.0, 1: 52.0, 2: 43.0}}, "baseline"
    )
    gap = found["swe-f"]["difference"]
    assert gap["mean"] == pytest.approx(2.0)
    assert gap["low"] == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-5)
    assert found["swe-f"]["verdict"] == "no difference"
    assert "difference" not in found["baseline"]
    up = contrast({"baseline": {0: 1.0, 1: 2.0}, "a": {0: 2.0, 1: 3.0}, "b": {0: 0.0, 1: 1.0}},
                  "baseline")  # fmt: skip
    assert (up["a"]["verdict"], up["b"]["verdict"]) == ("better", "worse")
    one = contrast({"baseline": {0: 1.0}, "a": {0: 2.0}}, "baseline")
    assert one["a"]["verdict"] == "one seed: no interval"


def test_lines_of_a_task() -> None:
    """Two fine-tunes a model; the mean of them is its score; further labelled parts follow."""

    def rows(*values: float, flagged: bool = False) -> list[dict[str, Any]]:
        return [
            row(
                rate,
                value,
                flagged,
                other_parts={"test": {"accuracy": value - 1}},
                other_baselines={"test": {"accuracy": 49.0}},
            )
            for rate in (1e-3, 3e-3)
            for value in values
        ]

    tunes = {
        "baseline": {0: rows(60.0, 62.0), 1: rows(50.0, 54.0)},
        "swe-f": {0: rows(64.0, 64.0), 1: rows(55.0, 55.0, flagged=True)},
    }
    found = task_scores(tunes, {"baseline": 1e-3, "swe-f": 3e-3}, (1e-3, 3e-3), "baseline")
    assert list(found) == ["dev", "test"]
    base, arm = found["dev"]["arms"]["baseline"], found["dev"]["arms"]["swe-f"]
    assert base["values"] == {"0": 61.0, "1": 52.0}
    assert arm["difference"]["mean"] == pytest.approx(3.0)
    assert (arm["degenerate"], arm["fine_tunes"], base["degenerate"]) == (2, 4, 0)
    assert arm["every_value"] == {"0": [64.0, 64.0], "1": [55.0, 55.0]}
    assert base["by_rate"]["0.003"] == [60.0, 62.0, 50.0, 54.0]
    assert arm["rate_at_edge"]
    assert found["test"]["arms"]["swe-f"]["values"] == {"0": 63.0, "1": 54.0}
    assert (found["dev"]["baseline"], found["test"]["baseline"]) == (50.0, 49.0)
    flat = {a: {s: rows(50.0, flagged=True) for s in (0, 1)} for a in ("baseline", "swe-f")}
    same = task_scores(flat, {"baseline": 1e-3, "swe-f": 1e-3}, (1e-3,), "baseline")
    assert same["dev"]["arms"]["swe-f"]["verdict"] == "all degenerate"
    assert list(named(found, "sst-2")) == ["sst-2", "sst-2 test"]


def test_every_row_of_the_paper_has_a_name_of_ours() -> None:
    for rows in FINE_TUNED.values():
        assert set(TASK_ROWS.values()) == set(rows)
    assert fine_tuned("sweep", "pre")["sst-2"]["swe-a"] == 94.9
    assert fine_tuned("headline", "post")["sst-2"]["swe-m"] == 96.8
    assert fine_tuned("table1", "post")["mnli ax-full"]["baseline"] == 34.4


def test_runs_are_those_that_all_arms_have_finished(results: Path) -> None:
    runs = open_table(results, "table2")
    assert {arm: list(seeds) for arm, seeds in runs.models.items()} == {
        "baseline": [0], "equal-start": [0], "swe-f": [0],
    }  # fmt: skip
    both = open_table(results, "table2", ["swe-f"])
    assert {arm: list(seeds) for arm, seeds in both.models.items()} == {
        "baseline": [0, 1],
        "swe-f": [0, 1],
    }
    assert list(open_table(results, "table2", ["swe-f"], 1).models["swe-f"]) == [0]
    model = both.models["swe-f"][1]
    digest = read_json(model / "config.json")["task"]["data"]["vocabulary_sha256"]
    assert find_vocabulary(model, digest).sha256 == digest, "five folders up"


def test_what_is_not_there_is_told(results: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no table1 yet; python paper_repro\.py table1"):
        open_table(results, "table1")
    with pytest.raises(ConfigError, match="--arms = 'swe-x': must be one of baseline, baseline x2"):
        open_table(results, "table2", ["swe-x"])
    with pytest.raises(DataError, match="no pre-training seed that is finished for all of swe-m"):
        open_table(results, "table2", ["swe-f", "swe-m"])
    write_json(tmp_path / "bert" / "tables" / "table2.json", {"folder": "../elsewhere"})
    with pytest.raises(DataError, match=r"table2 cannot be read .*not the name of a file"):
        open_table(tmp_path, "table2")


def command(results: Path, glue: Path, out: Path, *more: str, task: str = "sst-2") -> int:
    return main(
        instead(
            [
                "table2",
                "--results",
                str(results),
                "--out",
                str(out),
                "--data",
                str(glue),
                "--task",
                task,
                "--arms",
                "swe-f",
                "--rates",
                "1e-6",
                "1e-2",
                "--seeds",
                "1",
                "--epochs",
                "2",
                "--batch",
                "8",
                "--max-length",
                "24",
                "--device",
                "cpu",
            ],
            more,
        )
    )


@pytest.mark.slow
def test_the_command_from_models_to_scores(
    results: Path, glue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Out of time, taken up again, another task added, then a further seed: nothing is lost."""
    assert command(results, glue, tmp_path, "--max-minutes", "1e-6") == 75
    assert "time is up" in capsys.readouterr().err
    assert command(results, glue, tmp_path, "--pretraining-seeds", "1") == 0
    place = tmp_path / "bert" / "finetune"
    [folder] = {read_json(place / "table2.json")["folder"]}
    first = read_json(place / folder / "table2.json")
    assert command(results, glue, tmp_path, "--select", "1", "--prefetch", "1") == 0
    assert "seeds [0, 1], 1 of them choose from 2 rates; 6 fine-tunes" in capsys.readouterr().out
    found = read_json(place / folder / "table2.json")
    line = found["tasks"]["sst-2"]
    assert (line["pretraining_seeds"], line["choosing_seeds"]) == ([0, 1], [0])
    for arm in ("baseline", "swe-f"):
        entry = line["arms"][arm]
        assert entry["rate"] == 1e-2
        assert entry["values"]["0"] == first["tasks"]["sst-2"]["arms"][arm]["values"]["0"]
        tried = {
            path.parent.name: read_json(path)["value"]
            for path in (place / folder / "runs").glob(f"sst-2-*/{arm}-lr*/*/{SCORE}")
        }
        assert set(tried) == {"1e-06-s0", "0.01-s0"}
        [other] = (place / folder / "runs").glob(f"sst-2-*/{arm}-lr0.002-s1")
        assert [path.name for path in other.iterdir()] == ["0.01-s0"], "only the chosen rate"
        assert entry["values"]["1"] == read_json(other / "0.01-s0" / SCORE)["value"]
    gaps = [
        line["arms"]["swe-f"]["values"][s] - line["arms"]["baseline"]["values"][s]
        for s in ("0", "1")
    ]
    assert line["arms"]["swe-f"]["difference"]["mean"] == pytest.approx(sum(gaps) / 2)
    assert found["paper"]["sst-2"]["swe-f"] == FINE_TUNED["table2"]["SST-2"]["swe-f"]
    assert command(results, glue, tmp_path, task="sts-b") == 0
    both = read_json(place / folder / "table2.json")
    assert both["task_order"] == ["sst-2", "sts-b"]
    assert both["tasks"]["sst-2"] == line
    out = capsys.readouterr().out
    assert f"{line['arms']['swe-f']['score']['mean']:.2f}" in out
    assert str(tmp_path) not in json.dumps(both["tasks"]["sst-2"]["recipe"])


def test_mistakes_are_told_in_one_line(
    results: Path, glue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases: list[tuple[list[str], int, str]] = [
        (["--select", "0"], 2, "--select = 0"),
        (["--pretraining-seeds", "0"], 2, "--pretraining-seeds = 0"),
        (["--arms", "sham"], 2, "--arms = 'sham'"),
        (["--max-minutes", "-1"], 2, "--max-minutes = -1.0"),
        (["--results", str(tmp_path)], 1, "has no table2 yet"),
        (["--data", str(tmp_path)], 1, "neither it nor SST-2/"),
        (["--max-length", "500"], 2, "max_length = 500"),
    ]
    for more, status, message in cases:
        assert command(results, glue, tmp_path / "out", *more) == status
        error = capsys.readouterr().err
        assert message in error
        assert error.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_workers_give_what_this_process_gives(results: Path, glue: Path, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        assert command(results, glue, tmp_path / jobs, "--jobs", jobs) == 0
    found = [
        read_json(tmp_path / jobs / "bert" / "finetune" / "smoke-1" / "table2.json")
        for jobs in ("1", "2")
    ]
    assert found[0]["tasks"]["sst-2"]["arms"] == found[1]["tasks"]["sst-2"]["arms"]


def test_a_larger_study_is_not_mixed_up(results: Path) -> None:
    """Another study of the same table has another folder: its runs are not taken."""
    other = replace(STUDY, seeds=1)
    folder = results / "bert" / "tables" / "smoke-2"
    write_table("table2", other, folder)
    pointer = results / "bert" / "tables" / "table2.json"
    kept = pointer.read_text()
    try:
        write_json(pointer, {"folder": "smoke-2", "scale": "smoke"})
        with pytest.raises(DataError, match="no pre-training seed"):
            open_table(results, "table2", ["swe-f"])
    finally:
        pointer.write_text(kept)
