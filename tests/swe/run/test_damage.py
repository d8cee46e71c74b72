"""Damaged and foreign checkpoints: refused by name, the previous good one used and named.

Damage is judged by what a user sees: a run that goes on from the older checkpoint ends with the
unbroken run's bits, or the run stops with one line; never another result.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swe.base.errors import CheckpointError, ConfigError, RunFolderError
from swe.base.files import read_lines
from swe.base.interrupt import Interrupted
from swe.run import checkpoint
from swe.run.loop import train
from tests.swe.run import crash
from tests.swe.run.damage import flip, forge, truncate

CONFIG = replace(crash.SPLITTING, steps=12, checkpoint_interval=3)
FILES = ("state.json", "weights.safetensors", "optimizer.safetensors")
STATE = {"swe", "rows", "seconds", "loss_sum", "loss_count", "config"}


def stop_at(step: int) -> Callable[[], bool]:
    calls = iter(range(step + 1))
    return lambda: next(calls) == step


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(crash.TASK, CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped before update 8, with checkpoints of updates 6 and 8."""
    folder = tmp_path_factory.mktemp("halfway") / "run"
    with pytest.raises(Interrupted):
        train(crash.TASK, CONFIG, folder, stop=stop_at(8))
    return folder


def newest(folder: Path) -> Path:
    return folder / "checkpoints" / "step-00000008"


def goes_on_from_the_older(folder: Path, whole: Path) -> list[str]:
    """Continue the run; it must say what it refused and used, and end like the whole one."""
    said: list[str] = []
    train(crash.TASK, CONFIG, folder, warn=said.append)
    assert not crash.differences(crash.outcome(folder, 12), crash.outcome(whole, 12))
    [line] = said
    assert "step-00000008" in line
    assert line.endswith("step-00000006 is used instead")
    assert "\n" not in line
    return said


