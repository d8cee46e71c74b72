"""Verdicts of the paper's tables follow from the runs' numbers and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bert.claims.ledger import bert_claims
from bert.finetune.arm_scores import task_scores
from evidence.claim import Record, in_words
from evidence.rivals import METHODS
from tests.figures.samples.bert_tables import FOLDER, sample, write_tables
from tests.figures.samples.files import compared, dump
from tests.figures.samples.finetuned import fine_tune


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    write_tables(tmp_path)
    for path in (tmp_path / "bert" / "tables" / FOLDER).glob("*.json"):
        table = json.loads(path.read_text("utf-8"))
        for name, entry in table["arms"].items():
            if "loss" in entry:
                double = 5.0 if name == "baseline x2" else 0.0
                entry["accuracy"] = {str(s): 0.3 + (double + 0.1 * s) / 100 for s in range(3)}
        dump(path, table)
    return tmp_path


def ledger(out: Path, studies: Path | None = None) -> dict[str, Record]:
    return {record.id: record for record in bert_claims(out, studies)}


def words(record: Record) -> str:
    return in_words(record.verdict, record.qualifier)


def put(out: Path, table: str, losses: dict[str, list[float]]) -> None:
    """Give arms of a table other final losses, with the intervals and verdicts that follow."""
    path = out / "bert" / "tables" / FOLDER / f"{table}.json"
    found = json.loads(path.read_text("utf-8"))
    base = list(found["arms"]["baseline"]["values"].values())
    for arm, entry in compared({"baseline": base, **losses}, "baseline").items():
        found["arms"][arm].update(entry)
    dump(path, found)


def test_without_runs_nothing_was_attempted(tmp_path: Path) -> None:
    found = ledger(tmp_path)
    assert {words(record) for record in found.values()} == {"not run"}
    assert {
        "TAB1-F",
        "TAB1-A",
        "TAB1-M",
        "TAB1-GAP",
        "TAB2",
        "TAB3",
        "TAB4",
        "EQUAL",
        "SPEED",
        "SCALE-CORR",
        "SCALE-CORR-TIED",
        "SCALE-DESCENT",
        "SCALE-TAU",
        "SCALE-GAIN",
        "SCALE-RULE",
        "TAB1-TASKS",
        "LANG-COMPOSITION",
        "LANG-HIERARCHY",
        "LANG-STOCK",
        "LANG-CELLS",
        *(rival.claim for rival in METHODS.values()),
    } == set(found)


BASE = [6.0, 6.01, 6.02]


def shifted(by: float) -> list[float]:
    """The baseline's losses moved, with a little noise so that the interval has a width."""
    return [value + by + noise for value, noise in zip(BASE, (-0.001, 0.0, 0.001), strict=True)]


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(-0.1, "holds (small)"), (0.0, "no gain (small)"), (0.1, "fails (small)")],
)
def test_table_1_follows_the_interval(tables: Path, gap: float, verdict: str) -> None:
    put(tables, "table1", {"baseline": BASE, "swe-f": shifted(gap)})
    record = ledger(tables)["TAB1-F"]
    assert words(record) == verdict
    assert f"{gap:+.4f} nats (95 % interval" in record.evidence
    assert "rate of each arm tuned" in record.evidence
    assert record.figure == "bert_table1"


def test_two_seeds_leave_a_claim_open(tables: Path) -> None:
    put(tables, "table1", {"baseline": BASE, "swe-f": shifted(-0.1), "equal-start": shifted(0.1)})
    path = tables / "bert" / "tables" / FOLDER / "table1.json"
    table = json.loads(path.read_text("utf-8"))
    for arm in ("swe-f", "equal-start"):
        table["arms"][arm]["difference"]["n"] = 2
    dump(path, table)
    found = ledger(tables)
    assert words(found["TAB1-F"]) == words(found["EQUAL"]) == "open (2 seeds, 3 needed)"


def put_blind(path: Path, loss: float) -> None:
    """State a blind loss in a table, which leaves all in it as it was."""
    dump(path, json.loads(path.read_text("utf-8")) | {"blind": {"loss": loss}})


COMPARED = (
    "TAB1-F",
    "TAB1-A",
    "TAB1-M",
    "TAB1-GAP",
    "TAB2",
    "TAB3",
    "TAB4",
    "EQUAL",
    "SPEED",
    "SCALE-GAIN",
    "SCALE-TAU",
    "SCALE-RULE",
)


