"""Train ONE run of a study, an arm with a seed, on one process or on many.

    python -m bert.pretrain --text my.txt --size base --arm swe-f --out runs
    torchrun --nproc-per-node 8 -m bert.pretrain --text my.txt --size base --arm swe-f \\
        --parallel fsdp --out runs
    python -m bert.pretrain --language composition --arm swe-f --out runs

    python -m bert.pretrain --text my.txt --objective causal --arm swe-f --out runs
    python -m bert.pretrain --text my.txt --start-from bert-base --arm swe-f --out runs
    python -m bert.pretrain ... --start-from small --grow fpi --size 12x768
    python -m bert.pretrain ... --start-from small --grow ligo --fit-steps 100 --size 12x768
    python -m bert.pretrain ... --start-from small --grow mslt --size 12x512
    python -m bert.pretrain ... --start-from small --core 64
    python -m bert.pretrain ... --steps 2000 --extend

The same command continues a run that was stopped, also in another mode and on another number of
ranks; --extend takes it, or a finished one, on to more --steps, at a rate that its record states.
--start-from starts with the weights of a run, of an export of one or of a Hugging Face folder.
Rank 0 alone prepares the data, writes and shows progress; ``--out`` must be seen by all. The run
lies in OUT/ARM-sSEED, the prepared data in OUT/data, shared by the runs in OUT.

Exit status: as evidence.commands has it; 75 (time is up, or a signal asked for an end) is 0 under
torchrun, to which any other status is a failure to be restarted.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bert.model.prediction import TokenPrediction
from bert.study.begun_run import BegunRun, begun_run
from bert.study.commands import UNITS, print_budget
from bert.study.comparison import StudyData, build_task, prepare_data, run_folder
from bert.study.fitting import FittedStart
from bert.study.language_study import LanguageStudy, build_language_task
from bert.study.plateau import in_words, summarised
from bert.study.run_options import Options
from bert.study.run_parser import parse
from bert.study.staged import worth
from bert.study.tables import Work
from evidence.begun import OtherCode, continued
from evidence.closure import code_digest
from evidence.commands import TIME_IS_UP, ended
from swe.base.config import to_dict
from swe.base.errors import ConfigError
from swe.base.files import write_json
from swe.base.interrupt import Deadline, Interrupted, Stop, either, never, polite_stop
from swe.base.lock import in_turn
from swe.base.progress import Bars
from swe.ranks.distributed import process_group, speaking_rank, world_of
from swe.run.extend import extend
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.placement import World

NAME = "bert.pretrain"


@contextmanager
def ranks(options: Options) -> Iterator[tuple[World, torch.device]]:
    """Join the other ranks, if there are to be any; yields this one's place and device."""
    if options.parallel == "none":
        yield world_of("none"), torch.device(options.device)
    else:
        with process_group(options.device) as device:
            yield world_of(options.parallel), device


def record_code(folder: Path, other_code: OtherCode, module: str, *, extend: bool) -> None:
    """Record this code in an unfinished run's folder; ConfigError where other code began it."""
    if extend or not (folder / "summary.json").exists():
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
    study, folder = options.study, run_folder(options.out, options.arm, options.seed)
    with ranks(options) as (world, device), Bars(UNITS, quiet=not world.is_first) as bars:
        begun = world.on_first(lambda: _begun(options, folder))
        work = _work(options, world, bars, stop, begun)
        task = world.all_or_none(lambda: work[0](*work[1]))
        config = replace(study.train_config(options.arm, options.seed), **options.rivals)
        longer = False
        if begun is not None:
            config = replace(begun.asked(study, options.arm, options.seed), **options.rivals)
            longer = study.steps > config.steps
            here = {"train": to_dict(config), "task": task.describe()}
            world.on_first(lambda: begun.check(here))
        module = work[0].__module__
        world.on_first(lambda: record_code(folder, options.other_code, module, extend=longer))
        if longer:
            config = world.on_first(lambda: extend(folder, study.steps, bars.say))
        if world.is_first:
            _announce(options, folder, config, task, world, device)
        summary = train(
            task,
            config,
            folder,
            device=device,
            parallel=options.parallel,
            speed=options.speed.shared_in(options.out),  # arms of one OUT are compared
            stop=stop,
            warn=bars.say,
            progress=lambda step, row: bars("train", step, config.steps),
        )
        world.on_first(lambda: _tell_fit(options, folder, task))
        return world.on_first(lambda: summarised(folder, summary, task))


