"""Regenerate the theory, the toy models, the small BERT study, the figures and the claim ledger.

    python paper_repro.py                      everything, at the scale that takes minutes
    python paper_repro.py theory claims        the theorems alone
    python paper_repro.py bert --text my.txt   the BERT comparison on your own text
    python paper_repro.py table1 --scale small one of the paper's tables, with every control

Results already there for the same configuration and code are kept; Ctrl-C loses nothing and the
same command goes on. So it does after --max-minutes. Exit status: 0 it ran (whatever the verdicts),
1 something broke, 2 bad arguments, 75 the time was up and work is left, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Any

# Before numpy and torch load: one thread a process. Parallel work is whole processes, and results
# must not depend on how many cores there are.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from bert.claims.ledger import bert_claims
from bert.data.text import DataError
from bert.study.arms import STUDIES, StudyConfig
from bert.study.commands import Place, study_command, table_command
from bert.study.options import add_speed_options, number_or_text, speed_of
from bert.study.table_arms import TABLES
from bert.study.table_study import TableStudy, chosen_arms, table_study
from evidence.claim import Record, in_words
from evidence.recorded_times import time_on_record
from evidence.results import missing_records, read_data, reading
from figures.pages.report import build as build_report
from swe.base.config import from_dict, to_dict
from swe.base.environment import host
from swe.base.errors import (
    CheckpointError,
    ConfigError,
    FolderBusyError,
    FunctionChangedError,
    NonFiniteLossError,
    ResultError,
    RunFolderError,
    WorkerDiedError,
)
from swe.base.files import read_json, write_json, write_text
from swe.base.interrupt import Deadline, Interrupted, Stop, never, stop_if
from swe.run.speed import SpeedConfig
from theory.claims.toys import toy_claims
from theory.studies.results import RESULTS, compute_missing

VERBS = ("theory", "toy", "bert", "claims", "figures")
SCALES = ("smoke", "small", "gpu", "full")
MARKER = ".share-then-unshare"
TIMES_AT_FULL = Path(__file__).parent / "records" / "full" / "result_times.json"
STUDIES_ON_RECORD = Path(__file__).parent / "records" / "studies"
"""Tables of longer runs that come with the package; claims and report use them, and say so."""
TIME_IS_UP = 75
"""Exit status of --max-minutes (EX_TEMPFAIL, try again): a job script may start it anew."""


@dataclass(frozen=True)
class Options:
    """The command line, checked."""

    verbs: tuple[str, ...]
    out: Path
    seed: int
    device: str
    scale: str
    jobs: int
    text: tuple[Path, ...]
    vocab: Path | None
    study: dict[str, Any]
    speed: SpeedConfig
    late: Stop
    """Whether the time is up."""

    @property
    def place(self) -> Place:
        """What the BERT verbs need of the command line."""
        return Place(
            out=self.out,
            scale=self.scale,
            device=self.device,
            jobs=self.jobs,
            text=self.text,
            vocab=self.vocab,
            speed=self.speed,
            late=self.late,
        )


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; argparse ends the program with status 2 for bad arguments."""
    parser = argparse.ArgumentParser(
        prog="paper_repro.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "verbs",
        nargs="*",
        default=["all"],
        metavar="verb",
        help="all (default), theory, toy, bert, claims, figures; one or more; or, hours long,\n"
        "table1, table2, table3, table4, speedup, sweep, headline; or clean",
    )
    parser.add_argument("--out", type=Path, default=Path("results"), help="results folder")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="small",
        help="smoke: a minute; small: minutes (tables: an evening); gpu: the tables on one GPU;\n"
        "full: the paper's own BERT setting; theory and toy then took\n"
        + fill(time_on_record(TIMES_AT_FULL, RESULTS) or "a time that is not on record", 78),
    )
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: the cores)")
    parser.add_argument(
        "--max-minutes",
        type=float,
        help="save, stop and end with status 75 after that long; the same command goes on\n"
        "(leave room for saving: an update and a checkpoint of every running run)",
    )
    bert = parser.add_argument_group("bert")
    bert.add_argument(
        "--text",
        type=Path,
        nargs="+",
        default=[],
        help=".txt, .jsonl (.gz, .xz, .zst), folders, or a token store (default: the\n"
        "documentation of the installed scientific packages)",
    )
    bert.add_argument("--vocab", type=Path, help="a BERT vocab.txt (default: trained on the text)")
    bert.add_argument("--size", help='tiny, mini, small, base, large or "LxH" such as 12x64')
    bert.add_argument("--steps", type=int, help="updates of every run")
    bert.add_argument("--seeds", type=int, help="paired seeds")
    bert.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="any other field of bert.study.arms.StudyConfig, such as tau=0.2 unit=2\n"
        "placement=post arms=baseline,swe-f",
    )
    add_speed_options(bert)
    given = parser.parse_args(arguments)
    known = (*VERBS, *TABLES, "all", "clean")
    for verb in given.verbs:
        if verb not in known:
            parser.error(f"verb {verb!r}: must be one of {', '.join(known)}")
    if "clean" in given.verbs and len(given.verbs) > 1:
        parser.error("clean: stands alone")
    small = [verb for verb in ("all", *VERBS[:3]) if verb in given.verbs]
    if given.scale == "gpu" and small:
        parser.error(f"--scale gpu: only for {', '.join(TABLES)}, not for {small[0]}")
    if given.seed < 0:
        parser.error(f"--seed {given.seed}: must be 0 or more")
    if given.jobs < 0:
        parser.error(f"--jobs {given.jobs}: must be 1 or more")
    try:
        late = Deadline(given.max_minutes, name="--max-minutes") if given.max_minutes else never
        if given.max_minutes == 0:
            raise ConfigError("--max-minutes 0: must be more than 0")
    except ConfigError as error:
        parser.error(str(error))
    study = {"size": given.size, "steps": given.steps, "seeds": given.seeds}
    for pair in given.set:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--set {pair}: must be of the form NAME=VALUE")
        study[name] = _list(value) if name in ("arms", "only", "rates") else number_or_text(value)
    device = given.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        speed = speed_of(given, device)
    except ConfigError as error:
        parser.error(f"--{error}")
    jobs = given.jobs or (os.cpu_count() or 1 if device == "cpu" else 1)
    wanted = VERBS if "all" in given.verbs else given.verbs
    return Options(
        tuple(verb for verb in (*VERBS[:3], *TABLES, *VERBS[3:]) if verb in wanted),
        given.out,
        given.seed,
        device,
        given.scale,
        jobs,
        tuple(given.text),
        given.vocab,
        {name: value for name, value in study.items() if value is not None},
        speed,
        late,
    )


