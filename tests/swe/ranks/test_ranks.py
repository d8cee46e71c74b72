"""Two and four ranks (gloo) train as one process does: before, at and after every untie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines
from swe.ranks.distributed import process_group
from swe.run import checkpoint
from swe.run.loop import train
from swe.run.task import Batch, rank_batch
from swe.sharing.placement import Mode, Parallel, World
from swe.sharing.seeds import derive_seed
from tests.swe.ranks.rank_runs import BASE, CONFIGS, MODES, RUNS, TASK, assert_close, numbers
from tests.swe.sharing.residual import RegressionTask


@pytest.mark.parametrize(
    ("size", "mode", "name"), [(size, *run) for size, runs in RUNS.items() for run in runs]
)
def test_ranks_train_as_one_process_does(rank_runs: Path, size: int, mode: Mode, name: str) -> None:
    """Every loss, norm, probe, event and final weight; all schedules act within the run."""
    assert_close(
        numbers(rank_runs / f"1-none-{name}"), numbers(rank_runs / f"{size}-{mode}-{name}")
    )
    assert read_json(rank_runs / f"{size}-{mode}-{name}" / "environment.json")["ranks"] == size


@pytest.mark.parametrize("mode", MODES)
def test_compiled_blocks_train_as_one_process_does(rank_runs: Path, mode: Mode) -> None:
    """Through splits and probes; FSDP's own groups, from the first split on, are one more graph."""
    assert_close(numbers(rank_runs / "1-none-swe-m"), numbers(rank_runs / f"2-{mode}-blocks"))
    here = read_json(rank_runs / f"2-{mode}-blocks" / "environment.json")
    assert (here["parallel"], here["speed"]["compile"], here["speed"]["prefetch"]) == (
        mode,
        "blocks",
        2,
    )
    counts = read_json(rank_runs / "facts.json")["graphs"][mode]
    assert counts[:2] == [0, 1]
    assert counts[-1] == {"ddp": 1, "fsdp": 2}[mode]


def test_the_schedules_acted_where_they_should(rank_runs: Path) -> None:
    steps = {
        name: [event["step"] for event in read_lines(rank_runs / f"1-none-{name}" / "events.jsonl")]
        for name in CONFIGS
    }
    assert steps["swe-f"] == steps["swe-f-units"] == steps["cycle-rev"] == [5]
    assert steps["swe-a"] == [6]
    assert steps["swe-m"] == [4, 6], "SWE-M must pass through a partial split"


def test_untying_under_an_existing_wrapper_is_the_trap(
    rank_runs: Path,
) -> None:
    facts = read_json(rank_runs / "facts.json")["trap"]
    assert facts["existing wrapper"] == facts["existing wrapper"] | {"old": True, "new": False}
    assert facts["rebuilt"] == facts["rebuilt"] | {"old": True, "new": True}
    assert facts["rebuilt"]["reduced"] == facts["rebuilt"]["parameters"], "each one, once"
    assert facts["existing wrapper"]["reduced"] < facts["existing wrapper"]["parameters"]


def test_unused_parameters_are_looked_for_where_there_are_some(rank_runs: Path) -> None:
    assert read_json(rank_runs / "facts.json")["looks"] == [False, True, True, False]


def test_dropout_differs_by_rank_and_is_one_process_on_the_first(rank_runs: Path) -> None:
    [first], [second] = read_json(rank_runs / "facts.json")["seeds"]
    assert first == derive_seed(BASE.seed, "dropout", 7)
    assert second != first


def test_errors_of_one_rank_are_one_clear_line_on_all(rank_runs: Path) -> None:
    said = read_json(rank_runs / "facts.json")["refusals"]
    for what, words in {
        "config": "configuration: ranks 0 (there) and 1 (here) differ: train.seed: 0 there, 1 here",
        "rows": "rows = 7 in a batch (inputs): must be a multiple of the 2 ranks",
        "mode": "parallel = 'none': must be ddp or fsdp, with 2 processes",
        "compile": "compile = 'model': must be none or blocks with parallel = 'ddp'",
        "not finite": "loss or gradient not finite at update 4; nothing was updated",
        "stop": "stopped before update 2",
        "disk full": "step-00000003: could not be written",
    }.items():
        assert len(said[what]) == 2
        for message in said[what]:
            assert words in message
            assert "\n" not in message
    assert "No space left on device" in said["disk full"][0]
    [kept] = (rank_runs / "stop" / "checkpoints").iterdir()
    assert checkpoint.verify(kept).step == 2, "the last good one stays, and nothing else"


def test_a_job_without_torchrun_is_refused_by_name(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"RANK, WORLD_SIZE, .* not set; start with torchrun"),
        process_group(environment={}),
    ):
        pass
    with pytest.raises(ConfigError, match=r"parallel = 'ddp': must be none without a process gr"):
        train(TASK, BASE, tmp_path / "run", parallel="ddp")
    unknown: dict[str, Any] = {"parallel": "dpp"}
    with pytest.raises(ConfigError, match=r"parallel = 'dpp': must be one of none, ddp, fsdp"):
        train(TASK, BASE, tmp_path / "run", **unknown)
    assert not (tmp_path / "run").exists()


def test_a_task_may_offer_its_rows_of_a_batch() -> None:
    class Cheaper(RegressionTask):
        def part(self, seed: int, index: int, rank: int, world: int) -> Batch:
            return {"rank": torch.tensor([seed, index, rank, world])}

    second = World(rank=1, size=4)
    whole, mine = TASK.batch(3, 5), rank_batch(TASK, 3, 5, second)
    assert mine.keys() == whole.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, whole[name][2:4])
    assert rank_batch(Cheaper(), 3, 5, second)["rank"].tolist() == [3, 5, 1, 4]
    assert rank_batch(Cheaper(), 3, 5, World()).keys() == whole.keys()


def test_restarts_on_several_nodes_need_torchruns_way_out() -> None:
    environment = dict.fromkeys(("RANK", "LOCAL_RANK"), "0") | {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_MAX_RESTARTS": "3",
        "GROUP_WORLD_SIZE": "2",
    }
    with (
        pytest.raises(ConfigError, match=r"on 2 nodes needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"),
        process_group(environment=environment),
    ):
        pass


def test_one_process_is_its_own_world() -> None:
    world = World()
    assert world.salt == ()
    assert World(rank=1, size=2).salt != World(rank=2, size=4).salt
    assert world.gather(3) == [3]
    assert Parallel().mode == "none"