@given(data=st.data(), file=st.sampled_from(FILES))
def test_one_flipped_bit_anywhere_is_found(
    data: st.DataObject, file: str, halfway: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("flip") / "step-00000008"
    shutil.copytree(newest(halfway), path)
    before = checkpoint.verify(path)
    flip(path / file, data.draw(st.integers(0, 8 * (path / file).stat().st_size - 1)))
    if file == "state.json":  # white space between JSON's words carries nothing
        refused: list[str] = []
        try:
            found = checkpoint.verify(path)
        except CheckpointError as error:
            refused.append(str(error))
        else:
            assert (found.step, found.state) == (before.step, before.state)
        assert not any("\n" in line for line in refused)
    else:
        with pytest.raises(CheckpointError, match=f"{file} is truncated or changed"):
            checkpoint.verify(path)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("bit", [3, 8 * 20 + 1, -5])
def test_after_a_flipped_bit_the_older_checkpoint_goes_on(
    file: str, bit: int, halfway: Path, whole: Path, tmp_path: Path
) -> None:
    """In the first byte (safetensors: the header's length), in the header, in the last byte."""
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    flip(newest(folder) / file, bit if file != "state.json" or bit > 0 else -12)
    goes_on_from_the_older(folder, whole)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("left", [0, 1, 7, 8, 100])
def test_after_a_truncated_file_the_older_checkpoint_goes_on(
    file: str, left: int, halfway: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    truncate(newest(folder) / file, left)
    goes_on_from_the_older(folder, whole)


@pytest.mark.parametrize(
    ("version", "message"),
    [(1, "format version 1, this"), (3, "format version 3, this"), ("2", "format version '2',")],
)
def test_other_versions_are_refused_by_number(
    version: object, message: str, halfway: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    forge(newest(folder), version=version)
    [line] = goes_on_from_the_older(folder, whole)
    assert message in line


def test_a_checkpoint_of_another_run_is_refused_by_name(
    halfway: Path, whole: Path, tmp_path: Path
) -> None:
    """Same shapes, same schedule, another seed: only its configuration's digest tells."""
    folder, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(halfway, folder)
    with pytest.raises(Interrupted):
        train(crash.TASK, replace(CONFIG, seed=4), other, stop=stop_at(8))
    shutil.rmtree(newest(folder))
    shutil.copytree(newest(other), newest(folder))
    [line] = goes_on_from_the_older(folder, whole)
    assert "of another run (of update 8, configuration" in line


def test_a_checkpoint_beyond_the_run_pushes_no_good_one_out(
    halfway: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    beyond = folder / "checkpoints" / "step-00000099"
    shutil.copytree(newest(folder), beyond)
    forge(beyond, step=99)
    said: list[str] = []
    with pytest.raises(Interrupted):
        train(crash.TASK, CONFIG, folder, warn=said.append, stop=stop_at(2))
    train(crash.TASK, CONFIG, folder, warn=said.append)
    assert ["step-00000008 is used" in said[0], "step-00000010 is used" in said[1]] == [True, True]
    assert not crash.differences(crash.outcome(folder, 12), crash.outcome(whole, 12))
    assert (folder / "checkpoints" / "step-00000012" / "state.json").exists()


def test_all_refused_is_one_line_and_changes_nothing(halfway: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    for path in (folder / "checkpoints").iterdir():
        truncate(path / "weights.safetensors", 50)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    said: list[str] = []
    with pytest.raises(
        CheckpointError, match=r"none of its 2 checkpoints can be used: .*step-0000"
    ):
        train(crash.TASK, CONFIG, folder, warn=said.append)
    assert len(said) == 2
    assert before == {p: p.read_bytes() for p in before}


def test_a_folder_of_another_configuration_is_left_untouched(halfway: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=r"another configuration \(train.steps: 12 there, 13"):
        train(crash.TASK, replace(CONFIG, steps=13), folder)
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_removed_checkpoints_are_said_and_the_run_starts_over(
    halfway: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    shutil.rmtree(folder / "checkpoints")
    said: list[str] = []
    train(crash.TASK, CONFIG, folder, warn=said.append)
    rows = sum(len(read_lines(halfway / f"{name}.jsonl")) for name in ("metrics", "events"))
    assert said == [f"{folder}: no checkpoint beside its {rows} rows; starts over"]
    assert not crash.differences(crash.outcome(folder, 12), crash.outcome(whole, 12))


def test_checkpoints_removed_during_the_run_are_written_again(whole: Path, tmp_path: Path) -> None:
    calls = iter(range(99))

    def remove() -> bool:
        if next(calls) == 7:
            shutil.rmtree(tmp_path / "checkpoints")
        return False

    train(crash.TASK, CONFIG, tmp_path, stop=remove)
    assert not crash.differences(crash.outcome(tmp_path, 12), crash.outcome(whole, 12))


ROWS = {
    "line 2 is not JSON": lambda rows: [rows[0], b"{broken", *rows[2:]],
    "line 1 is not a JSON object": lambda rows: [b"[1]", *rows[1:]],
    "has 2 of the": lambda rows: rows[:2],
}


@pytest.mark.parametrize("message", ROWS)
def test_damaged_rows_are_one_line(message: str, halfway: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    metrics = folder / "metrics.jsonl"
    rows = metrics.read_bytes().splitlines()
    metrics.write_bytes(b"".join(row + b"\n" for row in ROWS[message](rows)))
    with pytest.raises(RunFolderError, match=message) as told:
        train(crash.TASK, CONFIG, folder)
    assert "\n" not in str(told.value)
    assert "metrics.jsonl" in str(told.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 200_000, b"7"])
@pytest.mark.parametrize("name", ["config.json", "summary.json"])
def test_a_damaged_file_of_the_folder_is_named(
    name: str, content: bytes, halfway: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    (folder / name).write_bytes(content)
    with pytest.raises((RunFolderError, ConfigError)) as told:
        train(crash.TASK, CONFIG, folder)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 1000
    assert name in str(told.value) or "another configuration" in str(told.value)


def test_the_state_file_holds_what_the_tests_above_change(halfway: Path) -> None:
    head = json.loads((newest(halfway) / "state.json").read_text())
    assert head.keys() == {"format", "version", "step", "sha256", "state"}
    assert head["state"].keys() == STATE


def test_optimizer_state_with_an_entry_renamed_is_refused(tmp_path: Path) -> None:
    """Forged digests and all: a state that AdamW would trip over later is refused at once."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    path = checkpoint.save(tmp_path, 1, model, optimizer, {})
    for old, new in ((b"exp_avg_sq", b"exp_avg_sx"), (b'"F32"', b'"I32"')):
        file = path / "optimizer.safetensors"
        content = file.read_bytes()
        file.write_bytes(content.replace(old, new, 1))
        forge(path)
        with pytest.raises(CheckpointError, match=r"optimizer state"):
            checkpoint.verify(path).load_optimizer(model, optimizer)
        file.write_bytes(content)
