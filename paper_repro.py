"""Regenerate the theory, the toy models, the small BERT study, the figures and the claim ledger.

    python paper_repro.py                      everything, at the scale that takes minutes
    python paper_repro.py theory claims        the theorems alone
    python paper_repro.py bert --text my.txt   the BERT comparison on your own text
    python paper_repro.py table1 --scale small one of the paper's tables, with every control
    python paper_repro.py languages            the arms on a language whose truth is known, judged
    python paper_repro.py rivals --budgets 0.5,1,2     all methods there, at equal compute
    python paper_repro.py rivals --text my.txt --scale small     those that matter, on your text
    python paper_repro.py plan --scale full --on h200 --gpus 8     what the tables would take there
    python paper_repro.py check results        are these results those that come with the package?

Results already there for the same configuration and code are kept; Ctrl-C loses nothing and the
same command goes on. So it does after --max-minutes. Exit status: 0 it ran (whatever the verdicts;
of check: all within their tolerances), 1 something broke (of check: something is not), 2 what was
asked for is impossible, 75 the time was up or a signal (SIGTERM, SIGHUP, SIGUSR1, SIGUSR2) asked
for an end and work is left, 130 interrupted, 141 the reader of the output has gone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Any

import swe.base.threads  # noqa: F401 - before numpy and torch load
from bert.claims.ledger import bert_claims
from bert.data.options import reading_of
from bert.study.asked import LISTS, asked_methods, asked_study, asked_table
from bert.study.commands import (
    Place,
    language_command,
    rivals_command,
    study_command,
    table_command,
)
from bert.study.language_study import LANGUAGES, asked_language, demonstration
from bert.study.options import (
    add_budgets,
    add_device,
    add_languages,
    add_other_code,
    add_speed_options,
    add_study_options,
    budgets_of,
    device_name,
    device_of,
    speed_of,
)
from bert.study.plan_command import FILE as PLAN
from bert.study.plan_command import add_plan, plan_command, refuse_without_plan
from bert.study.table_arms import TABLES
from evidence import made
from evidence.check import check
from evidence.claim import Record, in_words
from evidence.commands import (
    add_minutes,
    ended,
    joined,
    require_apart,
    require_free,
    settings_of,
)
from evidence.recorded_times import announced, note_times, time_on_record
from evidence.results import missing_records, read_data, reading
from figures.pages.report import build as build_report
from swe.base.config import require_count
from swe.base.errors import ConfigError
from swe.base.files import write_json
from swe.base.interrupt import Stop, stop_if
from swe.base.options import Parser
from theory.claims.toys import toy_claims
from theory.studies.results import RESULTS, compute_missing

NAME = "paper_repro.py"
ROOT = Path(__file__).resolve().parent
RECORDS = ROOT / "records"
TIMES_AT_FULL = RECORDS / "full" / "result_times.json"
STUDIES_ON_RECORD = RECORDS / "studies"
"""Tables of longer runs that come with the package; claims and report use them, and say so."""

VERBS = {
    "theory": "the theorems, exactly, and what they are checked by",
    "toy": "toy models whose truth is known, trained on the core",
    "bert": "a small BERT with and without SWE, paired seeds",
    "languages": "BERT on languages of known truth; by itself hours,\n"
    "in all (and at --scale demo) a demonstration of minutes",
    "claims": "the ledger: every claim with its verdict and evidence",
    "figures": "every figure and table, and the report",
}
"""Verbs of the default run, in their order; each reads what the ones before it left in files."""
ALONE = {
    "plan": "what bert and the tables would take elsewhere; name verbs after it, or plan all",
    "check": "compare results with those on record: check RESULTS",
    "clean": "remove from --out what these commands made there, and nothing else",
}
HOURS = (*TABLES, "rivals")
"""Verbs that take hours at scale small: the tables, and all methods at equal compute."""
WORK = (*list(VERBS)[:4], *HOURS)
"""Verbs that compute."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    line = Parser(prog=NAME, description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    listed = "\n".join(
        f"{verb:<9} {what.replace(chr(10), chr(10) + ' ' * 10)}"
        for verb, what in (VERBS | ALONE).items()
    )
    line.add_argument(
        "verbs",
        nargs="*",
        default=["all"],
        metavar="verb",
        help=f"all (default), or one or more of\n{listed}\nor, hours long,\n{', '.join(TABLES)},\n"
        "rivals (all methods at equal compute, on the languages or on --text; smoke: two minutes)",
    )
    line.add_argument("--out", type=Path, default=Path("results"), help="results folder")
    line.add_argument("--seed", type=int, default=0, help="seed of everything random")
    add_device(line)
    line.add_argument(
        "--scale",
        choices=("smoke", "demo", "small", "gpu", "full"),
        default="small",
        help="smoke: a minute; small: minutes (tables: an evening); gpu: the tables on one GPU;\n"
        "demo: the languages alone, in minutes, with too few seeds for a verdict;\n"
        "full: the paper's own BERT setting; theory and toy then took\n"
        + fill(time_on_record(TIMES_AT_FULL, RESULTS) or "a time that is not on record", 78),
    )
    line.add_argument("--jobs", type=int, default=0, help="processes (default: the cores)")
    add_minutes(line)
    bert = line.add_argument_group("bert")
    add_study_options(bert)
    add_languages(bert)
    add_budgets(bert)
    bert.add_argument("--seeds", type=int, help="paired seeds")
    add_other_code(bert)
    add_speed_options(bert)
    add_plan(line.add_argument_group("plan"))
    return line


