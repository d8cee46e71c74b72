"""Train ONE run of a study, an arm with a seed, on one process or on many.

    python -m bert.pretrain --text my.txt --size base --arm swe-f --out runs
    torchrun --nproc-per-node 8 -m bert.pretrain --text my.txt --size base --arm swe-f \\
        --parallel fsdp --out runs
    python -m bert.pretrain --language composition --arm swe-f --out runs

The same command continues a run that was stopped, also in another mode and on another number of
ranks. Rank 0 alone prepares the data, writes and shows progress; ``--out`` must be seen by all.
The run lies in OUT/ARM-sSEED, the prepared data in OUT/data, shared by the runs in OUT.

Exit status: as evidence.commands has it; 75 (time is up) is 0 under torchrun, to which any other
status is a failure to be restarted.
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

from bert.study.arms import ARMS, REFERENCE, STUDIES, StudyConfig
from bert.study.commands import UNITS, print_budget, stopping
from bert.study.comparison import build_task, prepare_data, run_folder
from bert.study.language_study import (
    LANGUAGES,
    LanguageStudy,
    asked_language,
    build_language_task,
)
from bert.study.options import (
    add_device,
    add_other_code,
    add_speed_options,
    add_study_options,
    device_of,
    speed_of,
)
from bert.study.tables import Work
from evidence.begun import OtherCode, continued
from evidence.closure import code_digest
from evidence.commands import TIME_IS_UP, add_minutes, ended, require_apart, settings_of
from swe.base.config import from_dict, require, to_dict
from swe.base.interrupt import Deadline, Interrupted, Stop, either, never, polite_stop
from swe.base.progress import Bars
from swe.ranks.distributed import process_group, world_of
from swe.run.loop import train
from swe.run.speed import SpeedConfig
from swe.sharing.placement import Mode, World

NAME = "bert.pretrain"


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
    minutes: float | None
    """Of --max-minutes."""
    jobs: int
    other_code: OtherCode = "refuse"
    """What to do with the run when other code left it half done."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    line = argparse.ArgumentParser(
        prog="python -m bert.pretrain",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    line.add_argument("--arm", choices=ARMS, required=True, help="the schedule, by name")
    line.add_argument("--seed", type=int, default=0, help="of weights, order, masks, dropout")
    line.add_argument("--out", type=Path, required=True, help="folder of the runs and the data")
    line.add_argument(
        "--scale", choices=STUDIES, default="small", help="study whose settings are the defaults"
    )
    add_study_options(line)
    line.add_argument(
        "--language", choices=LANGUAGES, help="no text, but a language of known truth"
    )
    add_device(line)
    line.add_argument(
        "--parallel",
        choices=get_args(Mode),
        default="none",
        help="none: one process; ddp: whole weights on each rank; fsdp: slices (FSDP2)",
    )
    add_speed_options(line)
    add_other_code(line, anew=False)
    add_minutes(line)
    line.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="for the data")
    return line


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; ConfigError for impossible values, status 2 for a wrong form."""
    given = parser().parse_args(arguments)
    named = {"size": given.size, "steps": given.steps, **settings_of(given.set)}
    settings = {name: value for name, value in named.items() if value is not None}
    settings["arms"] = list(dict.fromkeys((REFERENCE, given.arm)))
    if given.language is None:
        fields = to_dict(STUDIES[given.scale]) | settings | {"first_seed": given.seed}
        study = from_dict(StudyConfig, fields)
    else:
        require(not given.text, "--text", given.text, "left out with --language")
        study = asked_language(given.language, given.scale, given.seed, settings)
    require_apart(given.out, given.text)
    device = device_of(given)
    foreign = isinstance(study, LanguageStudy) and study.encoder != "own"
    require(
        not (foreign and given.parallel == "fsdp"),
        "--parallel",
        given.parallel,
        "none or ddp with encoder=transformers",
    )
    speed = speed_of(given, device, adopted=foreign)
    speed.validate(given.parallel)
    return Options(
        study=study,
        arm=given.arm,
        seed=given.seed,
        out=given.out,
        text=tuple(given.text),
        vocab=given.vocab,
        device=device,
        parallel=given.parallel,
        speed=speed,
        minutes=given.max_minutes,
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


def record_code(folder: Path, other_code: OtherCode, module: str) -> None:
    """Record this code in an unfinished run's folder; ConfigError where other code began it."""
    if not (folder / "summary.json").exists():
        code = code_digest([module, train.__module__])
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
        work = _work(options, world, bars, stop)
        task = world.all_or_none(lambda: work[0](*work[1]))
        folder = run_folder(options.out, options.arm, options.seed)
        world.on_first(lambda: record_code(folder, options.other_code, work[0].__module__))
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
            warn=bars.say,
            progress=lambda step, row: bars("train", step, study.steps),
        )


def _work(options: Options, world: World, bars: Bars, stop: Callable[[], bool]) -> Work:
    """Return what makes the task, after rank 0 has prepared a text's data."""
    study = options.study
    if isinstance(study, LanguageStudy):
        return build_language_task, (study,)
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
    return build_task, (study, data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    rank = int(os.environ.get("RANK", "0"))

    def say(text: str) -> None:
        """Let rank 0 speak for all: errors are raised on every rank alike."""
        if rank == 0:
            print(text, file=sys.stderr)

    def work(late: Stop) -> int | None:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        late = (
            Deadline(options.minutes, name="--max-minutes")
            if options.minutes is not None
            else never
        )
        try:
            with polite_stop() as asked:
                summary = pretrain(options, either(asked, late))
        except Interrupted:
            # Whichever rank was late first: all stopped for it, unless a signal came.
            if late is never or asked():
                raise
            say(f"\n{NAME}: time is up; the same command goes on from here")
            return TIME_IS_UP if options.parallel == "none" else 0
        except OSError as error:  # a disk that one rank cannot reach is that rank's alone
            if rank:
                print(f"rank {rank}: {NAME}: {error}", file=sys.stderr)
            raise
        if rank == 0:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in summary["valid"].items())
            print(f"finished after {summary['steps']} updates: {shown}")
        return 0

    return ended(NAME, work, say=say)


if __name__ == "__main__":
    sys.exit(main())
