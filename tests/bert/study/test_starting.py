"""Pre-training from an existing model: a run, an export, a Hugging Face folder, by the command."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bert.export import main as export
from bert.huggingface.export import load_run
from bert.model.start import untied_weights
from bert.pretrain import main
from swe.base.files import read_json, read_lines
from tests.bert.study.test_begun_run import LINE, words_of

PLAIN = [word.replace("=200", "=192") for word in LINE if word not in ("--arm", "swe-f")]
"""A vocabulary without padding rows, which an export does not have."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(text, run, export of it): a never tied Pre-LN run of 12 updates."""
    folder = tmp_path_factory.mktemp("source")
    text = folder / "text.txt"
    text.write_text(words_of(0))
    first = ["--arm", "baseline", "--steps", "12", "--size", "3x16"]
    assert main([*PLAIN, *first, "--text", str(text), "--out", str(folder / "out")]) == 0
    run = folder / "out" / "baseline-s0"
    assert export([str(run), str(folder / "export")]) == 0
    return text, run, folder / "export"


def started(text: Path, out: Path, start: Path, arm: str, *more: str) -> list[str]:
    return [
        *PLAIN, "--steps", "4", "--arm", arm, "--start-from", str(start), "--text", str(text),
        "--out", str(out), *more,
    ]  # fmt: skip


def first_loss(run: Path) -> float:
    rows = read_lines(run / "metrics.jsonl")
    return float(next(row["loss"] for row in rows if row["kind"] == "train"))


def config(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run / "config.json")
    return found


def test_from_a_run_and_from_its_export(source: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Untied, the first update's loss is the trained model's; the record has the digest."""
    text, run, folder = source
    ends = {}
    for name, start in (("run", run), ("export", folder)):
        assert main(started(text, tmp_path / name, start, "baseline")) == 0
        made = tmp_path / name / "baseline-s0"
        stored = config(made)["task"]
        assert list(stored["start"]) == ["sha256"], "nothing was tied"
        assert stored["model"]["layers"] == 3
        assert (
            stored["data"]["vocabulary_sha256"] == config(run)["task"]["data"]["vocabulary_sha256"]
        )
        ends[name] = first_loss(made)
    fresh = first_loss(run)
    assert ends["run"] == pytest.approx(ends["export"], rel=1e-6)
    assert ends["run"] < fresh - 0.05, (ends, fresh)


def test_the_first_update_of_a_slow_run_leaves_the_source(
    source: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """At a rate of nearly nothing the run ends where it began: every weight the source's, bit by
    bit but for the decay, which the rate scales too."""
    text, run, _ = source
    assert main(started(text, tmp_path, run, "baseline", "--set", "peak_lr=1e-30")) == 0
    begun = untied_weights(load_run(run)[0])
    ended = untied_weights(load_run(tmp_path / "baseline-s0")[0])
    assert begun.keys() == ended.keys()
    for name, tensor in begun.items():
        assert torch.equal(tensor, ended[name]), name


def test_tied_by_the_mean_or_by_one_layer(source: tuple[Path, Path, Path], tmp_path: Path) -> None:
    text, run, _ = source
    begun = untied_weights(load_run(run)[0])
    slow = ("--set", "peak_lr=1e-30")
    name = "inner.weight"
    layers = [begun[f"stack.blocks.{layer}.{name}"] for layer in range(3)]
    for more, wanted in (
        ((), sum(layer.double() for layer in layers) / 3),
        (("--start-tie", "2"), layers[2].double()),
    ):
        out = tmp_path / ("-".join(more) or "mean")
        assert main(started(text, out, run, "swe-f", *slow, *more)) == 0
        ended = untied_weights(load_run(out / "swe-f-s0")[0])
        for layer in range(3):
            found = ended[f"stack.blocks.{layer}.{name}"].double()
            torch.testing.assert_close(found, wanted, rtol=2**-24, atol=0)
        assert config(out / "swe-f-s0")["task"]["start"]["tie"] == (2 if more else "average")


def test_the_same_command_goes_on_and_another_start_is_refused(
    source: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, run, folder = source
    out = tmp_path / "out"
    assert main(started(text, out, run, "swe-f", "--max-minutes", "1e-9")) == 75
    assert main(started(text, out, run, "swe-f")) == 0
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if "dense.weight" in name)
    save_file({**weights, name: weights[name] + 1}, other / "model.safetensors", {"format": "pt"})
    plain = started(text, out, run, "swe-f")
    at = plain.index("--start-from")
    without = [*plain[:at], *plain[at + 2 :], "--size", "3x16"]
    for words, told in (
        (started(text, out, other, "swe-f"), "begun with another --start-from: sha256 "),
        (
            started(text, out, run, "swe-f", "--start-tie", "0"),
            "begun with --start-tie average, now",
        ),
        (without, "begun with another --start-from: --start-from as it was"),
    ):
        assert main(words) == 2
        assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_bare_encoder_gets_a_drawn_head(
    source: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, _, folder = source
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    weights = load_file(bare / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("lm_head")}
    assert len(kept) < len(weights)
    save_file(kept, bare / "model.safetensors", {"format": "pt"})
    assert main(started(text, tmp_path / "out", bare, "baseline")) == 0
    assert "has no language head; it is drawn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--start-tie", "3"), "--start-tie = 3: must be average, or a layer"),
        (("--start-tie", "mean"), "--start-tie mean: must be average, or the number of a layer"),
        (("--size", "4x16"), "--size 4x16: the model of --start-from"),
        (("--set", "placement=post"), "--set placement=post: the model of --start-from"),
        (("--set", "branch_scale=0.5"), "--set branch_scale=0.5: the model of --start-from"),
        (("--objective", "causal"), "--objective causal: the model of --start-from"),
        (("--set", "length=1024"), "--set length=1024: the model of --start-from"),
    ],
)
def test_what_does_not_fit_the_start_is_one_line(
    more: tuple[str, ...],
    told: str,
    source: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, run, _ = source
    words = started(text, tmp_path / "out", run, "swe-f", *more)
    if "length=1024" in more:
        words.remove("length=16")
    assert main(words) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out" / "swe-f-s0").exists()


def test_what_is_no_model_is_one_line(
    source: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, run, _ = source
    other = tmp_path / "vocab.txt"
    vocabulary = (run.parent / "data").glob("vocab-*.txt")
    other.write_text(next(vocabulary).read_text() + "more\n")
    for start, more, status, told in (
        (tmp_path / "none", (), 2, "none: is no folder (a run, an export, a checkpoint)"),
        (tmp_path, (), 1, "has no config.json: not a Hugging Face checkpoint"),
        (run, ("--vocab", str(other)), 1, "is not the vocabulary of"),
    ):
        assert main(started(text, tmp_path / "out", start, "swe-f", *more)) == status
        [line] = capsys.readouterr().err.splitlines()
        assert told in line
    assert main([*LINE, "--start-tie", "0", "--out", str(tmp_path / "out")]) == 2
    assert "--start-tie = '0': must be with --start-from" in capsys.readouterr().err
    language = ["--language", "composition", "--arm", "swe-f", "--out", str(tmp_path / "out")]
    assert main([*language, "--start-from", str(run)]) == 2
    assert "must be without --language" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
