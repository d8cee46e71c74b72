"""The masked-language task and a whole study in miniature, on a text made up here."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bert.claims.ledger import bert_claims
from bert.data.text import DataError
from bert.study.arms import STUDIES, StudyConfig
from bert.study.comparison import StudyData, build_task, prepare_data, run_folder, run_study
from bert.study.plateau import blind_of
from swe.base.errors import ConfigError
from swe.base.files import read_json, write_json
from swe.base.interrupt import Interrupted
from swe.sharing.schedule import EqualStart, NeverShared, SweAdaptive, SweFixed, SweMultistage

STUDY = StudyConfig(
    size="3x16",
    vocabulary=200,
    length=16,
    rows=4,
    steps=12,
    seeds=2,
    check=0.2,
    validation_rows=20,
    arms=("baseline", "swe-f", "swe-a"),
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 400 documents of made-up words, so that 2 % give a validation part."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(2, 7))) for _ in range(150)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    documents = [" ".join(rng.choice(words, size=60)) for _ in range(400)]
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(text: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    return prepare_data(STUDY, tmp_path_factory.mktemp("data"), text=[text])


def test_arms_are_the_papers(data: StudyData) -> None:
    study = replace(STUDY, arms=StudyConfig().arms, steps=1000, check=0.01, tau=0.2)
    kinds = [type(study.schedule(arm)) for arm in study.arms]
    assert kinds == [NeverShared, EqualStart, SweFixed, SweAdaptive, SweMultistage]
    adaptive = study.schedule("swe-a")
    assert isinstance(adaptive, SweAdaptive)
    assert (adaptive.rho, adaptive.interval, adaptive.patience, adaptive.majority) == (
        0.5,
        10,
        3,
        0.5,
    )
    fixed = study.schedule("swe-f")
    assert isinstance(fixed, SweFixed)
    assert fixed.tau(1000) == 200


def test_the_full_study_is_the_papers_setting() -> None:
    full = STUDIES["full"]
    shape = full.shape(full.vocabulary)
    assert (shape.layers, shape.hidden, shape.heads) == (24, 1024, 16)
    assert (full.rows * full.accumulation, full.length, full.steps) == (512, 512, 500_000)
    assert (full.peak_lr, full.warmup * full.steps, full.tau * full.steps) == (3e-4, 1e4, 5e4)
    assert full.check_interval == 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ("baseline", "swe-x")}, "arms = 'swe-x': must be one of baseline"),
        ({"arms": ("swe-f",)}, "must be a list with 'baseline'"),
        ({"unit": 2}, "unit = 2: must be a divisor of depth 3"),
        ({"tau": 1.5}, r"until = 1.5: must be in \(0, 1\)"),
        ({"seeds": 0}, "seeds = 0"),
        ({"size": "huge"}, "size = 'huge'"),
        ({"rho": 2.0}, r"rho = 2.0: must be in \[-1, 1\]"),
    ],
)
def test_impossible_studies_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(STUDY, **change)


def test_batches_are_a_function_of_seed_and_index(data: StudyData) -> None:
    task, again = build_task(STUDY, data), build_task(STUDY, data)
    one, other = task.batch(3, 7), again.batch(3, 7)
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert not torch.equal(one["inputs"], task.batch(3, 8)["inputs"])
    assert not torch.equal(one["inputs"], task.batch(4, 7)["inputs"])
    assert one["masked"].shape == (4, task.masked)


def test_loss_at_the_start_is_the_logarithm_of_the_vocabulary(data: StudyData) -> None:
    task = build_task(STUDY, data)
    model = task.build(0)
    loss = float(task.loss(model, task.batch(0, 0)).detach())
    assert loss == pytest.approx(math.log(task.config.padded_vocabulary), rel=0.1)


def test_evaluation_is_fixed_and_agrees_with_the_loss(data: StudyData) -> None:
    """Same rows, same masks, whatever the seed of the run; mean over predictions."""
    task = build_task(STUDY, data)
    model = task.build(0)
    first = task.evaluate(model, torch.device("cpu"))
    assert first == task.evaluate(model, torch.device("cpu"))
    assert first["predictions"] == task.masked * min(20, len(task.store.valid))
    halves = build_task(replace(STUDY, rows=5), data).evaluate(model, torch.device("cpu"))
    assert halves["predictions"] == first["predictions"]


def test_a_model_of_another_vocabulary_is_refused(data: StudyData) -> None:
    task = build_task(STUDY, data)
    with pytest.raises(DataError, match="the model has 7"):
        replace(task, config=replace(task.config, vocabulary=7))
    with pytest.raises(ConfigError, match="length = 16: must be at most positions = 8"):
        replace(task, config=replace(task.config, positions=8))


def losses(comparison: dict[str, Any]) -> dict[str, Any]:
    return {arm: entry["values"] for arm, entry in comparison["arms"].items()}


def test_a_study_end_to_end(data: StudyData, tmp_path: Path) -> None:
    """Interrupted, resumed, and with two workers: the same numbers as in one go."""
    first = run_study(STUDY, data, tmp_path / "one", jobs=1)
    calls = iter(range(10**6))
    with pytest.raises(Interrupted):
        run_study(STUDY, data, tmp_path / "two", jobs=2, stop=lambda: next(calls) >= 8)
    assert not (tmp_path / "two" / "comparison.json").exists()
    second = run_study(STUDY, data, tmp_path / "two", jobs=2)
    assert losses(first) == losses(second)
    assert {arm: entry["untied_at"] for arm, entry in first["arms"].items()}["swe-f"] == {
        "0": [1],
        "1": [1],
    }
    assert first == read_json(tmp_path / "one" / "comparison.json")
    assert first["blind"] == blind_of(build_task(STUDY, data))
    assert set(first["arms"]) == set(STUDY.arms)
    config = build_task(STUDY, data).config
    padding = (config.padded_vocabulary - config.vocabulary) * (config.hidden + 1)
    for arm, entry in first["arms"].items():
        assert entry["loss"]["n"] == 2
        shared_to_the_end = arm in ("swe-a", "swe-m") and not all(entry["untied_at"].values())
        if not shared_to_the_end:
            assert entry["parameters_at_end"] == config.parameters + padding
        assert ("difference" in entry) == (arm != "baseline")
    task = read_json(run_folder(tmp_path / "one", "swe-f", 0) / "config.json")["task"]
    assert task["data"]["vocabulary_size"] == task["model"]["vocabulary"]


def test_a_failing_run_fails_the_study_in_one_line(data: StudyData, tmp_path: Path) -> None:
    folder = run_folder(tmp_path, "swe-f", 1)
    write_json(folder / "config.json", {"train": {"seed": 99}, "task": {}})
    with pytest.raises(ConfigError, match="swe-f-s1: holds a run of another configuration"):
        run_study(STUDY, data, tmp_path, jobs=1)


def test_claims_follow_the_comparison(tmp_path: Path) -> None:
    """No study: not run. With one: the words follow the interval's sign."""
    assert {record.verdict for record in bert_claims(tmp_path)} == {"not run"}
    gap = {"n": 3, "mean": -0.5, "low": -0.6, "high": -0.4}

    def entry(verdict: str) -> dict[str, Any]:
        return {"difference": gap, "verdict": verdict, "steps": 5, "tokens": 10}

    comparison = {
        "study": asdict(STUDY),
        "reference": "baseline",
        "arms": {
            "baseline": {},
            "swe-f": entry("helps"),
            "swe-a": entry("hurts"),
            "swe-m": entry("no gain"),
        },
    }
    write_json(tmp_path / "bert" / "current.json", {"folder": "x"})
    write_json(tmp_path / "bert" / "x" / "comparison.json", comparison)
    verdicts = {record.id: record.verdict for record in bert_claims(tmp_path)}
    assert verdicts["TAB1-F"] == "holds"
    assert verdicts["TAB1-A"] == "fails"
    assert verdicts["TAB1-M"] == "no gain"
    assert verdicts["EQUAL"] == verdicts["TAB2"] == "not run"
    evidence = bert_claims(tmp_path)[0].evidence
    assert "-0.5000 nats (95 % interval -0.6000 to -0.4000), n = 3" in evidence