def _tell_fit(options: Options, folder: Path, task: TokenPrediction) -> None:
    """Write what the fit of a grown start did, and its cost, to growth.json."""
    start = options.start
    if not isinstance(start, FittedStart) or not start.fits:
        return
    [made] = start.fits
    found = {
        **start.describe()["grow"],
        "losses": list(made.losses),
        "flops": made.cost(task.flops_per_batch),
        "updates": made.steps * made.factor(task.flops_per_batch),
    }
    write_json(folder / "growth.json", found)


def _begun(options: Options, folder: Path) -> BegunRun | None:
    """Return the run that is there, compared with what is asked for as far as that is known."""
    begun = begun_run(folder)
    if begun is not None:
        begun.check_study(options.study, options.arm, options.seed, extend=options.extend)
        begun.check({"task": {"start": options.start and options.start.describe()}})
    elif options.extend and not (folder / "config.json").exists():
        raise ConfigError(f"--extend: {folder} holds no run; without it one is begun there")
    return begun


def _announce(
    options: Options,
    folder: Path,
    config: TrainConfig,
    task: TokenPrediction,
    world: World,
    device: torch.device,
) -> None:
    """Say what is about to be computed, and what is unusual about it."""
    print_budget(
        f"{folder}: {config.steps} updates on {world.size} {device.type} rank(s), "
        f"{options.parallel}",
        task,
        worth(task, config),
    )
    for at, before in zip(config.extended_at, config.extended_from, strict=True):
        print(f"extended at update {at} of {before}: from there the rate is the longer run's")
    for line in options.said:
        print(line)


def _work(
    options: Options,
    world: World,
    bars: Bars,
    stop: Callable[[], bool],
    begun: BegunRun | None,
) -> Work:
    """Return what makes the task, after rank 0 has prepared a text's data."""
    study = options.study
    if isinstance(study, LanguageStudy):
        return build_language_task, (study,)
    folder, source = options.out / "data", options.source

    def prepare() -> StudyData:
        with in_turn(folder, bars.say, stop):  # several arms may begin at once
            vocabulary_file = options.vocab
            if source is not None:
                vocabulary_file = folder / f"vocab-{source.vocabulary.sha256[:12]}.txt"
                source.vocabulary.save(vocabulary_file)
            return prepare_data(
                study,
                folder,
                text=options.text,
                vocabulary_file=vocabulary_file,
                reading=options.reading,
                valid=options.valid,
                cased=options.cased,
                jobs=options.jobs,
                report=bars,
                say=bars.say,
                stop=stop,
                begun=begun,
            )

    return build_task, (study, world.on_first_patiently(prepare), options.start)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    rank = speaking_rank()

    def say(text: str) -> None:
        """Let rank 0 speak for all: errors are raised on every rank alike."""
        if rank == 0:
            print(text, file=sys.stderr)

    def work(late: Stop) -> int | None:
        options = parse(sys.argv[1:] if arguments is None else arguments, __doc__)
        late = (
            Deadline(options.minutes, name="--max-minutes")
            if options.minutes is not None
            else never
        )
        alone = options.parallel == "none"
        try:
            with polite_stop() as asked:
                summary = pretrain(options, either(asked, late))
        except Interrupted:
            # Whichever rank had a reason first, all stopped for it: another's signal is none here.
            if asked.signal == signal.SIGINT or (alone and late is never):
                raise
            why = f"stopped by {asked.signal.name}" if asked.signal else "time is up"
            if late is never and not asked():
                why = "stopped by another rank"
            say(f"\n{NAME}: {why}; the same command goes on from here")
            return TIME_IS_UP if alone else 0
        except OSError as error:  # a disk that one rank cannot reach is that rank's alone
            if rank:
                print(f"rank {rank}: {NAME}: {error}", file=sys.stderr)
            raise
        if rank == 0:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in summary["valid"].items())
            print(f"finished after {summary['steps']} updates: {shown}")
            if "plateau" in summary:
                print(in_words(summary["plateau"]))
        return 0

    return ended(NAME, work, say=say)


if __name__ == "__main__":
    sys.exit(main())