def _list(value: str) -> list[Any]:
    """Read a list of numbers or words between commas."""
    return [number_or_text(item) for item in value.split(",")]


def study_of(options: Options) -> StudyConfig:
    """Return the BERT study that the options ask for. ConfigError for impossible values."""
    _require_text(options)
    study = replace(STUDIES[options.scale], first_seed=options.seed)
    return from_dict(StudyConfig, to_dict(study) | options.study)


def table_study_of(table: str, options: Options) -> TableStudy:
    """Return a table's study as the options ask for it. ConfigError for impossible values."""
    _require_text(options)
    study = replace(table_study(table, options.scale), first_seed=options.seed)
    changed = from_dict(TableStudy, to_dict(study) | options.study)
    chosen_arms(table, changed)
    return changed


def _require_text(options: Options) -> None:
    if options.scale in ("gpu", "full") and not options.text:
        raise ConfigError(
            f"--text = nothing: must be given at scale {options.scale} (gigabytes of it)"
        )


def collect_claims(options: Options) -> list[Record]:
    """Gather the ledger from the result files into claims.json."""
    ledger: list[Record] = []
    for name in ("claims", "adam_claims"):
        source = f"theory/{name}.json"
        with reading(options.out / source):
            found = read_data(options.out, source)
            ledger += [Record.from_json(r, options.out / source) for r in found or []]
    ledger += toy_claims(options.out)
    with reading(options.out / "bert"):
        ledger += bert_claims(options.out, STUDIES_ON_RECORD)
    write_json(options.out / "claims.json", [record.to_json() for record in ledger])
    return ledger


