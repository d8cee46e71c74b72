"""Regenerate the theory, the toy models, the small BERT study, the figures and the claim ledger.

    python paper_repro.py                      everything, at the scale that takes minutes
    python paper_repro.py theory claims        the theorems alone
    python paper_repro.py bert --text my.txt   the BERT comparison on your own text
    python paper_repro.py table1 --scale small one of the paper's tables, with every control

Results already there for the same configuration and code are kept; Ctrl-C loses nothing and the
same command goes on. Exit status: 0 it ran (whatever the verdicts), 1 something broke, 2 bad
arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Before numpy and torch load: one thread a process. Parallel work is whole processes, and results
# must not depend on how many cores there are.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from tqdm import tqdm

from bert.arms import STUDIES, StudyConfig
from bert.claims import bert_claims
from bert.study import StudyData, build_task, prepare_data, run_study
from bert.table_arms import TABLES, table_arms
from bert.table_study import TableStudy, table_study
from bert.tables import run_table
from bert.task import MaskedLanguageTask
from bert.text import DataError
from figures.report import build as build_report
from figures.results import ResultError
from theory.results import RESULTS, compute_missing
from theory.toy_claims import toy_claims
from training.cache import result_key
from training.checkpoint import CheckpointError
from training.config import ConfigError, from_dict, to_dict
from training.environment import host
from training.files import read_json, write_json, write_text
from training.interrupt import polite_stop
from training.loop import Interrupted, NonFiniteLossError
from training.progress import Bars
from training.runner import FunctionChangedError

VERBS = ("theory", "toy", "bert", "claims", "figures")
SCALES = ("smoke", "small", "gpu", "full")
MARKER = ".share-then-unshare"
UNITS = {"train": "updates", "tune": "updates", "tokens": "tokens", "harvest": "files"}


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
        "full: the paper's own BERT setting",
    )
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: the cores)")
    bert = parser.add_argument_group("bert")
    bert.add_argument(
        "--text",
        type=Path,
        nargs="+",
        default=[],
        help=".txt, .jsonl (.gz, .xz) files or folders (default: the documentation\n"
        "of the installed scientific packages)",
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
        help="any other field of bert.arms.StudyConfig, such as tau=0.2 unit=2\n"
        "placement=post arms=baseline,swe-f",
    )
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
    study = {"size": given.size, "steps": given.steps, "seeds": given.seeds}
    for pair in given.set:
        name, equals, value = pair.partition("=")
        if not equals:
            parser.error(f"--set {pair}: must be of the form NAME=VALUE")
        study[name] = _list(value) if name in ("arms", "rates") else _number_or_text(value)
    device = given.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    jobs = given.jobs or (os.cpu_count() or 1 if device == "cpu" else 1)
    wanted = VERBS if "all" in given.verbs else given.verbs
    return Options(
        tuple(verb for verb in (*VERBS[:3], *TABLES, *VERBS[3:]) if verb in wanted), given.out,
        given.seed, device,
        given.scale, jobs, tuple(given.text), given.vocab,
        {name: value for name, value in study.items() if value is not None},
    )  # fmt: skip


def _list(value: str) -> list[Any]:
    """Read a list of numbers or words between commas."""
    return [_number_or_text(item) for item in value.split(",")]


def _number_or_text(value: str) -> Any:
    """Read a number, true or false as such, anything else as text."""
    try:
        return json.loads(value)
    except ValueError:
        return value


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
    table_arms(table, changed)
    return changed


def _require_text(options: Options) -> None:
    if options.scale in ("gpu", "full") and not options.text:
        raise ConfigError(
            f"--text = nothing: must be given at scale {options.scale} (gigabytes of it)"
        )


def bert_study(options: Options) -> dict[str, float]:
    """Prepare the data, train every run, compare; returns seconds by stage."""
    study = study_of(options)
    started = time.perf_counter()
    with Bars(UNITS) as bars, polite_stop() as stop:
        data = _prepare(study, options, bars)
        task = build_task(study, data)
        prepared = time.perf_counter() - started
        runs = study.seeds * len(study.arms)
        print_budget(
            f"bert: {runs} runs ({len(study.arms)} arms x {study.seeds} seeds) of {study.steps} "
            "updates", task, runs * study.steps * study.accumulation,
        )  # fmt: skip
        config = {"study": to_dict(study), "data": task.describe()["data"], "on": options.device}
        folder = f"{options.scale}-{result_key(config, ('bert', 'training'))[:10]}"
        out = options.out / "bert" / folder
        comparison = run_study(
            study, data, out, device=options.device, jobs=options.jobs, report=bars, stop=stop,
            warn=tqdm.write,
        )  # fmt: skip
    write_json(options.out / "bert" / "current.json", {"folder": folder})
    print_comparison(comparison)
    return {"data": prepared, "bert": time.perf_counter() - started - prepared}


def bert_table(table: str, options: Options) -> dict[str, float]:
    """Tune and train the arms of one of the paper's tables; returns seconds by stage."""
    study = table_study_of(table, options)
    started = time.perf_counter()
    with Bars(UNITS) as bars, polite_stop() as stop:
        data = _prepare(study, options, bars)
        task = build_task(study, data)
        arms = table_arms(table, study)
        trials = len(study.tuning) * len(study.rates)
        updates = (trials + study.seeds) * sum(arm.steps(study) for arm in arms)
        print_budget(
            f"{table}: {len(arms)} arms, each {trials} tuning runs and {study.seeds} paired seeds "
            f"of {study.steps} updates times its budget", task, updates * study.accumulation,
        )  # fmt: skip
        # Seeds, arms and rates may grow; what they have in common names the folder.
        shared = {
            name: value for name, value in to_dict(study).items()
            if name not in ("arms", "seeds", "rates", "tuning_seeds", "peak_lr")
        }  # fmt: skip
        config = {"study": shared, "data": task.describe()["data"], "on": options.device}
        folder = f"{options.scale}-{result_key(config, ('bert', 'training'))[:10]}"
        out = options.out / "bert" / "tables" / folder
        pointer = options.out / "bert" / "tables" / f"{table}.json"
        write_json(pointer, {"folder": folder, "scale": options.scale})
        found = run_table(
            table, study, data, out, device=options.device, jobs=options.jobs, report=bars,
            stop=stop, warn=tqdm.write,
        )  # fmt: skip
    arms_found = {name: found["arms"][name] for name in found["order"]}
    print_comparison(found | {"arms": {n: a for n, a in arms_found.items() if "loss" in a}})
    return {table: time.perf_counter() - started}