def test_on_the_plateau_nothing_holds_and_nothing_fails(tables: Path) -> None:
    """Losses lie between 5.8 and 6.1: with 6.2 for the blind no run has left, with 6.4 one has."""
    before = {name: words(record) for name, record in ledger(tables).items()}
    for path in (tables / "bert" / "tables" / FOLDER).glob("*.json"):
        put_blind(path, 6.2)
    found = ledger(tables)
    judged = [name for name in COMPARED if before[name] != "not run"]
    assert {"TAB1-F", "TAB2", "TAB3", "TAB4", "EQUAL", "SPEED", "SCALE-RULE"} <= {*judged}
    assert {words(found[name]) for name in judged} == {"on the plateau"}
    assert "best loss blind to context 6.200 nats" in found["TAB1-F"].evidence
    for path in (tables / "bert" / "tables" / FOLDER).glob("*.json"):
        put_blind(path, 6.5)
    assert {name: words(record) for name, record in ledger(tables).items()} == before


def test_a_study_that_left_speaks_before_one_that_did_not(tables: Path, tmp_path: Path) -> None:
    studies, empty = on_record(tables, "a", {"blind": {"loss": 6.2}}), tmp_path / "empty"
    assert words(ledger(empty, studies)["TAB3"]) == "on the plateau"
    on_record(tables, "b", {"blind": {"loss": 6.5}})
    found = ledger(empty, studies)
    for name, figure in (("TAB1-F", "study_b_sweep"), ("TAB3", "study_b_sweep_tau")):
        assert (found[name].verdict, found[name].figure) != ("on the plateau", "study_a_sweep")
        assert found[name].figure == figure
    told = found["TAB1-F"].evidence
    assert told.index("(study b); also") < told.index("(study a): on the plateau")


def test_the_gap_is_shared_out_seed_by_seed(tables: Path) -> None:
    """An arm two points above the baseline of five: 40 %."""
    path = tables / "bert" / "tables" / FOLDER / "table1.json"
    table = json.loads(path.read_text("utf-8"))
    for arm in ("swe-f", "swe-a", "swe-m"):
        table["arms"][arm]["accuracy"] = {str(s): 0.32 + 0.001 * s for s in range(3)}
    dump(path, table)
    record = ledger(tables)["TAB1-GAP"]
    assert words(record) == "holds (small)"
    assert "SWE-F 40 % (95 % 40 to 40)" in record.evidence
    for share, verdict in ((-0.02, "fails (small)"), (0.0, "no gain (small)")):
        for arm in ("swe-f", "swe-a", "swe-m"):
            values = {str(s): 0.3 + share + 0.001 * s + 1e-4 * (s - 1) for s in range(3)}
            table["arms"][arm]["accuracy"] = values
        dump(path, table)
        assert words(ledger(tables)["TAB1-GAP"]) == verdict


def test_the_control_is_told_as_it_came_out(tables: Path) -> None:
    put(tables, "table1", {"baseline": BASE, "equal-start": shifted(0.1)})
    assert words(ledger(tables)["EQUAL"]) == "hurts"


@pytest.mark.parametrize(
    ("late", "verdict"),
    [(0.05, "holds (small)"), (-0.05, "fails (small)"), (0.0, "no gain (no difference, small)")],
)
def test_table_3_asks_whether_a_late_untie_costs(tables: Path, late: float, verdict: str) -> None:
    arms = ("swe-f tau 2 %", "swe-f tau 5 %", "swe-f", "swe-f tau 20 %", "swe-f tau 40 %")
    put(tables, "table3", {"baseline": BASE, **{a: shifted(0.0) for a in arms}})
    put(tables, "table3", {"baseline": BASE, arms[-1]: shifted(late)})
    assert words(ledger(tables)["TAB3"]) == verdict


def test_table_4_needs_every_unit(tables: Path) -> None:
    units = [arm for arm in sample("table4")["order"] if arm.startswith("swe-f")]
    put(tables, "table4", {"baseline": BASE, **{unit: shifted(-0.1) for unit in units}})
    assert words(ledger(tables)["TAB4"]) == "holds (small)"
    put(tables, "table4", {"baseline": BASE, units[0]: shifted(0.0)})
    assert words(ledger(tables)["TAB4"]) == "no gain (small)"
    put(tables, "table4", {"baseline": BASE, units[0]: shifted(0.1)})
    assert words(ledger(tables)["TAB4"]) == "fails (small)"


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ({"ratio": 1.9, "low": 1.5, "high": 2.4, "censored": {}}, "holds (small)"),
        (
            {"ratio": 1.3, "low": 1.1, "high": 1.5, "censored": {}},
            "holds with limits (faster, not twice, small)",
        ),
        ({"ratio": 1.0, "low": 0.8, "high": 1.2, "censored": {}}, "no gain (small)"),
        ({"ratio": 0.8, "low": 0.7, "high": 0.9, "censored": {}}, "fails (small)"),
        ({"ratio": None, "low": None, "high": None, "censored": {"0": "below"}}, "fails (small)"),
        ({"ratio": None, "low": None, "high": None, "censored": {"0": "above"}}, "no gain (small)"),
        (
            {
                "ratio": None,
                "low": None,
                "high": None,
                "censored": {"0": "above", "1": "above", "2": "above"},
            },
            "holds (small)",
        ),
    ],
)
def test_speed_up_is_judged_against_two_and_one(
    tables: Path, ratio: dict[str, Any], verdict: str
) -> None:
    path = tables / "bert" / "tables" / FOLDER / "speedup.json"
    table = json.loads(path.read_text("utf-8"))
    table["speedup"] = {"swe-f": {"n": 3, "values": {}, **ratio}}
    dump(path, table)
    assert words(ledger(tables)["SPEED"]) == verdict


