"""Train ONE run of a study, an arm with a seed, on one process or on many.

    python -m bert.pretrain --text my.txt --size base --arm swe-f --out runs
    torchrun --nproc-per-node 8 -m bert.pretrain --text my.txt --size base --arm swe-f \\
        --parallel fsdp --out runs

The same command continues a run that was stopped, also in another mode and on another number of
ranks. Rank 0 alone prepares the data, writes and shows progress; ``--out`` must be seen by all.
The run lies in OUT/ARM-sSEED, the prepared data in OUT/data, shared by the runs in OUT.

Exit status: 0 the run is finished, 1 something broke, 2 bad arguments, 75 the time was up and work
is left (0 under torchrun, to which any other status is a failure to be restarted), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from tqdm import tqdm

from bert.data.text import DataError
from bert.study.arms import ARMS, REFERENCE, STUDIES, StudyConfig
from bert.study.commands import UNITS, print_budget, stopping
from bert.study.comparison import build_task, prepare_data, run_folder
from bert.study.options import add_other_code, add_speed_options, number_or_text, speed_of
from evidence.begun import OtherCode, continued
from evidence.closure import code_digest
from swe.base.config import from_dict, to_dict
from swe.base.errors import (
    CheckpointError,
    ConfigError,
    FolderBusyError,
    FunctionChangedError,
    NonFiniteLossError,
    RanksDifferError,
    RunFolderError,
)
from swe.base.interrupt import Deadline, Interrupted, Stop, either, never, polite_stop
from swe.base.progress import Bars
from swe.ranks.distributed import process_group, world_of
from swe.run.loop import train
from swe.run.speed import SpeedConfig
from swe.sharing.placement import Mode, World

TIME_IS_UP = 75
# Raised on every rank alike, so that rank 0 speaks for all.
_TOGETHER = (
    ConfigError,
    DataError,
    CheckpointError,
    NonFiniteLossError,
    RanksDifferError,
    FunctionChangedError,
    FolderBusyError,
    RunFolderError,
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for."""

    study: StudyConfig
    arm: str
    seed: int
    out: Path
    text: tuple[Path, ...]
    vocab: Path | None
    device: str
    parallel: Mode
    speed: SpeedConfig
    late: Stop
    """Whether the time is up; ``never`` without --max-minutes."""
    jobs: int
    other_code: OtherCode = "refuse"
    """What to do with the run when other code left it half done."""


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; ConfigError for impossible values, status 2 for a wrong form."""
    parser = argparse.ArgumentParser(
        prog="python -m bert.pretrain",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--arm", choices=ARMS, required=True, help="the schedule, by name")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, masks, dropout")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the data")
    parser.add_argument(
        "--scale", choices=STUDIES, default="small", help="study whose settings are the defaults"
    )
    parser.add_argument("--size", help='tiny, mini, small, base, large or "LxH" such as 12x64')
    parser.add_argument("--steps", type=int, help="updates")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="any other field of bert.study.arms.StudyConfig; rows are those of all ranks together",
    )
    parser.add_argument(
        "--text",
        type=Path,
        nargs="+",
        default=[],
        help=".txt, .jsonl (.gz, .xz) files or folders (default: the documentation of the\n"
        "installed scientific packages)",
    )
    parser.add_argument("--vocab", type=Path, help="a BERT vocab.txt (default: trained)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--parallel",
        choices=get_args(Mode),
        default="none",
        help="none: one process; ddp: whole weights on each rank; fsdp: slices (FSDP2)",
    )
    add_speed_options(parser)
    add_other_code(parser, anew=False)
    parser.add_argument(
        "--max-minutes", type=float, help="save and end after that long; leave room for saving"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="for the data")
    given = parser.parse_args(arguments)
    settings: dict[str, Any] = {"size": given.size, "steps": given.steps}
    for pair in given.set:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--set {pair}: must be of the form NAME=VALUE")
        settings[name] = number_or_text(value)
    fields = to_dict(STUDIES[given.scale]) | {
        name: value for name, value in settings.items() if value is not None
    }
    fields |= {"arms": list(dict.fromkeys((REFERENCE, given.arm))), "first_seed": given.seed}
    late: Stop = never
    if given.max_minutes is not None:
        late = Deadline(given.max_minutes, name="--max-minutes")
    device = given.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device = 'cuda': must be auto or cpu, no CUDA device is here")
    speed = speed_of(given, device)
    speed.validate(given.parallel)
    return Options(
        study=from_dict(StudyConfig, fields),
        arm=given.arm,
        seed=given.seed,
        out=given.out,
        text=tuple(given.text),
        vocab=given.vocab,
        device=device,
        parallel=given.parallel,
        speed=speed,
        late=late,
        jobs=given.jobs,
        other_code=given.other_code,
    )


@contextmanager
def ranks(options: Options) -> Iterator[tuple[World, torch.device]]:
    """Join the other ranks, if there are to be any; yields this one's place and device."""
    if options.parallel == "none":
        yield world_of("none"), torch.device(options.device)
    else:
        with process_group(options.device) as device:
            yield world_of(options.parallel), device


def record_code(folder: Path, other_code: OtherCode) -> None:
    """Record this code in an unfinished run's folder; ConfigError where other code began it."""
    if not (folder / "summary.json").exists():
        code = code_digest([build_task.__module__])
        begun = (folder / "config.json").exists()
        continued(
            folder,
            code,
            other_code if begun else "continue",
            anew="another --out begins again",
        )


def pretrain(options: Options, stop: Callable[[], bool]) -> dict[str, Any]:
    """Prepare the data, train or continue the run; returns its summary."""
    study = options.study
    with ranks(options) as (world, device), Bars(UNITS, quiet=not world.is_first) as bars:
        data = world.on_first_patiently(
            lambda: prepare_data(
                study,
                options.out / "data",
                text=options.text,
                vocabulary_file=options.vocab,
                jobs=options.jobs,
                report=stopping(bars, stop),
            )
        )
        task = world.all_or_none(lambda: build_task(study, data))
        folder = run_folder(options.out, options.arm, options.seed)
        world.on_first(lambda: record_code(folder, options.other_code))
        if world.is_first:
            print_budget(
                f"{folder}: {study.steps} updates on {world.size} {device.type} rank(s), "
                f"{options.parallel}",
                task,
                study.steps * study.accumulation,
            )
        return train(
            task,
            study.train_config(options.arm, options.seed),
            folder,
            device=device,
            parallel=options.parallel,
            speed=options.speed,
            stop=stop,
            warn=tqdm.write,
            progress=lambda step, row: bars("train", step, study.steps),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    rank = int(os.environ.get("RANK", "0"))

    def say(text: str) -> None:
        print(text if rank == 0 else f"rank {rank}: {text}", file=sys.stderr)

    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        with polite_stop() as asked:
            summary = pretrain(options, either(asked, options.late))
    except _TOGETHER as error:
        if rank == 0:
            say(f"bert.pretrain: {error}")
        return 2 if isinstance(error, ConfigError) else 1
    except (KeyboardInterrupt, Interrupted) as reason:
        # Whichever rank was late first: all stopped for it, unless a signal came.
        timed = options.late is not never and not asked()
        up = isinstance(reason, Interrupted) and timed
        if rank == 0:
            say(f"\nbert.pretrain: {'time is up' if up else 'stopped'}; the same command goes on")
        if up:
            return TIME_IS_UP if options.parallel == "none" else 0
        return 130
    except OSError as error:
        say(f"bert.pretrain: {error}")
        return 1
    if rank == 0:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in summary["valid"].items())
        print(f"finished after {summary['steps']} updates: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
