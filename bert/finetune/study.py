"""All fine-tunes of one task: every rate and seed, the rate picked on dev, a table of every value.

Selection: the rate with the highest mean of the development scores over the seeds (the lower rate
at a tie; a run without a score counts as its baseline of 0). The mean at the selected rate is
optimistic, for it is the best of several on the same examples; that is the paper's procedure, and
the test part, whose labels only the GLUE server has, is the remedy. Degenerate runs are flagged,
never dropped: the means are over all seeds, the mean without them stands beside.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from bert.data.reading import Errors
from bert.data.text import DataError
from bert.finetune.data.glue import find_file, read_part, task_folder
from bert.finetune.data.squad import Version, read_squad
from bert.finetune.data.tasks import glue_task
from bert.finetune.learning.config import DEGENERATE_RULE, SQUAD, FinetuneConfig
from bert.finetune.learning.run import SCORE, fine_tune
from bert.finetune.learning.sentence_task import SentenceTask
from bert.finetune.learning.span_task import SpanTask
from bert.finetune.learning.start import StartingPoint, open_start
from evidence.begun import OtherCode, keyed_folder
from evidence.comparison import Interval
from swe.base.config import require, to_dict
from swe.base.files import read_json, write_json
from swe.run.pool import Job, Report, run_jobs
from swe.run.speed import SpeedConfig

TABLE = "table.json"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What lies where. A worker opens it by itself."""

    pretrained: Path
    """Folder of the pre-trained model."""
    data: Path
    """GLUE's folder, the task's own, or SQuAD's."""
    vocabulary: Path | None = None
    """Vocabulary, where it is not found beside the model."""
    train: tuple[Path, ...] = ()
    """SQuAD: training files other than the official one, taken together."""
    dev: Path | None = None
    """SQuAD: development file other than the official one."""
    errors: Errors = "strict"
    """GLUE: what becomes of bytes that are not UTF-8 (see bert.data.reading)."""


@functools.lru_cache(maxsize=1)
def build_task(sources: Sources, config: FinetuneConfig) -> SentenceTask | SpanTask:
    """Read data and model. Kept for the next run of the same worker.

    Raises DataError or ConfigError in one line.
    """
    return open_task(open_start(sources.pretrained, sources.vocabulary), sources, config)


def open_task(
    pretrained: StartingPoint, sources: Sources, config: FinetuneConfig
) -> SentenceTask | SpanTask:
    """Read the data of a task for a model."""
    if config.task in SQUAD:
        return _open_squad(pretrained, sources, config)
    require(
        not sources.train and sources.dev is None,
        "--train, --dev",
        config.task,
        "given for SQuAD alone",
    )
    glue = glue_task(config.task)
    folder = task_folder(glue, sources.data)
    found = {name: read_part(glue, folder, name, sources.errors) for name in glue.parts}
    parts = {name: part for name, part in found.items() if part is not None}
    for name in ("train", "dev"):
        if name not in parts:
            raise DataError(f"{folder}: has no {glue.parts[name].files[0]}")
    return SentenceTask(config, pretrained, glue, parts)


def _open_squad(pretrained: StartingPoint, sources: Sources, config: FinetuneConfig) -> SpanTask:
    version = cast(Version, SQUAD[config.task])

    def official(part: str) -> Path:
        name = f"{part}-v{version}.json"
        for folder in (sources.data / "SQuAD", sources.data):
            if (path := find_file(folder, (name,))) is not None:
                return path
        raise DataError(f"{sources.data}: neither it nor SQuAD/ in it holds {name}")

    train = sources.train or (official("train"),)
    dev = sources.dev or official("dev")
    return SpanTask(
        config, pretrained, [read_squad(path, version) for path in train], read_squad(dev, version)
    )


def runs_folder(
    out: Path, task: str, other_code: OtherCode, asked: Sequence[Sequence[str]]
) -> Path:
    """Return the folder of a task's runs by this code: ``out/runs/TASK-CODE``.

    ``asked``: the runs, as paths in it; where one of several is enough, these. ConfigError when
    other code began some of them, did not end them all, and ``other_code`` does not say what to do.
    """

    def half_done(folder: Path) -> bool:
        begun = any((folder / run / "config.json").exists() for runs in asked for run in runs)
        return begun and not all(
            any((folder / run / SCORE).exists() for run in runs) for runs in asked
        )

    return keyed_folder(out / "runs", task, build_task.__module__, other_code, half_done)


def run_name(rate: float, seed: int) -> str:
    """Return the name of one run's folder."""
    return f"{rate:g}-s{seed}"