GAIN = {"n": 3, "predicted": {"n": 3, "mean": 0.2, "low": 0.1, "high": 0.3}, "same_rate": True}


def on_record(tables: Path, study: str, change: dict[str, Any]) -> Path:
    """Move the sample's sweep to a study on record, with some fields changed."""
    path = tables / "bert" / "tables" / FOLDER / "sweep.json"
    studies = tables / "studies"
    dump(studies / study / "sweep.json", json.loads(path.read_text("utf-8")) | change)
    return studies


def test_records_speak_where_nothing_was_run_and_say_so(tables: Path, tmp_path: Path) -> None:
    studies, out = on_record(tables, "12x64", {}), tmp_path / "empty"
    found = ledger(out, studies)
    assert words(found["TAB1-F"]) != "not run"
    assert "on record (study 12x64)" in found["TAB1-F"].evidence
    assert found["TAB1-F"].figure == "study_12x64_sweep"
    assert found["TAB3"].figure == "study_12x64_sweep_tau"
    assert words(found["TAB2"]) == "not run"
    # Own runs come first; the record stands behind them.
    both = ledger(tables, studies)["TAB1-F"]
    assert both.figure == "bert_table1"
    assert both.evidence.index("also") < both.evidence.index("on record")


def test_causal_models_judge_no_claim_of_masked_ones(tables: Path, tmp_path: Path) -> None:
    study = json.loads((tables / "bert" / "tables" / FOLDER / "sweep.json").read_text())["study"]
    masked = on_record(tables, "masked", {"study": study | {"objective": "masked"}})
    assert words(ledger(tmp_path / "empty", masked)["TAB1-F"]) != "not run"
    on_record(tables, "masked", {"study": study | {"objective": "causal"}})
    found = ledger(tmp_path / "empty", masked)
    assert {words(found[name]) for name in ("TAB1-F", "TAB3", "SCALE-TAU")} == {"not run"}


def test_the_scale_claims_count_over_studies(tables: Path, tmp_path: Path) -> None:
    ends = {"n": 3, "mean": 0.5, "low": 0.4, "high": 0.6}
    quantity = "adjacent correlation, mean over the run, never tied"

    def carried(holds: int) -> list[dict[str, Any]]:
        return [
            {
                "quantity": quantity,
                "n": 3,
                "holds": holds,
                "verdict": "",
                "predicted": ends,
                "measured": ends,
            }
        ]

    def gain(mean: float, verdict: str) -> dict[str, Any]:
        return GAIN | {"tau": 0.1, "measured": ends | {"mean": mean}, "verdict": verdict}

    studies = on_record(tables, "a", {"carried": carried(3), "gains": [gain(0.5, "holds")]})
    found = ledger(tmp_path / "empty", studies)
    assert words(found["SCALE-CORR"]) == "holds (small)"
    assert words(found["SCALE-GAIN"]) == "holds (small)"
    assert words(found["SCALE-TAU"]) == "not run"
    on_record(tables, "b", {"carried": carried(1), "gains": [gain(-0.5, "differs")]})
    found = ledger(tmp_path / "empty", studies)
    assert words(found["SCALE-CORR"]) == "holds with limits (4 of 6 seeds, small)"
    assert words(found["SCALE-GAIN"]) == "fails (1 of 2 gains, small)"
    assert "(study b)" in found["SCALE-GAIN"].evidence
    on_record(tables, "a", {"gains": [gain(0.0, "undecided")]})
    on_record(tables, "b", {"gains": [gain(0.0, "undecided")]})
    found = ledger(tmp_path / "empty", studies)
    assert words(found["SCALE-GAIN"]) == "open (no difference, small)"


@pytest.mark.parametrize(("shift", "verdict"), [(0.05, "fails (small)"), (0.0, "holds (small)")])
def test_the_adaptive_rules_are_set_against_the_best_fixed_tau(
    tables: Path, shift: float, verdict: str
) -> None:
    arms = [arm for arm in sample("sweep")["order"] if arm.startswith("swe-f")]
    put(tables, "sweep", {"baseline": BASE, **{arm: shifted(0.0) for arm in arms}})
    put(tables, "sweep", {"baseline": BASE, "swe-a": shifted(shift), "swe-m": shifted(0.0)})
    (tables / "bert" / "tables" / "table1.json").unlink()
    (tables / "bert" / "tables" / "headline.json").unlink()
    found = ledger(tables)["SCALE-RULE"]
    assert words(found) == verdict
    assert "SWE-A (untied at 150 of 3000) minus the best fixed tau" in found.evidence


