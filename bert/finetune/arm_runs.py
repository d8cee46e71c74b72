"""The fine-tunes of a pre-training table's arms: which models there are, what is run, what is kept.

Command: bert.finetune.arms. Statistics: bert.finetune.arm_scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from bert.data.text import DataError
from bert.finetune.arm_scores import Rows, named, select_rate, task_scores
from bert.finetune.learning.config import DEGENERATE_RULE, TASKS, FinetuneConfig
from bert.finetune.learning.run import SCORE, fine_tune
from bert.finetune.learning.sentence_task import SentenceTask
from bert.finetune.learning.span_task import SpanTask
from bert.finetune.learning.start import open_start
from bert.finetune.study import Sources, build_task, run_name, runs_folder, train_all
from bert.study.paper_numbers import fine_tuned
from bert.study.table_arms import REFERENCE
from evidence.begun import OtherCode
from evidence.results import pointed
from swe.base.config import require, to_dict
from swe.base.errors import ConfigError
from swe.base.files import plain_name, read_json, write_json
from swe.base.interrupt import Stop
from swe.run.pool import Job, Report
from swe.run.record import commits_of
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.sharing.layout import Layout

MAIN = (REFERENCE, "baseline x2", "equal-start", "swe-f", "swe-a", "swe-m")
"""Arms that are taken unless others are named, as far as the table has them."""
AT_CHOSEN = "{}, chosen rate"
"""What progress is reported of when the rates are chosen, with the task's name."""


@dataclass(frozen=True)
class TableRuns:
    """The finished runs of a table: ``models`` is {arm: {pre-training seed: run folder}}."""

    name: str
    folder: str
    table: dict[str, Any]
    models: dict[str, dict[int, Path]]


def open_table(
    results: Path, name: str, arms: Sequence[str] = (), seeds: int | None = None
) -> TableRuns:
    """Find the runs of a table: of ``arms`` (default: MAIN), the baseline first in any case.

    Of the pre-training seeds those that all these arms have finished, the first ``seeds`` of them.
    Raises DataError in one line without a table or such seeds, ConfigError for an unknown arm.
    """
    tables = results / "bert" / "tables"
    try:
        place = pointed(results, f"bert/tables/{name}.json")
        if place is None:
            raise FileNotFoundError(name)
        folder = place.rpartition("/")[2]
        table: dict[str, Any] = read_json(tables / folder / f"{name}.json")
        known, order = table["arms"], list(table["order"])
        if not arms:
            arms = [arm for arm in MAIN if "folders" in known.get(arm, {})]
        for arm in arms:
            require(arm in order, "--arms", arm, f"one of {', '.join(order)}")
        taken = [arm for arm in order if arm in {REFERENCE, *arms}]
        found = {
            arm: {int(seed): plain_name(run) for seed, run in known[arm].get("folders", {}).items()}
            for arm in taken
        }
    except FileNotFoundError:
        raise DataError(
            f"{results}: has no {name} yet; python paper_repro.py {name} makes it"
        ) from None
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{tables}: {name} cannot be read ({error!r})") from None
    paired = sorted(set.intersection(*(set(runs) for runs in found.values())))[:seeds]
    if not paired:
        unfinished = [arm for arm, runs in found.items() if not runs] or taken
        raise DataError(
            f"{tables / folder}: {name} has no pre-training seed that is finished for all of "
            f"{', '.join(unfinished)}"
        )
    runs_folder = tables / folder / "runs"
    return TableRuns(
        name,
        folder,
        table,
        {arm: {seed: runs_folder / found[arm][seed] for seed in paired} for arm in taken},
    )


@dataclass(frozen=True)
class Models:
    """What a worker needs to open any model: {name of the run folder: sources}, one recipe."""

    sources: dict[str, Sources]
    config: FinetuneConfig

    def task(self, name: str) -> SentenceTask | SpanTask:
        """Open the task on one model."""
        return build_task(self.sources[name], self.config)


def fine_tune_model(models: Models, config: TrainConfig, folder: Path, **how: Any) -> Any:
    """Fine-tune the model that ``folder`` (MODEL/RUN) is named for."""
    return fine_tune(models.task(folder.parent.name), config, folder, **how)


@lru_cache(maxsize=256)
def _layout(folder: Path, vocabulary: Path | None) -> Layout:
    return open_start(folder, vocabulary).layout