def run_finetune(
    sources: Sources,
    config: FinetuneConfig,
    out: Path,
    *,
    device: str = "cpu",
    jobs: int = 1,
    report: Report = lambda what, done, total: None,
    speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
    other_code: OtherCode = "refuse",
) -> dict[str, Any]:
    """Run all (rate, seed) of a task and write its table; finished runs of this code are kept.

    Errors as ``swe.run.pool.run_jobs`` and :func:`runs_folder`. Writes ``out/TASK/table.json`` and
    the selected run's predictions to ``out/submission/``.
    """
    task = build_task(sources, config)
    names = [run_name(rate, seed) for seed in range(config.seeds) for rate in config.rates]
    place = runs_folder(out, config.task, other_code, [[name] for name in names])
    layout, examples = task.pretrained.layout, len(task.rows)
    todo = [
        Job(
            place / run_name(rate, seed),
            config.train_config(rate, seed, examples, layout),
        )
        for seed in range(config.seeds)
        for rate in config.rates
    ]

    def train(these: Sequence[Job], *, submitted: bool) -> None:
        train_all(
            build_task,
            (sources, config),
            these,
            run=partial(fine_tune, speed=speed, submitted=submitted),
            jobs=jobs,
            device=device,
            report=report,
            stop=stop,
            warn=warn,
            what=config.task,
        )

    train(todo, submitted=False)
    # Of the parts without labels the selected run's answers alone are read, so it alone is repeated
    # when one of them has changed.
    best = place / run_name(*submitted_run(task, place))
    train([job for job in todo if job.folder == best], submitted=True)
    return write_table(task, place, out)


def train_all(
    build: Callable[..., Any],
    arguments: tuple[Any, ...],
    todo: Sequence[Job],
    *,
    run: Callable[..., Any],
    jobs: int,
    device: str,
    report: Report,
    stop: Callable[[], bool],
    warn: Callable[[str], None],
    what: str,
) -> None:
    """Do ``run(build(*arguments), config, folder, ...)`` for all jobs, in workers if ``jobs`` > 1.

    One after another they run in this process, on one thread as a worker would: the same results.
    """
    if jobs > 1:
        run_jobs(
            build,
            arguments,
            todo,
            device=device,
            processes=jobs,
            report=report,
            stop=stop,
            warn=warn,
            what=what,
            run=run,
        )
        return
    total = sum(job.config.steps for job in todo)
    before, threads = 0, torch.get_num_threads()

    def progress(step: int, row: dict[str, Any]) -> None:
        report(what, before + step, total)

    torch.set_num_threads(1)
    try:
        for job in todo:
            run(
                build(*arguments),
                job.config,
                job.folder,
                device=device,
                progress=progress,
                stop=stop,
                warn=warn,
            )
            before += job.config.steps
            report(what, before, total)
    finally:
        torch.set_num_threads(threads)


def submitted_run(task: SentenceTask | SpanTask, runs: Path) -> tuple[float, int]:
    """Return rate and seed of the run whose answers are submitted: the best at the best rate."""
    _, selected, best = _selected(task.config, _scores(task.config, runs))
    return selected["rate"], best["seed"]


def _scores(config: FinetuneConfig, runs: Path) -> list[dict[str, Any]]:
    return [
        read_json(runs / run_name(rate, seed) / SCORE)
        for rate in config.rates
        for seed in range(config.seeds)
    ]


def _selected(
    config: FinetuneConfig, rows: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Return the summaries of all rates, that of the selected one, and its best run."""
    rates = [_summary(rate, [row for row in rows if row["rate"] == rate]) for rate in config.rates]
    selected = max(rates, key=lambda entry: (entry["mean"], -entry["rate"]))
    mine = [row for row in rows if row["rate"] == selected["rate"]]
    return rates, selected, max(mine, key=lambda row: (_value(row), -row["seed"]))


def write_table(task: SentenceTask | SpanTask, runs: Path, out: Path) -> dict[str, Any]:
    """Gather the scores of a task's ``runs``, select, write the table and the submission."""
    config = task.config
    rows = _scores(config, runs)
    rates, selected, best = _selected(config, rows)
    submitted = runs / run_name(best["rate"], best["seed"])
    table = {
        "task": config.task,
        "metric": next((row["metric"] for row in rows if "metric" in row), None),
        "unit": "points, 100 times the fraction",
        "recipe": to_dict(config),
        "rule": DEGENERATE_RULE.format(margin=config.margin),
        "pretrained": task.pretrained.origin,
        "model": task.pretrained.config.describe(),
        "data": task.sources(),
        "environment": read_json(submitted / "environment.json"),
        "rows": rows,
        "rates": rates,
        "selected": selected | {"submitted_seed": best["seed"]},
    }
    if beyond := task.beyond_pretraining:
        table["beyond_pretraining"] = beyond
    write_json(out / config.task / TABLE, table)
    _submit(submitted / "predictions", out, task)
    return table


def _value(row: dict[str, Any]) -> float:
    return 0.0 if row["value"] is None else float(row["value"])


def _summary(rate: float, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [_value(row) for row in rows]
    sound = [_value(row) for row in rows if not row["degenerate"]]
    return {
        "rate": rate,
        "values": values,
        **asdict(Interval.of(values)),
        "degenerate": len(values) - len(sound),
        "mean_of_sound": Interval.of(sound).mean if sound else None,
    }


def _submit(found: Path, out: Path, task: SentenceTask | SpanTask) -> None:
    """Copy the selected run's prediction files to where a submission is packed from."""
    target = out / "submission"
    if isinstance(task, SpanTask):
        target = target / task.config.task
        names = [path.name for path in sorted(found.glob("*.json"))]
    else:
        specs = task.glue.parts.values()
        names = [f"{spec.submission}.tsv" for spec in specs if spec.submission]
    for name in names:
        if (found / name).is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found / name, target / name)
