"""A language trains on two ranks as on one process, from one mode to the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bert.pretrain import main, pretrain
from bert.study.run_parser import parse
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from tests.swe.ranks.rank_runs import StopAfter
from tests.swe.ranks.ranks import run_ranks

# Float32 sums in another order, 1e-7 each, through twelve updates of Adam.
CLOSE = 1e-4


def arguments(language: str, out: Path, *more: str) -> list[str]:
    return [
        *("--language", language, "--scale", "smoke", "--steps", "12", "--device", "cpu"),
        *("--arm", "swe-f", "--set", "tau=0.5", "--out", str(out), *more),
    ]


def begun(language: str, out: Path) -> None:
    with pytest.raises(Interrupted):
        pretrain(parse(arguments(language, out, "--parallel", "fsdp")), StopAfter(4))


def continued(language: str, out: Path) -> None:
    assert main(arguments(language, out, "--parallel", "ddp")) == 0


def rows(out: Path) -> list[dict[str, Any]]:
    return read_lines(out / "swe-f-s0" / "metrics.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["composition", "hierarchy"])
def test_a_language_goes_on_on_other_ranks(language: str, tmp_path: Path) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    assert main(arguments(language, one)) == 0
    run_ranks(2, begun, language, many)
    run_ranks(2, continued, language, many)
    assert read_json(many / "swe-f-s0" / "environment.json")["parallel"] == "ddp"
    for kind in ("train", "valid"):
        mine, theirs = ([row for row in rows(out) if row["kind"] == kind] for out in (one, many))
        assert mine, kind
        for a, b in zip(mine, theirs, strict=True):
            assert a["step"] == b["step"]
            assert b["loss"] == pytest.approx(a["loss"], rel=CLOSE)
