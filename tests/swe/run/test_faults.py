"""Fault injection: kill -9 at any moment of a run with several splits changes no bit of its result.

The moments are drawn from a fixed seed: half are operations on the run folder (most of them in the
writing of a checkpoint), half are times. ``pytest -m slow -s tests/swe/run/test_faults.py`` kills
at all of them and prints where each run died and where it went on from.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.swe.run import crash

MOMENTS = 40
QUICK = 4
"""Moments in the normal tests: each costs two short processes."""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int, float]:
    """Outcome of the run left alone, its operations, and the seconds it took."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    crash.run(folder)  # the first child also pays for the forking server's imports
    again = folder.with_name("again")
    messages = crash.run(again)
    assert messages[-1][0] == "finished"
    result = crash.outcome(again)
    assert not crash.differences(result, crash.outcome(folder)), "not even two whole runs agree"
    assert len(result["events"]) >= 2, "the run was to have two splits"
    return result, *messages[-1][1]


def moments(operations: int, seconds: float) -> list[dict[str, Any]]:
    """Where to kill: operations and times in turn, the same every time but for the clock."""
    draw = random.Random(20211103)
    points = draw.sample(range(operations), MOMENTS // 2)
    times = [draw.uniform(0, 0.8 * seconds) for _ in range(MOMENTS // 2)]
    return [
        m for n, t in zip(points, times, strict=True) for m in ({"kill_at": n}, {"kill_after": t})
    ]


def resumed_from(folder: Path) -> str:
    """Newest whole checkpoint in a dead run's folder."""
    found = sorted((folder / "checkpoints").glob("step-*/state.json"))
    return found[-1].parent.name if found else "the start"


def place(messages: list[tuple[str, Any]]) -> str:
    """Where a run died, without process numbers and random names."""
    kind, what = messages[-1]
    if kind != "killed at":
        return kind
    what = re.sub(r"\.(step-\d+)\.\d+\.partial", r"partial \1", what)
    return re.sub(r"\.(\w+\.\w+)\.\w+\.part", r"partial \1", what)


def kill_and_resume(
    folder: Path, moment: dict[str, Any], expected: dict[str, Any]
) -> tuple[str, str]:
    """Kill at the moment, run again, compare; returns where it died and where it went on from."""
    died, source = place(crash.run(folder, **moment)), resumed_from(folder)
    messages = crash.run(folder)
    assert messages[-1][0] == "finished", messages
    assert not crash.differences(crash.outcome(folder), expected), (moment, died, source)
    left = [p.name for p in folder.rglob("*") if "part" in p.name]
    assert not left, f"a resumed run cleans up what the dead one left: {left}"
    return died, source


def campaign(
    folder: Path, chosen: list[dict[str, Any]], expected: dict[str, Any]
) -> Counter[tuple[str, str]]:
    """Kill one run at each moment; prints what happened to each."""
    found: Counter[tuple[str, str]] = Counter()
    for number, moment in enumerate(chosen):
        died, source = kill_and_resume(folder / str(number), moment, expected)
        how = "ended before it was to be killed" if died == "finished" else f"killed before {died}"
        print(f"{how}; went on from {source}")
        found[died, source] += 1
    dead = sum(n for (died, _), n in found.items() if died != "finished")
    writing = sum(n for (died, _), n in found.items() if "checkpoints/" in died)
    print(
        f"{dead} of {len(chosen)} runs killed, {writing} of them known to be in a checkpoint's "
        "write; all ended with the unbroken run's bits"
    )
    assert writing, "no moment fell into the writing of a checkpoint"
    return found


def test_killed_at_some_moments_the_run_ends_with_the_same_bits(
    unbroken: tuple[dict[str, Any], int, float], tmp_path: Path
) -> None:
    expected, operations, seconds = unbroken
    campaign(tmp_path, moments(operations, seconds)[:QUICK], expected)


@pytest.mark.slow
def test_killed_at_forty_moments_the_run_ends_with_the_same_bits(
    unbroken: tuple[dict[str, Any], int, float], tmp_path: Path
) -> None:
    expected, operations, seconds = unbroken
    found = campaign(tmp_path, moments(operations, seconds), expected)
    assert sum(n for (died, _), n in found.items() if died != "finished") >= 30


def kill_again_and_again(
    folder: Path, operations: int, expected: dict[str, Any], seed: int
) -> tuple[int, list[str]]:
    """Kill one run at random operations until it gets through; returns kills and sources."""
    draw = random.Random(seed)
    sources: list[str] = []
    for kills in range(200):
        if crash.run(folder, kill_at=draw.randrange(operations))[-1][0] == "finished":
            assert not crash.differences(crash.outcome(folder), expected)
            return kills, sources
        sources.append(resumed_from(folder))
    raise AssertionError("the run never got through")


def test_one_run_killed_again_and_again_ends_with_the_same_bits(
    unbroken: tuple[dict[str, Any], int, float], tmp_path: Path
) -> None:
    expected, operations, _ = unbroken
    kills, sources = kill_again_and_again(tmp_path / "run", operations, expected, seed=1)
    print(f"one run killed {kills} times; went on from {', '.join(sources)}")
    assert kills >= 2


@pytest.mark.slow
def test_runs_killed_again_and_again_end_with_the_same_bits(
    unbroken: tuple[dict[str, Any], int, float], tmp_path: Path
) -> None:
    expected, operations, _ = unbroken
    results = [
        kill_again_and_again(tmp_path / str(seed), operations, expected, seed) for seed in range(16)
    ]
    print(f"16 runs killed {[kills for kills, _ in results]} times before their ends")
    assert sum(kills for kills, _ in results) >= 20
