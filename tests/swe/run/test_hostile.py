"""Files from a stranger: no pickle, no code, nothing written outside, one clear line.

Digests stop accidents; a stranger writes digests that fit. So the tests here forge them, and what
is left is the readers' own strictness. Bytes are mutated by hypothesis.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swe.base.config import from_dict, to_dict
from swe.base.errors import CheckpointError, ConfigError, RunFolderError
from swe.base.files import read_json
from swe.base.interrupt import Interrupted
from swe.run import checkpoint
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.run.saved_state import Rows, SavedState
from swe.sharing.event import SweState
from swe.sharing.schedule import ScheduleState
from tests.swe.run import crash
from tests.swe.run.damage import forge

CONFIG = replace(crash.SPLITTING, steps=10, checkpoint_interval=6)
NEWEST = "step-00000008"


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped before update 8; its one checkpoint is of that update."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    calls = iter(range(9))
    with pytest.raises(Interrupted):
        train(crash.TASK, CONFIG, folder, stop=lambda: next(calls) == 8)
    shutil.rmtree(folder / "checkpoints" / "step-00000006")
    return folder


@pytest.fixture
def _no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a pickle was to be read")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr("torch.serialization.load", refuse)


@pytest.mark.usefixtures("_no_pickle")
def test_a_whole_resume_reads_no_pickle(halfway: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    train(crash.TASK, CONFIG, folder, warn=pytest.fail)
    monkeypatched = pickle.loads
    with pytest.raises(AssertionError, match="a pickle was to be read"):
        monkeypatched(b"")


def resume(folder: Path) -> str:
    """Continue the run; "" when it ended, else the one line that refused it."""
    try:
        train(crash.TASK, CONFIG, folder, warn=lambda message: None)
    except (CheckpointError, ConfigError, RunFolderError) as error:
        line = str(error)
        assert "\n" not in line
        assert len(line) < 2000
        return line
    return ""


STATE_CHANGES: list[tuple[tuple[str, ...], Any]] = [
    (("seconds",), "abc"), (("seconds",), -1), (("seconds",), 1e400), (("seconds",), None),
    (("loss_sum",), "0"), (("loss_sum",), float("nan")), (("loss_count",), -1),
    (("loss_count",), 0.5), (("loss_count",), True), (("loss_count",), "HUGE"),
    (("rows",), []), (("rows",), {"metrics": 0}), (("rows", "metrics"), -3),
    (("rows", "metrics"), 10**9), (("rows", "../../outside"), 1), (("rows", "events"), "1"),
    (("swe",), None), (("swe", "probes"), "many"), (("swe", "begun"), 10**9),
    (("swe", "begun"), -7), (("swe", "extra"), 1), (("swe", "schedule"), "swe-m"),
    (("swe", "schedule", "low_checks"), [1, 2]), (("swe", "schedule", "low_checks"), "xx"),
    (("swe", "schedule", "low_checks"), [-1, 0, 0]), (("swe", "schedule", "layout"), []),
    (("swe", "schedule", "layout", "groups"), [10**18]),
    (("swe", "schedule", "layout", "groups"), [1, "1", 2]),
    (("swe", "schedule", "layout", "groups"), 4), (("swe", "schedule", "layout", "depth"), 10**18),
    (("swe", "schedule", "layout", "unit"), 0), (("swe", "schedule", "layout", "depth"), "4"),
    (("config",), 5), (("config",), "0" * 64), (("__class__",), "os.system"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value"), STATE_CHANGES)
def test_a_hostile_state_is_refused_in_one_line(
    where: tuple[str, ...], value: Any, halfway: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    path = folder / "checkpoints" / NEWEST
    state = json.loads((path / "state.json").read_text())["state"]
    inner = state
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    if value == "HUGE":  # Python writes no such integer; a stranger may
        forge(path, state={**state, "loss_count": 1})
        text = (path / "state.json").read_text()
        (path / "state.json").write_text(
            text.replace('"loss_count": 1', '"loss_count": 1' + "0" * 5000)
        )
    else:
        forge(path, state=state)
    assert NEWEST in resume(folder) or "rows" in resume(folder)
    assert not list(tmp_path.rglob("*outside*"))


@pytest.mark.parametrize("version", ["../../x", None, [], 1e300, -1])
def test_a_hostile_head_is_refused_in_one_line(version: Any, halfway: Path, tmp_path: Path) -> None:
    for name in ("version", "format", "step", "sha256", "state"):
        folder = tmp_path / name
        shutil.copytree(halfway, folder)
        forge(folder / "checkpoints" / NEWEST, **{name: version})
        assert NEWEST in resume(folder)


@pytest.mark.parametrize(
    "name", ["[" * 5000, "../../weights.safetensors", "a\0.safetensors", "/etc/x.safetensors", ""]
)
def test_a_hostile_file_name_is_refused_in_one_line(
    name: str, halfway: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(halfway, folder)
    path = folder / "checkpoints" / NEWEST
    digests = read_json(path / "state.json")["sha256"]
    forge(path, sha256={**digests, name: "0" * 64})
    assert "no file of a checkpoint" in resume(folder)
    with pytest.raises(CheckpointError, match="no file of a checkpoint") as error:
        checkpoint.verify(path)
    assert len(str(error.value)) < 400


def mutate(data: st.DataObject, content: bytes) -> bytes:
    """Some bytes replaced, cut out or put in."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(changed) - 1)))
        kind = data.draw(st.sampled_from(["replace", "cut", "insert"]))
        if kind == "replace" and changed:
            changed[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del changed[at : at + data.draw(st.integers(1, 200))]
        else:
            changed[at:at] = data.draw(
                st.sampled_from(
                    [b"null", b"-1", b"1e999", b'"', b"[" * 5000, b"{}", b"\x00", b"9" * 30]
                )
            )
    return bytes(changed)


@given(data=st.data())
def test_any_bytes_for_the_state_end_well(
    data: st.DataObject, halfway: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bytes") / "run"
    shutil.copytree(halfway, folder)
    path = folder / "checkpoints" / NEWEST
    file = path / "state.json"
    file.write_bytes(mutate(data, file.read_bytes()))
    try:  # what is JSON still is forged, so that the fields are looked at, not the digest alone
        if isinstance(read_json(file), dict):
            forge(path)
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    line = resume(folder)
    assert not line or "checkpoints" in line or "rows" in line


@given(data=st.data(), name=st.sampled_from(["weights", "optimizer"]))
def test_any_bytes_for_the_tensors_header_end_well(
    data: st.DataObject, name: str, halfway: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Mutated in the length and the JSON header that safetensors begins with; digests fit."""
    folder = tmp_path_factory.mktemp("header") / "run"
    shutil.copytree(halfway, folder)
    path = folder / "checkpoints" / NEWEST
    file = path / f"{name}.safetensors"
    content = file.read_bytes()
    head = 8 + int.from_bytes(content[:8], "little")
    file.write_bytes(mutate(data, content[:head]) + content[head:])
    forge(path)
    line = resume(folder)
    assert not line or NEWEST in line


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../../../tmp/x", "__import__('os').system('x')", "swe-f", "os.system"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "steps",
                    "schedule",
                    "kind",
                    "until",
                    "unit",
                    "seed",
                    "optimizer",
                    "layout",
                    "groups",
                    "depth",
                    "low_checks",
                    "rows",
                    "swe",
                    "config",
                    "__class__",
                    "__reduce__",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every path into nested tables, the top left out."""
    if not isinstance(value, dict):
        return []
    inner = [found for key in value for found in places(value[key], (*path, key))]
    return [(*path, key) for key in value] + inner


def planted(whole: dict[str, Any], where: tuple[str, ...], value: Any) -> Any:
    """``whole`` with another value in one place."""
    key, *rest = where
    return whole | {key: planted(whole[key], tuple(rest), value) if rest else value}


SCHEDULE = {"layout": {"depth": 4, "unit": 1, "groups": [2, 2]}, "low_checks": [0, 1, 0]}
STATE = to_dict(
    SavedState(
        config="x",
        swe=SweState(schedule=ScheduleState.from_json(SCHEDULE), probes=1, begun=3),
        rows=Rows(metrics=1, events=0),
        seconds=1.0,
        loss_sum=0.0,
        loss_count=2,
    )
)
READERS: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "config": (to_dict(CONFIG), lambda value: from_dict(TrainConfig, value)),
    "state": (STATE, lambda value: from_dict(SavedState, value)),
    "schedule": (SCHEDULE, ScheduleState.from_json),
}


@given(data=st.data(), reader=st.sampled_from(sorted(READERS)), value=JSON)
def test_any_value_anywhere_in_a_config_is_taken_or_refused(
    data: st.DataObject, reader: str, value: Any
) -> None:
    """ConfigError in one line or an object; nothing else comes out, whatever is put in."""
    whole, read = READERS[reader]
    assert read(whole)
    places_of = [*places(whole), ("another",), ("schedule", "kind")]
    where = data.draw(st.sampled_from([p for p in places_of if p[0] in whole or len(p) == 1]))
    refused = []
    try:
        read(planted(whole, where, value))
        read(value)
    except ConfigError as error:
        refused.append(str(error))
    assert not any("\n" in line for line in refused)
