"""The verb ``plan``: counts by hand, the record that a speed is from, sharing, refusals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from bert.study.plan import Machine, Planned, plan, planned
from bert.study.plan_command import in_text, plan_command
from bert.study.table_study import chosen_arms, table_study
from swe.base.errors import ConfigError, ResultError
from swe.base.files import read_json, write_json

RECORDS = paper_repro.RECORDS
GIVEN = Machine(None, 1000.0, 1, ())
SETTINGS: dict[str, Any] = {"steps": 10, "rows": 8}


def of(verb: str, machine: Machine = GIVEN, **more: Any) -> Planned:
    return planned(verb, "smoke", 0, SETTINGS | more, machine, RECORDS)


def test_a_table_is_counted_by_hand() -> None:
    """Smoke: rates 2, one tuning seed, two seeds: four runs an arm; the baseline x2 is longer."""
    one = of("table2")
    names = [arm.name for arm in chosen_arms("table2", table_study("table2", "smoke"))]
    assert len(names) == 5
    assert "baseline x2" in names
    [row] = plan([one], ())["verbs"]
    assert row["runs"] == 4 * 5
    assert row["updates"] == 4 * (4 * 10 + 20)
    assert row["tokens"] == row["updates"] * 8 * 32
    assert row["compute_gpu_hours"] == pytest.approx(row["tokens"] / 1000 / 3600)
    assert row["memory"] is None


def test_a_study_is_counted_by_hand() -> None:
    [row] = plan([of("bert", accumulation=3)], ())["verbs"]
    assert (row["runs"], row["updates"]) == (2 * 5, 2 * 5 * 10)
    assert row["tokens"] == 100 * 3 * 8 * 32


def test_runs_that_tables_share_count_once() -> None:
    tables = [of(verb) for verb in ("table1", "table3", "bert")]
    found = plan(tables, ())
    arms = [
        {arm.name for arm in chosen_arms(verb, table_study(verb, "smoke"))}
        for verb in ("table1", "table3")
    ]
    assert len(arms[0] & arms[1]) >= 3
    assert found["together"]["runs"] == 4 * len(arms[0] | arms[1]) + 10
    apart = plan([of("table1"), of("table1", length=16)], ())
    assert apart["together"]["runs"] == 2 * 4 * len(arms[0]), "another length is another run"


def test_more_gpus_share_the_computing_and_pay_for_bytes() -> None:
    bandwidth = 1.0
    one = plan([of("bert")], ())["verbs"][0]
    many = plan([of("bert", Machine(None, 1000.0, 4, (bandwidth,)))], (bandwidth,))["verbs"][0]
    assert many["compute_gpu_hours"] == pytest.approx(one["compute_gpu_hours"])
    low, high = many["hours"][0]
    assert one["compute_gpu_hours"] / 4 < low < high
    sent, found = many["reduced_bytes"], many["swe_f"][0]
    assert sent["tied"] < sent["untied"]
    seconds = {kind: 1.5 * sent[kind] / 1e9 for kind in sent}
    assert found["tied_update"][0] == found["compute_seconds"] + seconds["tied"]
    assert found["untied_update"][1] == found["compute_seconds"] + seconds["untied"]
    gap = (seconds["untied"] - seconds["tied"]) / found["untied_update"][1]
    assert found["saved"][1] == pytest.approx(0.1 * gap), "tau 0.1 of the updates"


def record(folder: Path, name: str, **settings: Any) -> None:
    """Write a throughput record of 100 tokens in 0.5 s."""
    has = {"size": "12x64", "length": 10, "rows": 10, "vocabulary": 100, "flops_per_token": 7.0}
    turn = {
        "name": "a3",
        "blocks": [{"seconds": [0.1, 0.5, 9.0]}],
        "warm": {"parameters": 1000},
        "end": {"peak_memory_bytes": 16 * 1000 + 5 * 100 * 12 * 64},
    }
    content = {
        "settings": has | settings,
        "environment": {"device": "ABC One"},
        "turns": [turn, turn | {"name": "a4", "blocks": [{"seconds": [0.001]}]}],
    }
    write_json(folder / f"throughput-{name}.json", content)


def test_a_speed_is_that_of_the_nearest_record(tmp_path: Path) -> None:
    record(tmp_path, "a")
    record(tmp_path, "b", size="4x32", length=64)
    record(tmp_path, "c", size="4x32", length=30)
    machine = Machine("abc", None, 1, ())
    chosen = planned("table1", "smoke", 0, {}, machine, tmp_path)
    assert chosen.speed.source == "throughput-c.json", "its size, then its length (32)"
    assert planned("table1", "small", 0, {}, machine, tmp_path).speed.source == "throughput-a.json"
    speed = planned("table1", "small", 0, {}, machine, tmp_path).speed
    assert speed.tokens_per_second == 200.0
    assert (speed.flops, speed.activation) == (1400.0, 5.0)
    with pytest.raises(ConfigError, match=r"--on xyz: .*on record: none"):
        planned("table2", "small", 0, {}, Machine("xyz", None, 1, ()), tmp_path)
    (tmp_path / "throughput-d.json").write_text("{}")
    with pytest.raises(ResultError, match=r"throughput-d\.json"):
        planned("table1", "small", 0, {}, machine, tmp_path)


def test_runs_on_record_stand_beside_the_speed(tmp_path: Path) -> None:
    """6400 tokens in 8, 8 and 16 s, two runs at a time: 800 tokens/s each, 1600 in all."""
    record(tmp_path, "a")
    content = {
        "study": {"size": "12x64", "length": 64, "rows": 8},
        "environment": {"device": "ABC One", "command": "python x --jobs 2 --out y"},
        "arms": {
            "baseline": {"tokens": 6400, "seconds": {"0": 8.0, "1": 8.0}},
            "swe-f": {"tokens": 6400, "seconds": {"0": 16.0}},
            "swe-a": {},
        },
    }
    write_json(tmp_path / "studies" / "s" / "table1.json", content)
    other = content | {"environment": {"device": "ABC Two", "command": "python x"}}
    write_json(tmp_path / "studies" / "t" / "table1.json", other)
    one = planned("table1", "small", 0, {}, Machine("abc", None, 1, ()), tmp_path)
    assert one.trained == (
        {
            "source": "studies/s/table1.json",
            "tokens": 512,
            "tokens_per_second": 800.0,
            "jobs": 2,
            "at_most": 1600.0,
        },
    )
    made = plan([one], ())
    assert "at most 1,600 (512 tokens" in in_text({"scale": "small", "price": None, **made})
    assert planned("bert", "small", 0, {}, Machine("abc", None, 1, ()), tmp_path).trained == ()
    write_json(tmp_path / "studies" / "u" / "table1.json", {"study": {}})
    with pytest.raises(ResultError, match=r"u/table1\.json"):
        planned("table1", "small", 0, {}, Machine("abc", None, 1, ()), tmp_path)


def test_the_gpu_on_record_is_found_and_named() -> None:
    machine = Machine("h200", None, 8, (50.0,))
    one = planned("table1", "full", 0, {}, machine, RECORDS)
    assert one.speed.device == "NVIDIA H200"
    text = in_text({"scale": "full", "price": 2.0, **plan([one], (50.0,))})
    for words in ("records/throughput-large-128.json", "GPU-hours", "hours at 50 GB/s", "price"):
        assert words in text
    assert "2,048 tokens of a micro-batch on a GPU, 65,536 where the speed" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan"], "plan: needs --on DEVICE (such as h200) or --tokens-per-second N"),
        (["plan", "--on", "h200", "--tokens-per-second", "3"], "plan: takes one of --on DEVICE"),
        (["plan", "--on", "h2000"], "--on h2000: is on no throughput record (on record: AMD EPYC"),
        (["plan", "--on", ""], "--on : is on no throughput record"),
        (["plan", "toy", "--on", "h200"], "plan toy: must be of bert, table1"),
        (["plan", "--on", "h200", "--gpus", "0"], "--gpus = 0: must be an integer, at least 1"),
        (["plan", "--on", "h200", "--gpus", "3"], "--gpus = 3: must be a divisor of rows = 8"),
        (["plan", "--on", "h200", "--bandwidth", "0"], "--bandwidth = 0.0: must be in (0, inf)"),
        (["plan", "--on", "h200", "--price", "-1"], "--price = -1.0: must be in [0, inf)"),
        (["plan", "--tokens-per-second", "0"], "--tokens-per-second = 0.0: must be in (0, inf)"),
        (["plan", "--on", "h200", "--scale", "demo"], "--scale demo: is of languages alone"),
        (["plan", "bert", "--on", "h200", "--scale", "gpu"], "--scale gpu: has no bert"),
        (["theory", "--gpus", "8"], "--gpus: is of the verb plan; add plan, or leave --gpus out"),
        (["--bandwidth", "8"], "--bandwidth: is of the verb plan"),
        (["clean", "plan"], "clean: stands alone"),
    ],
)
def test_refusals(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert paper_repro.main([*arguments, "--out", str(tmp_path / "new")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"paper_repro.py: {message}")
    assert not (tmp_path / "new").exists()


def test_the_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["plan", "--on", "h200", "--gpus", "8", "--scale", "full", "--out", str(tmp_path)]
    assert paper_repro.main(line) == 0
    printed = capsys.readouterr().out
    made = read_json(tmp_path / "plan.json")
    assert printed.startswith(in_text(made))
    assert [row["verb"] for row in made["verbs"]][:2] == ["bert", "table1"]
    assert paper_repro.main(["clean", "--out", str(tmp_path)]) == 0
    assert not tmp_path.exists()


def test_a_file_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('["mine"]')
    line = ["plan", "--on", "h200", "--out", str(tmp_path)]
    assert paper_repro.main(line) == 2
    assert (tmp_path / "plan.json").read_text() == '["mine"]'


def test_gpu_scale_has_tables_alone() -> None:
    given = argparse.Namespace(
        verbs=["plan"],
        scale="gpu",
        seed=0,
        on="h200",
        tokens_per_second=None,
        gpus=None,
        bandwidth=[],
        price=None,
    )
    made = plan_command(given, {}, RECORDS)
    assert "bert" not in [row["verb"] for row in made["verbs"]]
    assert all(row["hours"] == [] for row in made["verbs"])
