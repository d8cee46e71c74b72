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
from swe.base.files import read_json
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


def test_a_fitted_map_is_fitted_on_the_run(
    source: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Charged, a function of the seed, and taken up only as it was begun."""
    text, small, _ = source
    runs = []
    for name, method in (("one", "ligo"), ("two", "mango"), ("again", "mango")):
        grow = ("--grow", method, "--size", "5x32", "--fit-steps", "3")
        assert main(started(text, tmp_path / name, small, "baseline", *grow)) == 0
        told = capsys.readouterr().out
        assert f"to be grown by {method} from 3x16 to 5x32, fitted for 3 updates" in told
        runs.append(tmp_path / name / "baseline-s0")
        assert config(runs[-1])["task"]["start"]["grow"] == {"method": method, "steps": 3}
        fitted = read_json(runs[-1] / "growth.json")
        assert (fitted["method"], fitted["steps"], len(fitted["losses"])) == (method, 3, 3)
        assert 3 < fitted["updates"] < 12, "the map costs, and less than the model"
        assert fitted["losses"][-1] < fitted["losses"][0]
    first, second, third = map(first_loss, runs)
    assert first != second == third
    grow = ("--grow", "mango", "--size", "5x32", "--fit-steps", "4")
    assert main(started(text, tmp_path / "two", small, "baseline", *grow)) == 2
    assert "was begun with --fit-steps 3, now 4" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--grow", "fpi"), "--grow fpi: say to what, with --size, such as --size 12x768"),
        (("--grow", "fpi", "--size", "3x24"), "--size = '3x24': must be a width that heads of 16"),
        (("--grow", "stacking", "--size", "2x16"), "depth = 2: must be an integer, at least 3"),
        (("--grow", "mango", "--size", "3x16", "--fit-steps", "0"), "--fit-steps = 0: must be an"),
        (("--grow", "fpi", "--size", "3x32", "--fit-steps", "9"), "with --grow ligo or mango"),
        (("--fit-steps", "9"), "--fit-steps = 9: must be with --grow ligo or mango"),
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
    found = grown(source, "2x96", "lemon", 0, fit=None, device="cpu")
    assert found.config.layer_norm_eps == pytest.approx(1e-12 * 2 / 3, rel=1e-12)
    said = r"from 2x64 to 2x96: another function \(a logit moved by \S+ of the largest\), as embed"
    assert re.search(said, found.note)
    assert grown(source, "2x128", "lemon", 0, fit=None, device="cpu").config.layer_norm_eps == 1e-12
    assert "the same function" in grown(source, "3x128", "lemon", 0, fit=None, device="cpu").note