def _prepare(study: StudyConfig, options: Options, bars: Bars) -> StudyData:
    return prepare_data(
        study, options.out / "data", text=options.text, vocabulary_file=options.vocab,
        jobs=options.jobs, report=bars,
    )  # fmt: skip


def print_budget(what: str, task: MaskedLanguageTask, batches: int) -> None:
    """Say what is about to be computed, and how long that is at a stated speed."""
    flops = batches * task.flops_per_batch
    print(
        f"{what}, {task.config.parameters / 1e6:.2f} M parameters, {flops:.2e} FLOP in all "
        f"({flops / 4e14 / 3600:.3g} GPU-hours if it sustains 400 TFLOP/s)"
    )


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print every arm's final validation loss and its paired difference to the reference."""
    reference = comparison["reference"]
    print(f"\n{'arm':<14} {'n':>2} {'loss':>8} {'minus ' + reference:>15}  95 % interval, verdict")
    for arm, entry in comparison["arms"].items():
        line = f"{arm:<14} {entry['loss']['n']:>2} {entry['loss']['mean']:>8.4f}"
        gap = entry.get("difference")
        if gap is not None:
            known = gap["low"] is not None
            interval = f"[{gap['low']:+.4f}, {gap['high']:+.4f}]" if known else "none"
            line += f" {gap['mean']:>+15.4f}  {interval}, {entry['verdict']}"
        print(line)


def collect_claims(options: Options) -> list[dict[str, Any]]:
    """Gather the ledger from the result files into claims.json."""
    theory = options.out / "theory" / "claims.json"
    ledger = list(read_json(theory)["data"]) if theory.exists() else []
    ledger += toy_claims(options.out) + bert_claims(options.out)
    write_json(options.out / "claims.json", ledger)
    return ledger


def print_claims(ledger: Sequence[dict[str, Any]]) -> None:
    """Print the ledger as a table, cut to the terminal's width."""
    width = shutil.get_terminal_size((100, 20)).columns
    name, words = (max(len(record[key]) for record in ledger) for key in ("id", "verdict"))
    print(f"\n{'claim':<{name}} {'verdict':<{words}} evidence")
    for record in ledger:
        line = f"{record['id']:<{name}} {record['verdict']:<{words}} {record['evidence']}"
        print(line if len(line) <= width else line[: width - 3] + "...")


def describe_plan(options: Options) -> None:
    """Say what will be done and how long it took where it was last measured."""
    print(f"{', '.join(options.verbs)} at scale {options.scale} into {options.out}/")
    times = Path(__file__).parent / "records" / "default" / "times.json"
    if options.scale == "small" and times.exists():
        known = read_json(times)
        text = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in known["steps"].items())
        print(f"all verbs took, on {known['device']} with {known['cores']} processes: {text}")


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
    seconds: dict[str, float] = {}
    areas = [area for area in RESULTS if area in options.verbs]
    if areas:
        started = time.perf_counter()
        compute_missing(options.out, areas, options.seed, options.scale, options.jobs)
        seconds[" and ".join(areas)] = time.perf_counter() - started
    if "bert" in options.verbs:
        seconds |= bert_study(options)
    for table in TABLES:
        if table in options.verbs:
            seconds |= bert_table(table, options)
    started = time.perf_counter()
    ledger = collect_claims(options)
    if "figures" in options.verbs:
        report = build_report(options.out)
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
    except (KeyboardInterrupt, Interrupted):
        print("\npaper_repro.py: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (
        DataError, ResultError, CheckpointError, NonFiniteLossError, FunctionChangedError, OSError,
    ) as error:  # fmt: skip
        print(f"paper_repro.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