def checked(given: argparse.Namespace) -> None:
    """Refuse what cannot be meant. ConfigError names it."""
    known = (*VERBS, *HOURS, *ALONE, "all")
    for verb in given.verbs:
        if verb not in known:
            raise ConfigError(f"verb {verb!r}: must be one of {', '.join(known)}")
    if "clean" in given.verbs and len(given.verbs) > 1:
        raise ConfigError("clean: stands alone")
    if "check" in given.verbs:
        raise ConfigError("check: takes one results folder and nothing else: check RESULTS")
    if "plan" not in given.verbs:
        refuse_without_plan(given)
        small = [verb for verb in ("all", *WORK[:4], "rivals") if verb in given.verbs]
        if given.scale == "gpu" and small:
            raise ConfigError(f"--scale gpu: only for {', '.join(TABLES)}, not for {small[0]}")
        other = [verb for verb in ("all", *WORK) if verb in given.verbs and verb != "languages"]
        if given.scale == "demo" and other:
            raise ConfigError(f"--scale demo: only for languages, not for {other[0]}")
    if given.budgets is not None and "rivals" not in given.verbs:
        raise ConfigError("--budgets: is of the verb rivals; add rivals, or leave --budgets out")
    require_count("--seed", given.seed, 0)
    require_count("--jobs", given.jobs, 0)
    require_free(given.out, ROOT)
    if given.verbs != ["clean"]:
        made.require_not_theirs(given.out)
    require_apart(given.out, [*given.text, *given.valid])


def asked_verbs(given: argparse.Namespace) -> list[str]:
    """Return the verbs to be done, in their order."""
    wanted = set(VERBS) if "all" in given.verbs else set(given.verbs)
    return [verb for verb in (*WORK, "claims", "figures") if verb in wanted]


