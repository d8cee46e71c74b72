"""Pre-training from a smaller model, grown, by the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bert.data.vocab import Vocabulary
from bert.model.config import named_config
from bert.model.encoder import build_bert
from bert.pretrain import main
from bert.study.growing import grown
from bert.study.starting import Source
from tests.bert.study.test_starting import config, first_loss, source, started

__all__ = ["source"]


@pytest.mark.parametrize("folder", [1, 2], ids=["run", "export"])
def test_a_grown_model_begins_where_the_small_one_was(
    folder: int, source: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its first update's loss is the small model's own, dropout being off."""
    text, small = source[0], source[folder]
    off = ("--set", "dropout=0.0")
    assert main(started(text, tmp_path / "plain", small, "baseline", *off)) == 0
    grow = ("--grow", "identity", "--size", "5x32")
    assert main(started(text, tmp_path / "grown", small, "baseline", *grow, *off)) == 0
    told = capsys.readouterr().out
    assert "grown by identity from 3x16 to 5x32: the same function, logits within " in told
    runs = [tmp_path / name / "baseline-s0" for name in ("plain", "grown")]
    model = config(runs[1])["task"]["model"]
    assert (model["layers"], model["hidden"], model["heads"]) == (5, 32, 2)
    assert first_loss(runs[1]) == pytest.approx(first_loss(runs[0]), rel=1e-6)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--grow", "fpi"), "--grow fpi: say to what, with --size, such as --size 12x768"),
        (("--grow", "fpi", "--size", "3x24"), "--size = '3x24': must be a width that heads of 16"),
        (("--grow", "stacking", "--size", "2x16"), "depth = 2: must be an integer, at least 3"),
        (("--size", "6x16"), "leave --size out, or say with --grow how to get there"),
    ],
)
def test_what_cannot_be_grown_is_one_line(
    more: tuple[str, ...],
    told: str,
    source: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, run, _ = source
    assert main(started(text, tmp_path / "out", run, "swe-f", *more)) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out" / "swe-f-s0").exists()


def test_a_width_that_is_no_multiple_scales_the_epsilon(vocabulary: Vocabulary) -> None:
    """No weight says it: the run's configuration takes it from the grown model."""
    small = build_bert(named_config("2x64", vocabulary=vocabulary.size), 0)
    source = Source(Path("small"), small, vocabulary)
    found = grown(source, "2x96", "lemon", 0)
    assert found.config.layer_norm_eps == pytest.approx(1e-12 * 2 / 3, rel=1e-12)
    said = r"from 2x64 to 2x96: another function \(a logit moved by \S+ of the largest\), as embed"
    assert re.search(said, found.note)
    assert grown(source, "2x128", "lemon", 0).config.layer_norm_eps == 1e-12
    assert "the same function" in grown(source, "3x128", "lemon", 0).note
