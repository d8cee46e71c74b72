"""The command with --objective causal: run, export, start from either, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bert.export import main as export
from bert.finetune.learning.start import open_start
from bert.pretrain import main, pretrain
from bert.study.run_parser import parse
from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from tests.bert.study.test_begun_run import words_of
from tests.bert.study.test_starting import PLAIN
from tests.swe.ranks.rank_runs import StopAfter
from tests.swe.ranks.ranks import run_ranks

# Float32 sums in another order, 1e-7 each, through twelve updates of Adam.
CLOSE = 1e-4


def arguments(text: Path, out: Path, *more: str, objective: str = "causal") -> list[str]:
    chosen = ["--objective", objective, "--arm", "swe-f", "--steps", "12", "--size", "3x16"]
    return [*PLAIN, *chosen, "--text", str(text), "--out", str(out), *more]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(text, folder of a finished SWE-F run, its export)."""
    folder = tmp_path_factory.mktemp("causal")
    (folder / "text.txt").write_text(words_of(0))
    assert main(arguments(folder / "text.txt", folder / "out")) == 0
    assert export([str(folder / "out" / "swe-f-s0"), str(folder / "export")]) == 0
    return folder / "text.txt", folder / "out" / "swe-f-s0", folder / "export"


def test_the_record_says_what_was_predicted(made: tuple[Path, Path, Path]) -> None:
    _, run, exported = made
    task = read_json(run / "config.json")["task"]
    assert (task["task"], task["model"]["causal"]) == ("causal language modelling", True)
    valid = read_json(run / "summary.json")["valid"]
    assert valid["perplexity"] == math.exp(valid["loss"])
    assert read_json(exported / "config.json")["architectures"] == [
        "RobertaPreLayerNormForCausalLM"
    ]


def test_a_start_brings_its_objective(
    made: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, run, exported = made
    for name, source in (("run", run), ("export", exported)):
        words = [*PLAIN, "--arm", "baseline", "--steps", "4", "--text", str(text)]
        words += ["--start-from", str(source), "--out", str(tmp_path / name)]
        assert main([*words, "--objective", "masked"]) == 2
        told = capsys.readouterr().err.splitlines()[-1]
        assert f"--objective masked: the model of --start-from {source} has causal" in told
        assert main(words) == 0
        made_here = read_json(tmp_path / name / "baseline-s0" / "config.json")["task"]
        assert made_here["model"]["causal"]
        rows = read_lines(tmp_path / name / "baseline-s0" / "metrics.jsonl")
        first = next(row["loss"] for row in rows if row["kind"] == "train")
        end = [row["loss"] for row in read_lines(run / "metrics.jsonl") if row["kind"] == "train"]
        assert abs(first - end[-1]) < abs(first - end[0])
    assert made_here["start"] == {"sha256": made_here["start"]["sha256"]}


def test_another_objective_does_not_continue_a_run(
    made: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text, run, _ = made
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(arguments(text, run.parent, objective="masked")) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "begun with --objective causal, now masked: --objective causal goes on" in told
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(arguments(text, run.parent)) == 0, "the same command finds it finished"


def test_fine_tuning_refuses_a_decoder(made: tuple[Path, Path, Path]) -> None:
    for source in made[1:]:
        with pytest.raises(ConfigError, match=r"causal: .* start from a model with --objective"):
            open_start(source)


def begun(text: Path, out: Path) -> None:
    with pytest.raises(Interrupted):
        pretrain(parse(arguments(text, out, "--parallel", "fsdp")), StopAfter(4))


def continued(text: Path, out: Path) -> None:
    assert main(arguments(text, out, "--parallel", "ddp")) == 0


def rows_of(out: Path, kind: str) -> list[dict[str, Any]]:
    found = read_lines(out / "swe-f-s0" / "metrics.jsonl")
    return [row for row in found if row["kind"] == kind]


@pytest.mark.slow
def test_a_causal_run_goes_on_on_other_ranks(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Slices until the untie, replicas after it: the numbers of one process."""
    text, run, _ = made
    run_ranks(2, begun, text, tmp_path)
    run_ranks(2, continued, text, tmp_path)
    for kind in ("train", "valid"):
        pairs = list(zip(rows_of(run.parent, kind), rows_of(tmp_path, kind), strict=True))
        assert pairs, kind
        for mine, theirs in pairs:
            assert theirs["loss"] == pytest.approx(mine["loss"], rel=CLOSE)
