"""The paper's tables: arms by name, rates by one rule, runs shared, stopped and resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert.study.comparison import StudyData, build_task, prepare_data
from bert.study.paper_numbers import FINE_TUNED, MASKED_ACCURACY
from bert.study.table_arms import TABLES, TAUS, table_arms, units
from bert.study.table_study import (
    FIRST_TUNING_SEED,
    SCALES,
    TableStudy,
    best_rate,
    chosen_arms,
    table_study,
)
from bert.study.tables import (
    DIVERGED,
    later_rates,
    run_folder,
    run_table,
    tuned_rate,
    tuning_losses,
    write_table,
)
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError, NonFiniteLossError
from swe.base.files import read_json, read_lines, write_json
from swe.base.interrupt import Interrupted
from swe.run.pool import Job, run_jobs
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import ShamUntie, SweFixed, SweMultistage
from tests.figures.samples.files import dump
from tests.swe.sharing.residual import RegressionTask

STUDY = TableStudy(
    size="4x16",
    vocabulary=200,
    length=16,
    rows=4,
    steps=8,
    seeds=2,
    check=0.3,
    validation_rows=20,
    rates=(2e-3, 4e-3),
)


def names(table: str, study: TableStudy) -> list[str]:
    return [arm.name for arm in table_arms(table, study)]


def test_the_arms_of_a_twelve_layer_study_are_these() -> None:
    study = SCALES["small"]
    assert names("table1", study) == [
        "baseline",
        "baseline x2",
        "equal-start",
        "swe-f",
        "swe-a",
        "swe-m",
        "always-shared",
        "swe-f 6x2",
        "swe-f reset",
        "swe-f rescale",
        "swe-f sum",
        "sham reset",
    ]
    assert names("table2", study) == ["baseline", "baseline x2", "equal-start", "swe-f", "swe-m"]
    assert names("table3", study) == [
        "baseline",
        "equal-start",
        "swe-f tau 2 %",
        "swe-f tau 5 %",
        "swe-f",
        "swe-f tau 20 %",
        "swe-f tau 40 %",
        "swe-m rho 0.1",
        "swe-m rho 0.3",
        "swe-m",
        "swe-m rho 0.7",
        "swe-m rho 0.9",
    ]
    assert names("table4", study) == [
        "baseline",
        "equal-start",
        "swe-f 6x2",
        "swe-f 4x3",
        "swe-f 3x4",
        "swe-f 2x6",
        "swe-f",
    ]
    assert names("sweep", study) == [
        "baseline",
        "baseline x2",
        "equal-start",
        "swe-f tau 2 %",
        "swe-f tau 5 %",
        "swe-f",
        "swe-f tau 20 %",
        "swe-f tau 40 %",
        "swe-a",
        "swe-m",
        "always-shared",
        "swe-f 6x2",
    ]
    assert names("speedup", study)[:4] == [
        "baseline",
        "baseline x0.5",
        "baseline x0.7",
        "baseline x2",
    ]


def test_the_full_scale_is_the_papers_setting() -> None:
    """Tables 1, 3, 4: 500k updates of 512 x 512 tokens; Table 2: Post-LN, 1M, whole words."""
    one, two = table_study("table1", "full"), table_study("table2", "full")
    assert (one.steps, one.rates, one.placement) == (500_000, (3e-4,), "pre")
    assert (two.steps, two.rates, two.placement, two.whole_word) == (
        1_000_000,
        (1e-4,),
        "post",
        True,
    )
    for study in (one, two):
        assert study.rows * study.accumulation == study.length == 512
        assert study.warmup * study.steps == 10_000
        assert study.check_interval == study.steps // 500
        [fixed] = [arm for arm in table_arms("table2", study) if arm.name == "swe-f"]
        assert isinstance(fixed.schedule, SweFixed)
        assert fixed.schedule.tau(study.steps) == 50_000
    assert units(24) == (12, 8, 6, 4, 3, 2, 1)
    assert not one.tuning


@pytest.mark.parametrize("table", list(MASKED_ACCURACY))
def test_every_column_of_the_paper_has_its_arm(table: str) -> None:
    ours = names(table, table_study(table, "full"))
    assert set(MASKED_ACCURACY[table]) <= set(ours)
    for scores in FINE_TUNED.get(table, {}).values():
        assert set(scores) <= set(MASKED_ACCURACY[table])


@pytest.mark.parametrize("scale", list(SCALES))
def test_all_tables_are_possible_at_every_scale(scale: str) -> None:
    for table in TABLES:
        study = table_study(table, scale)
        assert from_dict(TableStudy, to_dict(study)) == study
        for arm in table_arms(table, study):
            config = study.arm_config(arm, study.rates[0], 5)
            assert config.steps == max(1, round(arm.budget * study.steps))
            assert (config.seed, config.moments) == (5, arm.moments)


def test_arms_carry_their_own_setting() -> None:
    arms = {arm.name: arm for table in TABLES for arm in table_arms(table, SCALES["small"])}
    for tau in TAUS:
        name = "swe-f" if tau == 0.1 else f"swe-f tau {100 * tau:g} %"
        assert arms[name].schedule == SweFixed(until=tau)
    assert arms["swe-f 4x3"].schedule == SweFixed(unit=4, until=0.1)
    assert arms["swe-m rho 0.9"].schedule == SweMultistage(rho=0.9, interval=30)
    assert arms["sham reset"].schedule == ShamUntie(until=0.1)
    assert arms["swe-f sum"].convention == "sum"


def test_a_table_can_be_cut_to_some_arms() -> None:
    study = replace(STUDY, only=("swe-f", "equal-start"))
    assert [a.name for a in chosen_arms("headline", study)] == ["baseline", "equal-start", "swe-f"]
    assert chosen_arms("headline", STUDY) == table_arms("headline", STUDY)
    with pytest.raises(ConfigError, match=r"only = 'swe-m': must be of headline's baseline"):
        chosen_arms("headline", replace(STUDY, only=("swe-m",)))
    assert [arm.name for arm in chosen_arms("speedup", study)] == [
        "baseline", "baseline x0.5", "baseline x0.7", "baseline x2", "equal-start", "swe-f",
    ]  # fmt: skip


def test_the_rate_with_the_least_mean_loss_is_taken() -> None:
    assert best_rate({1e-3: [5.0, 5.2], 2e-3: [4.0, 4.1], 4e-3: [4.5, 4.0]}) == (2e-3, False)
    assert best_rate({1e-3: [5.0], 2e-3: [4.0], 4e-3: [math.inf]}) == (2e-3, False)
    assert best_rate({1e-3: [4.0], 2e-3: [4.0]}) == (1e-3, True)
    assert best_rate({1e-3: [4.0]}) == (1e-3, False)
    assert best_rate({1e-3: [0.5], 2e-3: [1.0, 1.0], 4e-3: [0.9, 1.2]}) == (2e-3, False)
    with pytest.raises(ConfigError, match="at which no tuning run diverges"):
        best_rate({1e-3: [math.inf], 2e-3: [math.inf]})


def test_later_tuning_seeds_try_the_best_rates_of_the_first(tmp_path: Path) -> None:
    """An outcome of all or nothing is chosen by several seeds, with as many runs for every arm."""
    study = replace(STUDY, rates=(1e-3, 2e-3, 4e-3, 8e-3), tuning_seeds=3, finalists=2)
    assert study.trials == 8
    assert replace(study, finalists=0).trials == 12
    assert replace(study, rates=(1e-3,), finalists=1).trials == 0
    arm, *_ = chosen_arms("headline", study)
    first, second, third = study.tuning

    def ended(rate: float, seed: int, loss: float) -> None:
        dump(run_folder(tmp_path, arm.name, rate, seed) / "summary.json", {"valid": {"loss": loss}})

    for rate, loss in ((1e-3, 0.5), (2e-3, 0.2)):
        ended(rate, first, loss)
    assert later_rates(study, tmp_path, arm) == study.rates, "not known yet"
    ended(8e-3, first, 0.9)
    dump(run_folder(tmp_path, arm.name, 4e-3, first) / DIVERGED, {"why": "nan"})
    assert later_rates(study, tmp_path, arm) == [2e-3, 1e-3]
    for seed, loss in ((second, 0.6), (third, 0.9)):
        ended(2e-3, seed, loss)
        ended(1e-3, seed, 0.55)
    found = tuning_losses(study, tmp_path, arm)
    assert found == {1e-3: [0.5, 0.55, 0.55], 2e-3: [0.2, 0.6, 0.9], 4e-3: [math.inf], 8e-3: [0.9]}
    assert tuned_rate(study, tmp_path, arm) == (1e-3, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": ()}, "at least one rate"),
        ({"rates": (2e-3, 1e-3)}, "ascending"),
        ({"rates": (-1.0,)}, r"rates = -1.0: must be in \(0, 10\]"),
        ({"tuning_seeds": 0}, "tuning_seeds = 0"),
        ({"finalists": 9}, "finalists = 9"),
        ({"first_seed": FIRST_TUNING_SEED}, "first_seed"),
    ],
)
def test_impossible_table_studies_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(STUDY, **change)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(2, 7))) for _ in range(150)]
    folder = tmp_path_factory.mktemp("text")
    documents = [" ".join(rng.choice(words, size=60)) for _ in range(400)]
    (folder / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")
    return prepare_data(STUDY, folder / "data", text=[folder / "text.txt"])


def test_the_theory_is_set_beside_the_runs(data: StudyData, tmp_path: Path) -> None:
    """Every quantity with its seeds; while tied there is no dispersion; no sweep, no best tau."""
    study = replace(STUDY, rates=(2e-3,), only=("equal-start", "swe-f", "always-shared"))
    table = run_table("headline", study, (build_task, (study, data)), tmp_path)
    found = {entry["quantity"]: entry for entry in table["carried"]}
    assert all(entry["n"] == 2 for entry in found.values())
    tied = found["dispersion of the layers while tied"]
    assert (tied["verdict"], tied["measured"]["mean"]) == ("holds", 0.0)
    assert found["best tau / T"]["measured"] is None
    assert found["best tau / T"]["verdict"] == "not measured"
    descent = found["descent in the first updates, tied over untied"]
    assert descent["predicted"]["n"] == 2
    adjacent = found["adjacent correlation, mean over the run, never tied"]
    rows = [
        row
        for seed in (0, 1)
        for row in read_lines(run_folder(tmp_path, "equal-start", 2e-3, seed) / "metrics.jsonl")
        if row["kind"] == "probe"
    ]
    cosines = [c for row in rows for c in row["correlations"]]
    assert adjacent["measured"]["mean"] == pytest.approx(sum(cosines) / len(cosines))
    assert write_table("table2", replace(study, only=()), tmp_path)["carried"] == []


def test_curves_are_the_logged_rows_rounded(data: StudyData, tmp_path: Path) -> None:
    study = replace(STUDY, rates=(2e-3,), only=("equal-start", "swe-f"))
    table = run_table("table2", study, (build_task, (study, data)), tmp_path)
    lines = read_lines(tmp_path / "table2-curves.jsonl")
    assert [(line["arm"], line["seed"]) for line in lines] == [
        (arm, seed) for arm in table["order"] for seed in (0, 1)
    ]
    by_arm = {line["arm"]: line for line in lines if line["seed"] == 1}
    assert by_arm["swe-f"]["untied"] == [1]
    for arm, line in by_arm.items():
        folder = run_folder(tmp_path, arm, 2e-3, 1)
        rows = read_lines(folder / "metrics.jsonl")
        probes = [row for row in rows if row["kind"] == "probe"]
        assert line["probe"]["step"] == [row["step"] for row in probes]
        for drawn, row in zip(line["probe"]["correlations"], probes, strict=True):
            assert drawn == pytest.approx(row["correlations"], rel=1e-4)
        assert line["valid"]["loss"][-1] == pytest.approx(
            table["arms"][arm]["values"]["1"], rel=1e-4
        )
        for name in ("alignment", "dispersion", "signal_to_noise", "descent_ratio"):
            assert len(line["probe"][name]) == len(probes)
        assert all(ratio >= 0 for ratio in line["probe"]["signal_to_noise"])


def stop_after(calls: int) -> Callable[[], bool]:
    left = iter(range(10**9))
    return lambda: next(left) >= calls


@pytest.mark.slow
def test_a_table_end_to_end(data: StudyData, tmp_path: Path) -> None:
    """Stopped while tuning: what is there is written. Resumed: complete, every number traceable."""
    study = replace(STUDY, only=("equal-start", "swe-f"))
    with pytest.raises(Interrupted):
        run_table("table2", study, (build_task, (study, data)), tmp_path, stop=stop_after(0))
    partial = read_json(tmp_path / "table2.json")
    assert not partial["complete"]
    assert "loss" not in partial["arms"]["swe-f"]
    table = run_table("table2", study, (build_task, (study, data)), tmp_path, jobs=2)
    assert table == read_json(tmp_path / "table2.json")
    assert table["complete"]
    for name, row in table["arms"].items():
        assert row["loss"]["n"] == 2
        tried = {float(rate): values[0] for rate, values in row["tuning"].items()}
        assert row["rate"] == min(tried, key=lambda rate: tried[rate])
        assert row["rate_at_edge"]
        assert row["steps"] == 8 * row["budget"]
        for seed, folder in row["folders"].items():
            summary = read_json(tmp_path / "runs" / folder / "summary.json")
            assert row["values"][seed] == summary["valid"]["loss"]
        assert ("difference" in row) == (name != "baseline")
        percent = [100 * value for value in row["accuracy"].values()]
        assert row["accuracy_percent"]["mean"]["mean"] == pytest.approx(sum(percent) / 2)
    assert table["arms"]["swe-f"]["untied_at"] == {"0": [1], "1": [1]}
    # Another table of the study takes the runs that are there; a diverged one is named, not used.
    folder = run_folder(tmp_path, "swe-f", table["arms"]["swe-f"]["rate"], 1)
    (folder / "summary.json").unlink()
    write_json(folder / DIVERGED, {"why": "test"})
    again = write_table("headline", STUDY, tmp_path)
    assert again["arms"]["baseline"]["values"] == table["arms"]["baseline"]["values"]
    assert again["arms"]["swe-f"]["diverged"] == [1]
    assert again["arms"]["swe-f"]["loss"]["n"] == 1
    assert again["arms"]["swe-f"]["difference"]["low"] is None, "one seed: no interval"
    assert again["blind"] == table["blind"], "the text's, known without building the task again"
    assert {row.get("verdict") for row in again["arms"].values()} == {None, "on the plateau"}
    assert not again["complete"]


def poisoned() -> RegressionTask:
    return RegressionTask(depth=2, poison=lambda index: index == 3)


def test_a_run_that_diverges_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"steps-{n}", TrainConfig(steps=n, eval_interval=n)) for n in (6, 3)]
    found: list[tuple[Path, str]] = []
    run_jobs(poisoned, (), jobs, diverged=lambda job, why: found.append((job.folder, why)))
    [(folder, why)] = found
    assert folder == jobs[0].folder
    assert "not finite at update 3" in why
    assert (jobs[1].folder / "summary.json").exists()
    with pytest.raises(NonFiniteLossError, match="not finite at update 3"):
        run_jobs(poisoned, (), jobs[:1])


def test_a_diverged_tuning_run_is_published_as_such(tmp_path: Path) -> None:
    study = replace(STUDY, rates=(2e-3, 10.0))
    folder = run_folder(tmp_path, "baseline", 10.0, FIRST_TUNING_SEED)
    write_json(folder / DIVERGED, {"why": "loss not finite"})
    row = write_table("table2", study, tmp_path)["arms"]["baseline"]
    assert row["tuning"] == {"0.002": [None], "10": ["diverged"]}
