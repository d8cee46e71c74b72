"""The command that fine-tunes: mistakes, other code, workers, signals, the page's own lines."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bert.finetune.__main__ import main
from bert.finetune.study import open_task
from evidence.closure import code_digest
from figures.bert.finetune import main as draw_main
from tests.command_lines import instead
from tests.processes import end_all, interrupt, kill_one


def command(model: Path, data: Path, out: Path, *more: str) -> int:
    return main(
        instead(
            [
                str(model),
                "--data",
                str(data),
                "--out",
                str(out),
                "--task",
                "sst-2",
                "--rates",
                "0.01",
                "--seeds",
                "2",
                "--epochs",
                "1",
                "--max-length",
                "24",
                "--device",
                "cpu",
            ],
            more,
        )
    )


def test_mistakes_are_told_in_one_line(
    run_folder: Callable[[str], Path],
    glue: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    untied = run_folder("untied")
    cases: list[tuple[Path, Path, list[str], int, str]] = [
        (untied, glue, ["--max-length", "500"], 2, "max_length = 500: must be at most the model"),
        (untied, tmp_path, [], 1, "neither it nor SST-2/"),
        (untied, glue, ["--jobs", "0"], 2, "--jobs = 0"),
        (untied, glue, ["--train", "x.json"], 2, "given for SQuAD alone"),
        (untied, glue, ["--rates", "3"], 2, "rates = 3.0: must be in (0, 1]"),
        (tmp_path / "nothing", glue, [], 1, "no run folder and no checkpoint"),
    ]
    for model, data, more, status, message in cases:
        assert command(model, data, tmp_path / "out", *more) == status
        error = capsys.readouterr().err
        assert error.startswith("bert.finetune: ")
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_other_code_tunes_again_and_asks_about_the_half_done(
    run_folder: Callable[[str], Path],
    glue: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    untied, runs = run_folder("untied"), tmp_path / "runs"
    assert command(untied, glue, tmp_path) == 0
    [own] = runs.iterdir()
    assert own.name == f"sst-2-{code_digest([open_task.__module__])[:10]}"
    written = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    assert command(untied, glue, tmp_path) == 0
    monkeypatch.setattr("evidence.begun.code_digest", lambda modules: "c" * 64)
    late = ("--max-minutes", "1e-6")
    assert command(untied, glue, tmp_path, *late) == 75
    assert {path.name for path in runs.iterdir()} == {own.name, f"sst-2-{'c' * 10}"}
    monkeypatch.setattr("evidence.begun.code_digest", lambda modules: "d" * 64)
    capsys.readouterr()
    assert command(untied, glue, tmp_path) == 2
    assert f"sst-2-{'c' * 10}: half done by commit" in capsys.readouterr().err
    assert command(untied, glue, tmp_path, "--other-code", "continue") == 0
    assert len(list(runs.iterdir())) == 2
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*")} == written
    table = json.loads((tmp_path / "sst-2" / "table.json").read_text())
    assert all([one["step"] for one in row["commits"]] == [0] for row in table["rows"])


@pytest.mark.slow
def test_workers_give_what_this_process_gives(
    run_folder: Callable[[str], Path], glue: Path, tmp_path: Path
) -> None:
    untied = run_folder("untied")
    for jobs in ("1", "2"):
        assert command(untied, glue, tmp_path / jobs, "--epochs", "0.5", "--jobs", jobs) == 0
    tables = [
        json.loads((tmp_path / jobs / "sst-2" / "table.json").read_text()) for jobs in ("1", "2")
    ]
    assert tables[0]["rates"] == tables[1]["rates"]


@pytest.mark.slow  # three processes that load torch; tests/swe/run/test_pool.py has the quick ones
@pytest.mark.parametrize(
    ("send", "status", "words"),
    [
        (end_all, 75, "stopped by SIGTERM; the same command goes on"),
        (kill_one, 1, "a worker process was killed (out of memory?); what was saved is kept"),
    ],
)
def test_signals_to_the_workers_end_the_command_with_all_saved(
    run_folder: Callable[[str], Path],
    glue: Path,
    tmp_path: Path,
    send: Callable[[int], None],
    status: int,
    words: str,
) -> None:
    arguments = [
        str(run_folder("untied")),
        "--task",
        "sst-2",
        "--data",
        str(glue),
        "--out",
        str(tmp_path),
        "--seeds",
        "1",
        "--batch",
        "8",
        "--max-length",
        "24",
        "--rates",
        "1e-3",
        "1e-4",
        "--epochs",
        "1000",
        "--jobs",
        "2",
    ]

    def ready() -> bool:
        return len(list(tmp_path.glob("runs/*/*/metrics.jsonl"))) == 2

    ended = interrupt(["-m", "bert.finetune", *arguments], ready, send)
    assert (ended.status, "Traceback" in ended.errors) == (status, False), ended.errors
    assert words in ended.errors
    saved = {path.parents[1].name for path in tmp_path.glob("runs/*/*/checkpoints/*")}
    assert len(saved) == (2 if send is end_all else 1)


def test_the_commands_of_the_documentation(
    run_folder: Callable[[str], Path],
    glue: Path,
    squad: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Word for word, from a run that stayed tied, on small files under the names used there."""
    page = (Path(__file__).parents[3] / "docs" / "finetune.md").read_text(encoding="utf-8")
    block = page.split("<!-- run -->\n```bash\n")[1].split("```")[0]
    lines = block.replace("\\\n", " ").strip().split("\n")
    run = run_folder("tied")
    shutil.copytree(run, tmp_path / "results" / "bert" / "study" / "swe-f-s0")
    shutil.copytree(run.parents[2] / "data", tmp_path / "results" / "data")
    (tmp_path / "glue").symlink_to(glue)
    (tmp_path / "squad").symlink_to(squad)
    monkeypatch.chdir(tmp_path)
    programs = {"bert.finetune": main, "figures.bert.finetune": draw_main}
    for line in lines:
        python, flag, module, *arguments = shlex.split(line)
        assert (python, flag) == ("python", "-m")
        assert programs[module](arguments) == 0
    out = capsys.readouterr().out
    assert "sst-2: 2 rates x 2 seeds, 200 rows, 6 updates of 32" in out
    tables = {
        task: json.loads((tmp_path / "tuned" / task / "table.json").read_text())
        for task in ("sst-2", "sts-b", "squad-2.0")
    }
    assert [(r["rate"], r["seed"]) for r in tables["sst-2"]["rows"]] == [
        (2e-5, 0), (2e-5, 1), (5e-5, 0), (5e-5, 1),
    ]  # fmt: skip
    for table in tables.values():
        assert " ".join(f"{value:.1f}" for value in table["selected"]["values"]) in out
    made = {
        path.relative_to(tmp_path / "tuned").as_posix()
        for path in tmp_path.rglob("*")
        if path.is_relative_to(tmp_path / "tuned")
    }
    assert made >= {
        "submission/SST-2.tsv",
        "submission/squad-2.0/predictions.json",
        "submission/squad-2.0/na_prob.json",
        "tables/finetune.csv",
        "figures/finetune.png",
    }