def print_claims(ledger: Sequence[Record]) -> None:
    """Print the ledger as a table, cut to the terminal's width."""
    width = shutil.get_terminal_size((100, 20)).columns
    rows = [(r.id, in_words(r.verdict, r.qualifier), r.evidence) for r in ledger]
    name, words = (max(len(row[column]) for row in rows) for column in (0, 1))
    print(f"\n{'claim':<{name}} {'verdict':<{words}} evidence")
    for identity, verdict, evidence in rows:
        line = f"{identity:<{name}} {verdict:<{words}} {evidence}"
        print(line if len(line) <= width else line[: width - 3] + "...")


def describe_plan(options: Options) -> None:
    """Say what will be done and how long it took where it was last measured."""
    print(f"{', '.join(options.verbs)} at scale {options.scale} into {options.out}/")
    times = Path(__file__).parent / "records" / "default" / "times.json"
    if options.scale == "small" and options.verbs == VERBS and times.exists():
        known = read_json(times)
        text = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in known["steps"].items())
        print(f"all verbs took, on {known['device']} with {known['cores']} processes: {text}")
    areas = [area for area in RESULTS if area in options.verbs]
    if options.scale == "full" and (
        known_time := time_on_record(TIMES_AT_FULL, {area: RESULTS[area] for area in areas})
    ):
        print(f"{' and '.join(areas)} took {known_time}")


def clean(out: Path) -> int:
    """Remove a results folder, but only one that this program made."""
    if not out.exists():
        print(f"{out}: nothing to remove")
        return 0
    if not (out / MARKER).exists():
        print(f"paper_repro.py: {out}: has no {MARKER}: not a results folder", file=sys.stderr)
        return 2
    shutil.rmtree(out)
    print(f"{out}: removed")
    return 0


def times_record(options: Options, seconds: dict[str, float]) -> dict[str, Any]:
    """Say how long each step of this command took, and on what."""
    here = host()
    if options.device == "cuda":
        here["device"] = torch.cuda.get_device_name()
    return {
        "steps": {name: round(value, 1) for name, value in seconds.items()},
        "total": round(sum(seconds.values()), 1),
        "cores": options.jobs,
        **{name: here[name] for name in ("device", "commit", "dirty", "command", "time")},
    }


def run(options: Options) -> None:
    """Do the verbs in order; what they need of one another lies in files."""
    describe_plan(options)
    if note := missing_records(STUDIES_ON_RECORD.parent):
        print(f"paper_repro.py: {note}", file=sys.stderr)
    seconds: dict[str, float] = {}
    areas = [area for area in RESULTS if area in options.verbs]
    if areas:
        started = time.perf_counter()
        compute_missing(
            options.out, areas, options.seed, options.scale, options.jobs, stop=options.late
        )
        seconds[" and ".join(areas)] = time.perf_counter() - started
    if "bert" in options.verbs:
        seconds |= study_command(study_of(options), options.place)
    for table in TABLES:
        if table in options.verbs:
            seconds |= table_command(table, table_study_of(table, options), options.place)
    stop_if(options.late)
    started = time.perf_counter()
    ledger = collect_claims(options)
    if "figures" in options.verbs:
        report = build_report(options.out, STUDIES_ON_RECORD)
        seconds["figures"] = time.perf_counter() - started
    write_json(options.out / "times.json", times_record(options, seconds))
    print_claims(ledger)
    if "figures" in options.verbs:
        print(f"\nreport: {report}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if not options.verbs:
        return clean(options.out)
    try:
        if "bert" in options.verbs:
            study_of(options)
        for table in TABLES:
            if table in options.verbs:
                table_study_of(table, options)
        if options.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("--device = 'cuda': must be auto or cpu, no CUDA device is here")
        try:
            write_text(options.out / MARKER, "results of paper_repro.py\n")
        except OSError as error:
            raise ConfigError(f"--out {options.out}: cannot be written ({error})") from None
        run(options)
    except ConfigError as error:
        print(f"paper_repro.py: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Interrupted) as reason:
        if isinstance(reason, Interrupted) and options.late():
            print(
                "\npaper_repro.py: time is up; the same command goes on from here", file=sys.stderr
            )
            return TIME_IS_UP
        print("\npaper_repro.py: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (
        DataError,
        ResultError,
        CheckpointError,
        NonFiniteLossError,
        FunctionChangedError,
        FolderBusyError,
        RunFolderError,
        WorkerDiedError,
        OSError,
    ) as error:
        print(f"paper_repro.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
