"""Measuring a run for a forecast, and the command that does both."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch

from swe.base.errors import ConfigError
from swe.predict.measured import ARMS
from swe.probes import predict
from swe.probes.curvature import curvature
from swe.probes.measure import SCHEDULES, cost, measure
from swe.probes.rehearsal import enter, rehearse
from swe.probes.run import Run
from swe.sharing.schedule import EqualStart
from tests.swe.probes.runs import loss_of, make

UPDATES = 160
SCRIPT = """
from tests.swe.probes.runs import make as same

def make():
    return same()

def broken():
    return 3
"""


def test_it_measures_what_the_probes_measure() -> None:
    before = torch.get_rng_state()
    found = measure(make, UPDATES)
    assert torch.equal(before, torch.get_rng_state())
    for losses, count in ((found.short, 5), (found.long, 10)):
        for arm in ARMS:
            alone = rehearse(make, SCHEDULES[arm], count).loss
            assert losses[arm] == math.log10(alone)
    run = make()
    stack = enter(run, EqualStart(), UPDATES).stack
    alone_curvature = curvature(
        stack, lambda: torch.stack([loss_of(run.model, t) for t in range(4)]).mean()
    )
    assert found.sharpness == alone_curvature.sharpness
    assert found.commutator == alone_curvature.commutator


def test_its_arms_are_those_of_a_forecast() -> None:
    assert tuple(SCHEDULES) == ARMS


def test_its_cost_is_counted() -> None:
    told: list[tuple[int, int, str]] = []
    measure(make, UPDATES, progress=lambda *one: told.append(one))
    assert told[-1][:2] == (cost(UPDATES).updates, cost(UPDATES).updates)
    assert cost(UPDATES).updates == 6 * (5 + 10)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


def test_impossible_measurements_are_refused() -> None:
    def never() -> Run:
        raise AssertionError("a run was begun")

    with pytest.raises(ConfigError, match="updates = 60: too few; at least 160"):
        measure(never, 60)
    with pytest.raises(ConfigError, match="updates = 0: must be"):
        measure(never, 0)
    with pytest.raises(ConfigError, match=r"share = 0\.5: must be one of"):
        measure(never, UPDATES, share=0.5)
    with pytest.raises(ConfigError, match="floor"):
        measure(make, UPDATES, floor=100.0)


def test_a_run_that_diverges_counts_as_untrained() -> None:
    found = measure(partial(make, peak=1e30), UPDATES)
    assert found.long["equal-start"] == pytest.approx(found.start)


def test_the_command_says_it_in_words_and_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "my_run.py"
    script.write_text(SCRIPT)
    call = [f"{script}:make", "--updates", str(UPDATES)]
    assert predict.main(call) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Sharing ")
    assert f"of {UPDATES} updates" in said.out
    assert "rehearsals: 90 updates, 56% of one run" in said.err
    assert predict.main([*call, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] in ("helps", "no gain", "hurts")
    assert found["low"] <= found["change"] <= found["high"] or found["sureness"] < 1


@pytest.mark.parametrize(
    ("where", "word"),
    [
        ("my_run.py", "FILE.py:FUNCTION"),
        ("none.py:make", "no such file"),
        ("{script}:nothing", "no function nothing"),
        ("{script}:broken", "a Run"),
    ],
)
def test_the_command_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str, word: str
) -> None:
    script = tmp_path / "my_run.py"
    script.write_text(SCRIPT)
    assert predict.main([where.format(script=script), "--updates", str(UPDATES)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("predict: ")
    assert word in error
