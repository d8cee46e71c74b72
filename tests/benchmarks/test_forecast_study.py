"""A study's forecast: of the very run that the study makes, and on record before it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.forecast_study import begin, forecast_study, main
from bert.study.language_study import build_language_task
from bert.study.table_arms import baseline, swe_f
from swe.base.errors import ConfigError
from swe.base.files import read_json
from swe.predict.measured import SHARES, lengths
from swe.probes.rehearsal import rehearse
from swe.run.loop import train
from tests.bert.study.test_languages import STUDY

LONG = replace(STUDY, steps=160, rates=(1e-3, 2e-3), accumulation=2)


@pytest.mark.parametrize("arm", [baseline(), swe_f(STUDY)], ids=lambda arm: arm.name)
def test_a_rehearsal_of_all_updates_is_the_run(arm: object, tmp_path: Path) -> None:
    """Warm-up, decay, clipping, accumulation and weight decay are the run's.

    To a rounding of float32: the rate is a factor of the peak, which moves its last digit.
    """
    task = build_language_task(STUDY)
    assert isinstance(arm, type(baseline()))
    config = replace(STUDY.arm_config(arm, 2e-3, 5), accumulation=2, probe_interval=0)
    found = rehearse(lambda: begin(task, config), arm.schedule, config.steps)
    valid = train(task, config, tmp_path)["valid"]
    assert found.loss == pytest.approx(valid["loss"] - valid["floor"], rel=2**-23)
    assert not math.isclose(found.loss, found.start_loss, rel_tol=1e-3), "else nothing was trained"


def test_a_forecast_is_made_on_a_tuning_seed_and_says_of_what() -> None:
    pieces: list[int] = []
    found = forecast_study(
        LONG,
        build_language_task(LONG),
        2e-3,
        share=SHARES[0],
        progress=lambda done, total, what: pieces.append(total),
    )
    assert found["seed"] == LONG.tuning[0]
    assert found["seed"] not in LONG.headline_seeds
    assert set(pieces) == {6 * sum(lengths(LONG.steps, SHARES[0]))}
    assert found["forecast"]["verdict"] in ("helps", "no gain", "hurts")
    assert found["study"]["language"]["hops"] == 2
    assert found["measured"]["updates"] == LONG.steps


def test_what_cannot_be_forecast_is_refused() -> None:
    task = build_language_task(LONG)
    with pytest.raises(ConfigError, match=r"rate = 0\.5: must be one of 0\.001, 0\.002"):
        forecast_study(LONG, task, 0.5)
    with pytest.raises(ConfigError, match="set precision=float32"):
        forecast_study(replace(LONG, precision="auto"), task, 2e-3)


def test_the_command_writes_one_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "forecast.json"
    asked = ["composition", "--scale", "smoke", "--rate", "1e-3", "--share", "0.0625"]
    assert main([*asked, "--set", "steps=160", "size=2x16", "--out", str(out)]) == 0
    record = read_json(out)
    assert (record["table"], record["study"]["size"]) == ("composition", "2x16")
    assert record["environment"]["commit"]
    assert "/" not in record["environment"]["command"], "where it lay says nothing elsewhere"
    assert main(["headline", "--rate", "1e-3", "--out", str(out)]) == 2
    assert "is a study on text; name it and a folder: --work" in capsys.readouterr().err
    assert read_json(out) == record
