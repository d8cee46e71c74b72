"""A run taken on to more updates: its rate, its record, and the same run in one piece."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swe.base.config import from_dict, to_dict
from swe.base.errors import CheckpointError, ConfigError
from swe.base.files import read_json, read_lines, write_json
from swe.base.interrupt import Interrupted
from swe.run.extend import extend, extended
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import CycleReversed, SequenceShared, SweFixed
from tests.swe.run import crash

FIXED = replace(crash.SPLITTING, schedule=SweFixed(until=0.5))
"""24 updates, 4 of warm-up, untied at 12."""


class StopAt:
    """Ask for a stop before the given update of a run that begins at 0."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def by_hand(config: TrainConfig, at: int, old: int, new: int) -> list[float]:
    """Every rate of a run extended once, from the two lines drawn by numpy alone."""
    peak, warmup = config.optimizer.peak_lr, 4
    steps = np.arange(new)
    rising = peak * (steps + 1) / warmup
    lines = {
        n: np.where(steps < warmup, rising, peak * (n - steps) / (n - warmup)) for n in (old, new)
    }
    share = np.clip((steps - at + 1) / warmup, 0, 1)
    start = peak * (old - at) / (old - warmup)
    after = start + share * (lines[new] - start)
    return list(np.where(steps < at, lines[old], after))


@pytest.mark.parametrize("at", [24, 10])
def test_the_rate_climbs_to_the_longer_runs_line(at: int) -> None:
    longer = extended(FIXED, at, 60)
    rates = [longer.learning_rate(step) for step in range(60)]
    assert rates == pytest.approx(by_hand(FIXED, at, 24, 60), rel=1e-14)
    assert rates[:at] == [FIXED.learning_rate(step) for step in range(at)]
    assert longer.learning_rate(60) == 0
    assert max(np.diff(rates[at - 1 :])) <= FIXED.optimizer.peak_lr / 4, "as in warm-up"


def test_extended_twice() -> None:
    once = extended(FIXED, 24, 60)
    twice = extended(once, 60, 100)
    assert [twice.learning_rate(t) for t in range(60)] == [once.learning_rate(t) for t in range(60)]
    line = [FIXED.optimizer.peak_lr * (100 - t) / 96 for t in range(63, 100)]
    assert [twice.learning_rate(t) for t in range(63, 100)] == pytest.approx(line, rel=1e-14)
    assert (twice.extended_at, twice.extended_from) == ((24, 60), (24, 60))
    assert from_dict(TrainConfig, to_dict(twice)) == twice
    assert "extended_at" not in to_dict(FIXED), "older folders do not have it"


@pytest.mark.parametrize("kind", [SweFixed, SequenceShared, CycleReversed])
def test_tau_stays_the_update_that_it_was(
    kind: type[SweFixed] | type[SequenceShared] | type[CycleReversed],
) -> None:
    for until in (0.25, 6):
        longer = extended(replace(FIXED, schedule=kind(until=until)), 24, 60)
        assert longer.schedule == kind(until=6)


def test_without_a_warm_up_it_is_on_the_line_at_once() -> None:
    config = replace(FIXED, optimizer=OptimizerConfig(peak_lr=1e-2, warmup=0))
    assert extended(config, 24, 60).learning_rate(24) == pytest.approx(1e-2 * 36 / 60, rel=1e-14)


@pytest.mark.parametrize("config", [FIXED, crash.SPLITTING], ids=["swe-f", "swe-m"])
@pytest.mark.parametrize("at", [24, 9])
def test_in_pieces_it_is_the_run_in_one_piece(config: TrainConfig, at: int, tmp_path: Path) -> None:
    """Finished, or stopped at 9 and taken on from there; killed in the longer part too."""
    folder = tmp_path / "run"
    if at == 24:
        train(crash.TASK, config, folder)
    else:
        with pytest.raises(Interrupted):
            train(crash.TASK, config, folder, stop=StopAt(at))
    before = read_json(folder / "config.json")
    longer = extend(folder, 40)
    assert longer == extended(config, at, 40)
    assert read_json(folder / "config.24.json") == before
    assert (folder / "summary.24.json").exists() == (at == 24)
    with pytest.raises(Interrupted):
        train(crash.TASK, longer, folder, stop=StopAt(5))
    found = train(crash.TASK, longer, folder)
    train(crash.TASK, longer, tmp_path / "whole")
    assert not crash.differences(crash.outcome(folder, 40), crash.outcome(tmp_path / "whole", 40))
    assert (found["steps"], found["extended_at"], found["extended_from"]) == (40, [at], [24])
    rows = [row["step"] for row in read_lines(folder / "metrics.jsonl") if row["kind"] == "valid"]
    assert rows == [8, 16, 24, 32, 40]
    assert train(crash.TASK, longer, folder) == read_json(folder / "summary.json")
    if config is FIXED:
        assert [e["step"] for e in read_lines(folder / "events.jsonl")] == [12], "tau stays"


def test_an_end_off_the_grid_keeps_its_evaluation(tmp_path: Path) -> None:
    config = replace(FIXED, steps=22)
    before = train(crash.TASK, config, tmp_path)["valid"]
    train(crash.TASK, extend(tmp_path, 30), tmp_path)
    rows: list[dict[str, Any]] = [
        row for row in read_lines(tmp_path / "metrics.jsonl") if row["kind"] == "valid"
    ]
    assert [row["step"] for row in rows] == [8, 16, 22, 24, 30]
    assert {name: rows[2][name] for name in before} == before


def test_what_cannot_be_extended_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run to extend"):
        extend(tmp_path / "none", 40)
    folder = tmp_path / "run"
    train(crash.TASK, FIXED, folder)

    def files() -> dict[Path, bytes]:
        return {
            path: path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != ".lock"
        }

    before = files()
    for steps in (24, 12):
        with pytest.raises(ConfigError, match=f"steps = {steps}: must be more than the 24"):
            extend(folder, steps)
    assert files() == before
    state = folder / "checkpoints/step-00000024"
    state.rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="has no checkpoint to extend"):
        extend(folder, 40)
    (tmp_path / "elsewhere").rename(state)
    write_json(folder / "config.json", read_json(folder / "config.json") | {"task": {}})
    with pytest.raises(CheckpointError, match="of another run"):
        extend(folder, 40)


@pytest.mark.parametrize("done", [1, 2])
def test_killed_while_it_is_extended(
    done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first and the second of three files: the old run, and the same call goes on."""
    train(crash.TASK, FIXED, tmp_path)
    written: list[Path] = []

    def dying(path: Path, value: Any) -> None:
        if len(written) == done - 1 and done == 1:
            write_json(path, value)
            raise KeyboardInterrupt
        if path.name == "config.json":
            raise KeyboardInterrupt
        write_json(path, value)
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr("swe.run.extend.write_json", dying)
        with pytest.raises(KeyboardInterrupt):
            extend(tmp_path, 40)
    assert train(crash.TASK, FIXED, tmp_path)["steps"] == 24
    assert train(crash.TASK, extend(tmp_path, 40), tmp_path)["steps"] == 40