def run_arms(
    runs: TableRuns,
    config: FinetuneConfig,
    sources: Callable[[Path], Sources],
    out: Path,
    *,
    select: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
    report: Report = lambda what, done, total: None,
    stop: Stop = lambda: False,
    warn: Callable[[str], None] = print,
    other_code: OtherCode = "refuse",
) -> dict[str, Any]:
    """Fine-tune all models of ``runs`` on one task and write the scores; returns the whole file.

    ``sources`` says where a model and the data lie. The first ``select`` pre-training seeds (None:
    all) choose each arm's rate; the others are then fine-tuned at that rate alone. Errors as
    ``swe.run.pool.run_jobs`` and ``bert.finetune.study.runs_folder``. Fine-tunes lie in
    ``out/runs/TASK-CODE/MODEL/RATE-sSEED``, the scores in ``out/TABLE.json``, where other tasks'
    stay.
    """
    where = {path.name: sources(path) for seeds in runs.models.values() for path in seeds.values()}
    models = Models(where, config)
    first = next(iter(where))
    task = models.task(first)
    examples, described = len(task.rows), task.sources()
    paired = list(runs.models[REFERENCE])
    choosing = paired[:select]
    place = runs_folder(
        out,
        config.task,
        other_code,
        [
            [f"{seeds[one].name}/{run_name(rate, seed)}" for rate in rates]
            for seeds in runs.models.values()
            for one in paired
            for rates in ([[r] for r in config.rates] if one in choosing else [config.rates])
            for seed in range(config.seeds)
        ],
    )

    def folder(model: Path, rate: float, seed: int) -> Path:
        return place / model.name / run_name(rate, seed)

    def train(pairs: Sequence[tuple[Path, float]], what: str) -> None:
        todo = [
            Job(
                folder(model, rate, seed),
                config.train_config(
                    rate, seed, examples, _layout(model, where[model.name].vocabulary)
                ),
            )
            for model, rate in pairs
            for seed in range(config.seeds)
        ]
        train_all(
            Models,
            (where, config),
            todo,
            run=partial(fine_tune_model, speed=speed),
            jobs=jobs,
            device=device,
            report=report,
            stop=stop,
            warn=warn,
            what=what,
        )

    def rows(model: Path, rates: Sequence[float]) -> Rows:
        return [
            read_json(folder(model, rate, seed) / SCORE)
            for rate in rates
            for seed in range(config.seeds)
        ]

    train(
        [
            (runs.models[arm][seed], rate)
            for seed in choosing
            for arm in runs.models
            for rate in config.rates
        ],
        config.task,
    )
    rates = {
        arm: select_rate(config.rates, [rows(seeds[seed], config.rates) for seed in choosing])
        for arm, seeds in runs.models.items()
    }
    train(
        [
            (runs.models[arm][seed], rates[arm])
            for seed in paired
            if seed not in choosing
            for arm in runs.models
        ],
        AT_CHOSEN.format(config.task),
    )
    fine_tunes = {
        arm: {
            seed: rows(model, config.rates if seed in choosing else (rates[arm],))
            for seed, model in seeds.items()
        }
        for arm, seeds in runs.models.items()
    }
    lines = task_scores(fine_tunes, rates, config.rates, REFERENCE)
    about = {
        "task": config.task,
        "recipe": to_dict(config),
        "data": described,
        "pretraining_seeds": paired,
        "choosing_seeds": choosing,
        **({"beyond_pretraining": beyond} if (beyond := task.beyond_pretraining) else {}),
        "environment": read_json(
            folder(runs.models[REFERENCE][paired[-1]], rates[REFERENCE], 0) / "environment.json"
        ),
        "commits": {
            f"{path.parent.name}/{path.name}": commits_of(path)
            for path in sorted(place.glob("*/*"))
        },
    }
    lines = {name: about | line for name, line in named(lines, config.task).items()}
    return write_scores(runs, lines, config, out)


def write_scores(
    runs: TableRuns, lines: Mapping[str, Any], config: FinetuneConfig, out: Path
) -> dict[str, Any]:
    """Put the lines of one task into ``out/TABLE.json`` and return the file's content."""
    path = out / f"{runs.name}.json"
    earlier = read_json(path)["tasks"] if path.exists() else {}
    kept = {name: line for name, line in earlier.items() if line["task"] != config.task}
    tasks = kept | dict(lines)
    arms = {arm for line in tasks.values() for arm in line["arms"]}
    table = runs.table
    result = {
        "table": runs.name,
        "reference": REFERENCE,
        "order": [arm for arm in table["order"] if arm in arms],
        "tasks": tasks,
        "task_order": sorted(tasks, key=lambda name: (TASKS.index(tasks[name]["task"]), name)),
        "unit": "points, 100 times the fraction",
        "rule": DEGENERATE_RULE.format(margin=config.margin),
        "paper": fine_tuned(runs.name, table["study"]["placement"]),
        "study": table["study"],
        "pretraining": {
            arm: {
                name: table["arms"][arm].get(name)
                for name in ("steps", "tokens", "rate", "loss", "difference", "verdict")
            }
            for arm in table["order"]
            if arm in arms
        },
    }
    write_json(path, result)
    return result
