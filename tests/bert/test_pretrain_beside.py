"""What a pre-training run has beside its schedule: stored, charged, gone on with as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert.pretrain import main
from swe.base.files import read_json


def test_what_is_beside_the_schedule_is_part_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--language", "hierarchy", "--scale", "smoke", "--arm", "swe-f", "--steps", "4"]
    line += ["--set", "language.symbols=5", "--out", str(tmp_path), "--device", "cpu"]
    own = ["--progressive-layer-drop", "0.5", "--similarity", "0.1"]
    assert main([*line, *own]) == 0
    folder = tmp_path / "swe-f-s0"
    stored = read_json(folder / "config.json")["train"]
    assert stored["dropping"] == {"kind": "progressive-layer-drop", "theta": 0.5, "decay": 100.0}
    assert stored["similarity"] == {"strength": 0.1, "unit": 1}
    summary = read_json(folder / "summary.json")
    assert summary["layers_charged"] == "those that ran"
    assert 0 < summary["layers_run"] < 1
    assert main([*line, *own]) == 0, "the same command goes on"
    capsys.readouterr()
    assert main([*line, *own[:3], "0.2"]) == 2
    said = capsys.readouterr().err
    assert "was begun with --similarity 0.1, now 0.2: --similarity as it was goes on" in said
