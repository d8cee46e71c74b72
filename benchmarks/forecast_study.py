"""Forecast a study on text or on a language before it is run: one record, to be committed first.

It is asked for as the study itself is (``paper_repro.py``'s table or language, scale, settings and
text), with one of its rates; docs/forecast.md sets it beside the study of the same name once that
is on record. What is rehearsed is the baseline's own run: start, batches, rates, clipping as
``swe.train`` has them.

    python -m benchmarks.forecast_study headline --scale small --text wiki.txt.xz --work data \\
        --set objective=causal --rate 2e-3 --out records/forecast/studies/causal-12x64.json
    python -m benchmarks.forecast_study composition --scale small --set language.hops=6 \\
        --rate 2e-3 --out records/forecast/studies/composition-8x64-far-pre.json
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bert.model.prediction import TokenPrediction
from bert.study.asked import LISTS, asked_table
from bert.study.comparison import build_task, prepare_data
from bert.study.language_study import LANGUAGES, asked_language, build_language_task
from bert.study.table_arms import TABLES, baseline
from bert.study.table_study import TableStudy
from evidence.commands import add_settings, ended, settings_of
from figures.pages.studies import without_folders
from swe.base.config import require, to_dict
from swe.base.environment import host
from swe.base.errors import ConfigError
from swe.base.files import write_json
from swe.base.interrupt import Stop
from swe.base.options import Parser
from swe.base.progress import Bars
from swe.predict.forecast import forecast
from swe.predict.measured import SHARES
from swe.probes.measure import Progress, measure
from swe.probes.run import Run
from swe.run.optimizer import build_adamw
from swe.run.run_config import TrainConfig

NAME = "benchmarks.forecast_study"
FLOOR = "floor"
"""What a task with a known truth calls its least possible loss."""


def begin(task: TokenPrediction, config: TrainConfig) -> Run:
    """Begin the run of ``config``'s seed, to be rehearsed; dropout is drawn anew in each rehearsal.

    The held-out loss is in nats, above the floor where the task knows one.
    """
    steps, rates = config.steps, config.optimizer
    model = task.build(config.seed)

    def loss(model: nn.Module, step: int) -> Tensor:
        first = step * config.accumulation
        numbers = range(first, first + config.accumulation)
        parts = [task.loss(model, task.batch(config.seed, number)) for number in numbers]
        return torch.stack(parts).mean()

    def held(model: nn.Module) -> float:
        found = task.evaluate(model.eval(), torch.device("cpu"))
        return found["loss"] - found.get(FLOOR, 0.0)

    return Run(
        model=model,
        layers="stack",
        optimizer=build_adamw(model, rates),
        loss=loss,
        held=held,
        rate=lambda done: rates.learning_rate(round(done * steps), steps) / rates.peak_lr,
        clip_norm=rates.clip_norm,
    )


def forecast_study(
    study: TableStudy,
    task: TokenPrediction,
    rate: float,
    *,
    share: float = SHARES[1],
    progress: Progress = lambda done, total, what: None,
) -> dict[str, Any]:
    """Forecast SWE in a study at one of its rates, on its first tuning seed, which judges nothing.

    Returns what the file of a forecast holds beside its origin. ConfigError for a rate that the
    study does not try, for another precision than float32, for a stock encoder, and as
    ``swe.measure``.
    """
    require(rate in study.rates, "rate", rate, f"one of {', '.join(map(str, study.rates))}")
    if study.precision != "float32":
        raise ConfigError("precision: a forecast is made in float32; set precision=float32")
    if getattr(study, "encoder", "own") != "own":
        raise ConfigError("encoder: a forecast is made with our own; set encoder=own")
    seed = study.tuning[0] if study.tuning else study.first_seed
    config = replace(study.arm_config(baseline(), rate, seed), probe_interval=0)
    found = measure(lambda: begin(task, config), config.steps, share=share, progress=progress)
    return {
        "study": to_dict(study),
        "rate": rate,
        "seed": seed,
        "measured": asdict(found),
        "forecast": asdict(forecast(found)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = Parser(prog=f"python -m {NAME}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", choices=[*TABLES, *LANGUAGES], help="as paper_repro.py has it")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the study")
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="as paper_repro.py's")
    parser.add_argument("--work", type=Path, help="folder for a text's prepared data")
    parser.add_argument("--rate", type=float, required=True, help="one of the study's rates")
    parser.add_argument("--share", type=float, default=SHARES[1], choices=SHARES)
    parser.add_argument("--out", type=Path, required=True, help="the record")
    add_settings(parser, help="the study's settings, as paper_repro.py's")
    given = parser.parse_args(arguments)

    def work(late: Stop) -> None:
        torch.set_num_threads(1)
        settings = settings_of(given.set, lists=LISTS)
        study: TableStudy
        task: TokenPrediction
        if given.table in LANGUAGES:
            study = language = asked_language(given.table, given.scale, given.seed, settings)
            task = build_language_task(language)
        elif given.work is None or not given.text:
            raise ConfigError(f"{given.table}: is a study on text; name it and a folder: --work")
        else:
            study = asked_table(given.table, given.scale, given.seed, settings, given.text)
            task = build_task(study, prepare_data(study, given.work, text=given.text))
        with Bars({"rehearsals": "updates"}) as bars:
            found = forecast_study(
                study,
                task,
                given.rate,
                share=given.share,
                progress=lambda done, total, what: bars("rehearsals", done, total, what),
            )
        here = host()
        here["command"] = without_folders(here["command"])
        write_json(given.out, {"table": given.table, **found, "environment": here})

    return ended(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