def put_scores(
    out: Path,
    gaps: dict[str, list[float]],
    *,
    flagged: bool = False,
    seeds: int = 3,
    table: str = "table2",
) -> dict[str, Any]:
    """Fine-tuned scores of a table: for each arm the points above the baseline, task by task."""
    names = ("cola", "rte", "sst-2")
    tasks = {}
    for number, task in enumerate(names):
        level = {"baseline": 0.0, **{arm: values[number] for arm, values in gaps.items()}}
        tunes = {
            arm: {
                s: [fine_tune(1e-3, 60 + s + by + 0.01 * s * bool(by), flagged=flagged)]
                for s in range(seeds)
            }
            for arm, by in level.items()
        }
        found = task_scores(tunes, dict.fromkeys(level, 1e-3), (1e-3,), "baseline")
        tasks[task] = {"task": task, **found["dev"]}
    scores = {"table": table, "reference": "baseline", "task_order": list(names), "tasks": tasks}
    scores["study"] = {"size": "12x64"}
    dump(out / "bert" / "finetune" / f"{table}.json", {"folder": FOLDER})
    dump(out / "bert" / "finetune" / FOLDER / f"{table}.json", scores)
    return scores


@pytest.mark.parametrize(
    ("f", "m", "verdict"),
    [
        ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0], "holds (small)"),
        ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], "no gain (small)"),
        ([1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], "fails (small)"),
    ],
)
def test_table_2_is_judged_by_its_tasks_where_they_were_run(
    tables: Path, f: list[float], m: list[float], verdict: str
) -> None:
    put_scores(tables, {"swe-f": f, "swe-m": m})
    record = ledger(tables)["TAB2"]
    assert words(record) == verdict
    better = sum(gap > 0 for gap in f)
    assert f"swe-f better on {better} of 3 tasks, worse on 0" in record.evidence
    assert "loss minus baseline's: swe-f" in record.evidence, "what the losses say stands beside"
    assert record.figure == "bert_table2_finetune"
    assert "python -m bert.finetune.arms table2" in record.command


def test_table_2_needs_the_doubled_baseline_and_intervals(tables: Path) -> None:
    put_scores(tables, {"swe-f": [1.0] * 3, "swe-m": [1.0] * 3, "baseline x2": [2.0, 2.0, 0.5]})
    record = ledger(tables)["TAB2"]
    assert words(record) == "no gain (small)"
    assert "at or above baseline x2 on 1 of 3" in record.evidence
    put_scores(tables, {"swe-f": [1.0] * 3, "swe-m": [1.0] * 3, "baseline x2": [0.5, 0.5, 2.0]})
    assert words(ledger(tables)["TAB2"]) == "holds (small)"
    put_scores(tables, {"swe-f": [1.0] * 3, "swe-m": [1.0] * 3}, flagged=True)
    assert words(ledger(tables)["TAB2"]) == "no gain (small)", "constant answers are no gain"
    put_scores(tables, {"swe-f": [1.0] * 3, "swe-m": [1.0] * 3}, seeds=1)
    assert words(ledger(tables)["TAB2"]) == "open (one seed: no interval)"
    put_scores(tables, {"swe-f": [1.0] * 3})
    assert ledger(tables)["TAB2"].evidence.startswith("loss minus"), "an arm is missing"


def test_the_tasks_of_table_1_are_judged_here_or_on_record(tables: Path, tmp_path: Path) -> None:
    """By the arms that were fine-tuned; a table of one's own speaks before the record."""
    assert words(ledger(tables)["TAB1-TASKS"]) == "not run"
    scores = put_scores(tmp_path / "other", {"swe-f": [0.0, 0.0, 1.0]}, table="sweep")
    studies = tmp_path / "records" / "studies"
    dump(studies.parent / "finetune" / "scores.json", scores)
    found = ledger(tables, studies)["TAB1-TASKS"]
    assert words(found) == "no gain (small)"
    assert "swe-f better on 1 of 3 tasks" in found.evidence
    assert found.evidence.endswith("on record")
    assert found.figure == "study_finetune"
    put_scores(tables, {"swe-f": [1.0] * 3, "swe-a": [1.0] * 3}, table="table1")
    own = ledger(tables, studies)["TAB1-TASKS"]
    assert (words(own), own.figure) == ("holds (small)", "bert_table1_finetune")
    assert found.command.startswith("python paper_repro.py sweep; python -m bert.finetune.arms")