def asked_settings(given: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that options and --set name. ConfigError where two differ."""
    named = {"size": given.size, "steps": given.steps, "seeds": given.seeds}
    named |= {"budgets": budgets_of(given)}
    settings = joined(named, settings_of(given.set, lists=LISTS))
    first = settings.get("first_seed", given.seed)
    if given.seed not in (0, first):
        raise ConfigError(
            f"--seed {given.seed} and --set first_seed={first}: leave one of them out"
        )
    return settings


def run(given: argparse.Namespace, late: Stop) -> int:
    """Do what the command line asks for; returns the exit status."""
    if given.verbs[0] == "check" and len(given.verbs) == 2:
        return check(Path(given.verbs[1]), RECORDS / "default")
    checked(given)
    if given.verbs == ["clean"]:
        return clean(given.out)
    settings = asked_settings(given)
    if "plan" in given.verbs:
        found = plan_command(given, settings, RECORDS)
        with made.noted(given.out, made.NAMES):
            write_json(given.out / PLAN, found)
        print(f"\nwrote {given.out / PLAN}")
        return 0
    verbs = asked_verbs(given)
    asked = (given.scale, given.seed, settings, given.text)
    study = asked_study(*asked) if "bert" in verbs else None
    tables = {table: asked_table(table, *asked) for table in TABLES if table in verbs}
    whole = "all" in given.verbs
    # The demonstration's cells are fixed: settings of the other verbs do not reach them.
    languages = [demonstration(kind, given.scale, given.seed) for kind in LANGUAGES if whole] or [
        asked_language(kind, *asked[:3])
        for kind in dict.fromkeys(given.language or ["composition"])
        if "languages" in verbs
    ]
    rivals = asked_methods(given.language or (), *asked) if "rivals" in verbs else []
    device = device_of(given)
    place = Place(
        out=given.out,
        scale=given.scale,
        device=device,
        jobs=given.jobs or (os.cpu_count() or 1 if device == "cpu" else 1),
        text=tuple(given.text),
        vocab=given.vocab,
        reading=reading_of(given),
        valid=tuple(given.valid),
        cased=given.cased,
        speed=speed_of(given, device, adopted=any(one.encoder != "own" for one in languages)),
        late=late,
        other_code=given.other_code,
    )
    areas = {area: RESULTS[area] for area in RESULTS if area in verbs}
    print(f"{', '.join(verbs)} at scale {given.scale} into {given.out}/")
    print(announced(RECORDS, given.scale, areas, whole=whole), end="")
    if note := missing_records(STUDIES_ON_RECORD.parent):
        print(f"{NAME}: {note}", file=sys.stderr)
    seconds: dict[str, float] = {}
    with made.noted(given.out, made.NAMES):
        if areas:
            started = time.perf_counter()
            compute_missing(given.out, list(areas), given.seed, given.scale, place.jobs, stop=late)
            seconds[" and ".join(areas)] = time.perf_counter() - started
        if study is not None:
            seconds |= study_command(study, place)
        for table, wanted in tables.items():
            seconds |= table_command(table, wanted, place)
        for language in languages:
            at = "demo" if whole and given.scale != "smoke" else given.scale
            seconds |= language_command(language, replace(place, scale=at))
        for one in rivals:
            seconds |= rivals_command(one, place)
        stop_if(late)
        started = time.perf_counter()
        ledger = collect_claims(given.out)
        if "figures" in verbs:
            report = build_report(given.out, STUDIES_ON_RECORD)
            seconds["figures"] = time.perf_counter() - started
        note_times(given.out / "times.json", seconds, place.jobs, device_name(device))
    print_claims(ledger)
    if "figures" in verbs:
        print(f"\nreport: {report}")
    return 0


def collect_claims(out: Path) -> list[Record]:
    """Gather the ledger from the result files into claims.json."""
    ledger: list[Record] = []
    for name in ("claims", "adam_claims"):
        source = f"theory/{name}.json"
        with reading(out / source):
            found = read_data(out, source)
            ledger += [Record.from_json(record, out / source) for record in found or []]
    ledger += toy_claims(out)
    with reading(out / "bert"):
        ledger += bert_claims(out, STUDIES_ON_RECORD)
    write_json(out / "claims.json", [record.to_json() for record in ledger])
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


def clean(out: Path) -> int:
    """Remove what the program made in a results folder; returns the exit status."""
    if not out.exists():
        print(f"{out}: nothing to remove")
        return 0
    stays = made.clean(out)
    kept = f"; not made by this program, and left: {', '.join(stays)}" if stays else ""
    print(f"{out}: removed what was made there{kept}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    return ended(NAME, lambda late: run(given, late), minutes=given.max_minutes)


if __name__ == "__main__":
    sys.exit(main())
