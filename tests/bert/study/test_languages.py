"""The verb ``languages``: settings by name, arms, tables with every hop, resume, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from bert import pretrain
from bert.languages.composition import Composition
from bert.study.curves import curves_file
from bert.study.language_study import (
    LANGUAGE_SCALES,
    LANGUAGES,
    LanguageStudy,
    asked_language,
    build_language_task,
    demonstration,
)
from bert.study.table_study import chosen_arms
from bert.study.tables import _reached, run_folder, run_table
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from swe.run import precision
from swe.sharing.schedule import SweFixed

STUDY = LanguageStudy(
    size="2x16",
    rows=4,
    steps=6,
    seeds=1,
    check=0.3,
    validation_rows=30,
    tau=0.5,
    rates=(2e-3,),
    only=("swe-f",),
    language=Composition(symbols=4, hops=2),
)


def test_the_arms_of_a_language() -> None:
    small = LANGUAGE_SCALES["small"]["composition"]
    assert [arm.name for arm in small.arms_of("composition")] == [
        "baseline", "equal-start", "swe-f", "swe-a", "swe-m", "always-shared", "swe-f 4x2",
    ]  # fmt: skip
    more = replace(small, taus=(0.2, 0.6), longer=(2.0, 4.0))
    arms = {arm.name: arm for arm in more.arms_of("composition")}
    assert arms["swe-f"].schedule == SweFixed(until=0.4)
    assert arms["swe-f tau 60 %"].schedule == SweFixed(until=0.6)
    assert arms["baseline x4"].steps(more) == 4 * small.steps


def test_the_small_cell_is_the_one_of_the_statement() -> None:
    study = LANGUAGE_SCALES["small"]["composition"]
    task = build_language_task(study)
    assert (task.depth, task.config.hidden, task.config.heads, task.length) == (8, 64, 2, 16)
    assert study.language == Composition(symbols=8, hops=4)
    assert (study.rows, study.steps, study.rates) == (64, 1600, (1e-3, 2e-3, 3e-3))


@pytest.mark.parametrize("scale", list(LANGUAGE_SCALES))
def test_every_scale_has_every_language(scale: str) -> None:
    assert tuple(LANGUAGE_SCALES[scale]) == LANGUAGES
    for kind, found in LANGUAGE_SCALES[scale].items():
        assert found.language.kind == kind
        assert asked_language(kind, scale, 0, {}) == found
        assert from_dict(LanguageStudy, to_dict(found)) == found
        assert build_language_task(found).describe()["data"]["kind"] == kind


def test_the_demonstration_has_too_few_seeds_to_judge() -> None:
    for kind in LANGUAGES:
        shown = demonstration(kind, "small", 3)
        assert shown == replace(LANGUAGE_SCALES["demo"][kind], first_seed=3)
        assert [arm.name for arm in chosen_arms(kind, shown)] == [
            "baseline",
            "equal-start",
            "swe-f",
        ]
        assert (len(shown.headline_seeds), len(shown.tuning)) == (2, 0)
        assert shown.seeds < shown.judged_from
        smoke = demonstration(kind, "smoke", 0)
        assert (smoke.steps, smoke.only) == (20, shown.only)
        assert demonstration(kind, "full", 3) == shown


def test_a_demonstration_says_so_and_judges_nothing(tmp_path: Path) -> None:
    """Else two seeds could read "helps" in a table, beside a theory that they bear out."""
    study = replace(STUDY, seeds=2, only=("equal-start", "swe-f", "always-shared"))
    found = run_table("composition", study, (build_language_task, (study,)), tmp_path)
    words = [found["arms"][name].get("verdict") for name in found["order"]]
    assert words == [None, *["demonstration, 2 seeds"] * 3]
    assert (found["carried"], found["gains"]) == ([], [])


def test_a_setting_reaches_the_language_or_the_study() -> None:
    found = asked_language(
        "composition",
        "small",
        7,
        {"language.symbols": 12, "language.eps": 0.5, "placement": "post"},
    )
    assert found.language == Composition(symbols=12, hops=4, eps=0.5)
    assert (found.placement, found.first_seed) == ("post", 7)
    assert build_language_task(found).config.vocabulary == 12 + 12 * 4


@pytest.mark.parametrize(
    ("scale", "settings", "message"),
    [
        ("full", {}, "scale = 'full': must be one of smoke, demo, small"),
        ("small", {"language.symbol": 9}, r"language.symbol = 9: must be absent; known: \["),
        ("small", {"language.eps": 0.3}, "eps = 0.3: must be a multiple of 1/4"),
        ("small", {"languages.eps": 0.5}, "languages.eps = 0.5: must be absent"),
        ("small", {"length": 32}, "length = 32: must be left out: it is of text alone"),
        ("small", {"objective": "causal"}, "objective = 'causal': must be left out: it is of text"),
        ("small", {"whole_word": True}, "whole_word = True: must be left out"),
        ("small", {"language.symbols": 300}, "length = 600: must be at most positions = 512"),
        ("small", {"taus": [0.4]}, "two arms of one name"),
        ("small", {"taus": [1.5]}, r"until = 1.5: must be in \(0, 1\)"),
        (
            "small",
            {"encoder": "transformers", "branch_scale": 0.5},
            "branch_scale = 0.5: must be 1 in",
        ),
        ("small", {"longer": [0.0]}, r"longer = 0.0: must be in \(0, 1000\]"),
    ],
)
def test_impossible_studies_are_refused(scale: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked_language("composition", scale, 0, settings)


@pytest.mark.slow
def test_a_table_of_a_language_stopped_and_resumed(tmp_path: Path) -> None:
    """Every hop in the table and in the curves; a stop changes no number."""
    work = (build_language_task, (STUDY,))
    whole = run_table("composition", STUDY, work, tmp_path / "one")
    calls = iter(range(10**6))
    with pytest.raises(Interrupted):
        run_table("composition", STUDY, work, tmp_path / "two", stop=lambda: next(calls) >= 4)
    assert not read_json(tmp_path / "two" / "composition.json")["complete"]
    again = run_table("composition", STUDY, work, tmp_path / "two")
    assert whole["complete"]
    assert whole["order"] == ["baseline", "swe-f"]
    for arm, row in whole["arms"].items():
        assert again["arms"][arm]["values"] == row["values"]
        assert again["arms"][arm]["parts"] == row["parts"]
        assert set(row["parts"]["0"]) == {"hop_1", "hop_2"}
        valid = read_json(run_folder(tmp_path / "one", arm, row["rate"], 0) / "summary.json")
        assert row["parts"]["0"]["hop_2"] == {
            "loss": valid["valid"]["loss_hop_2"],
            "accuracy": valid["valid"]["accuracy_hop_2"],
            "floor": 0.0,
        }
        assert row["floor"] == 0.0
        assert row["reached"] == {"hop_1": 0, "hop_2": 0}
    assert whole["arms"]["swe-f"]["untied_at"] == {"0": [3]}
    [first, *_] = read_lines(tmp_path / "one" / curves_file("composition"))
    steps = first["valid"]["step"]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert len(first["valid"]["accuracy_hop_1"]) == len(steps)


def test_the_command_trains_a_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "languages", "--scale", "smoke", "--out", str(tmp_path), "--jobs", "1", "--seeds", "1",
        "--language", "hierarchy", "--set", "only=swe-f", "rates=1e-3", "steps=4",
        "language.symbols=5",
    ]  # fmt: skip
    assert paper_repro.main(asked) == 0
    assert "hierarchy: 2 arms, each 0 tuning runs and 1 paired seeds" in capsys.readouterr().out
    pointer = read_json(tmp_path / "bert" / "languages" / "hierarchy.json")
    folder = tmp_path / "bert" / "languages" / pointer["folder"]
    found = read_json(folder / "hierarchy.json")
    assert found["study"]["language"]["symbols"] == 5
    assert 0 < found["arms"]["swe-f"]["floor"] < found["arms"]["swe-f"]["loss"]["mean"]
    assert found["complete"]
    assert len(list(folder.glob("runs/*/summary.json"))) == 2
    assert not (tmp_path / "data").exists(), "no text is read"


def test_one_arm_of_a_language_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--language", "composition", "--scale", "smoke", "--arm", "swe-f", "--steps", "3"]
    asked = [*line, "--device", "cpu", "--set", "language.symbols=5", "--out", str(tmp_path)]
    assert pretrain.main(asked) == 0
    assert "accuracy_hop_2" in capsys.readouterr().out
    config = read_json(tmp_path / "swe-f-s0" / "config.json")
    assert (config["task"]["data"]["symbols"], config["train"]["steps"]) == (5, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["swe-f-s0"]
    assert pretrain.main([*asked, "--text", "a.txt"]) == 2
    assert "must be left out with --language" in capsys.readouterr().err


def test_arms_of_one_out_share_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By commands of their own, the second on a machine that would find otherwise."""
    line = ["--language", "composition", "--scale", "smoke", "--steps", "3", "--device", "cpu"]
    for arm, took in (("swe-f", 1.0), ("baseline", 9.0)):
        times = {"float32": 5.0, "bfloat16": took}
        monkeypatch.setattr(precision, "has_bfloat16_units", lambda: True)
        monkeypatch.setattr(precision, "measure", lambda *given, times=times: times)
        more = ["--arm", arm, "--set", "precision=auto", "--out", str(tmp_path)]
        assert pretrain.main([*line, *more]) == 0
        found = read_json(tmp_path / f"{arm}-s0" / "config.json")["train"]["precision"]
        assert found == "bfloat16"


def test_reached_counts_the_seeds_at_95_percent() -> None:
    def seed(*accuracies: float) -> dict[str, dict[str, float]]:
        return {f"hop_{k}": {"accuracy": value} for k, value in enumerate(accuracies, 1)}

    parts = {"0": seed(1.0, 0.95, 0.2), "1": seed(0.96, 0.9499, 0.2), "2": seed(0.3)}
    assert _reached(parts) == {"hop_1": 2, "hop_2": 1, "hop_3": 0}


def test_a_language_is_not_of_the_scale_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert paper_repro.main(["languages", "--scale", "gpu"]) == 2
    assert "--scale gpu: only for table1" in capsys.readouterr().err
