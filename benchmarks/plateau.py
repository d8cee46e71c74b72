"""Look for the cheapest setting at which a masked language model leaves its plateau.

A run a setting: the CENTRE, every value of FACTORS alone, the settings of TOGETHER, and those of
``--also``, of the baseline arm with one seed. A run ends when its held-out loss is
evidence.plateau.MARGIN below the best blind loss of its own text, vocabulary and masks, or when its
tokens are spent: all settings are given the same tokens, cut into batches of their own, and decay
to zero at that end. One JSON line a setting, as soon as it is known, for the block ``plateau`` of
docs/bert.md; what is there is not run again, and what was stopped goes on from its checkpoint.

    python -m benchmarks.plateau --text wiki.txt.xz --work plateau --list
    python -m benchmarks.plateau --text wiki.txt.xz --work plateau \\
        --out records/plateau/settings.jsonl --jobs 2 --max-minutes 100
    python -m benchmarks.plateau ... --also size=6x128,vocabulary=512,rate=0.001
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from bert.data.masking import masked_per_row
from bert.data.store import TokenStore
from bert.data.vocab import read_vocabulary
from bert.model.config import Placement
from bert.model.encoder import Bert
from bert.pretraining.task import MaskedLanguageTask
from bert.study.arms import StudyConfig
from bert.study.comparison import StudyData, prepare_data
from bert.study.plateau import course, stated
from evidence.commands import TIME_IS_UP, add_minutes, ended, settings_of
from evidence.plateau import bar
from swe.base.config import from_dict, require, require_between, to_dict
from swe.base.environment import host
from swe.base.files import append_line, json_digest, read_lines, write_json
from swe.base.interrupt import Interrupted, Stop
from swe.base.options import Parser
from swe.base.progress import Bars
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig

NAME = "benchmarks.plateau"
EVALUATIONS = 60
"""Held-out evaluations over a run's tokens."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What may decide when a run leaves. ConfigError for impossible values."""

    vocabulary: int = 512
    size: str = "4x128"
    length: int = 16
    rows: int = 128
    """Rows in a batch, one batch an update."""
    rate: float = 2e-3
    mask_rate: float = 0.15
    """Share of a row's tokens that are hidden."""
    placement: Placement = "pre"
    branch_scale: float = 1.0
    """What both branches of a layer are multiplied by."""
    position_scale: float = 1.0
    """What the position embeddings are multiplied by at the start."""
    mtokens: float = 4.0
    """Tokens of the run, in millions."""

    def __post_init__(self) -> None:
        require_between("mask_rate", self.mask_rate, 0, 0.8, open_low=True)
        require_between("position_scale", self.position_scale, 0, 1000, open_low=True)
        require_between("mtokens", self.mtokens, 0, 1e6, open_low=True)
        require(self.steps >= 2, "mtokens", self.mtokens, "two updates at least")
        _ = self.study

    @property
    def steps(self) -> int:
        """Updates."""
        return round(1e6 * self.mtokens / (self.rows * self.length))

    @property
    def study(self) -> StudyConfig:
        """Its baseline as a study has it."""
        return StudyConfig(
            size=self.size,
            placement=self.placement,
            vocabulary=self.vocabulary,
            length=self.length,
            rows=self.rows,
            branch_scale=self.branch_scale,
            steps=self.steps,
            peak_lr=self.rate,
            validation_rows=512,
        )

    @property
    def train(self) -> TrainConfig:
        """Its run: evaluated often, never probed."""
        plain = self.study.train_config("baseline", 0)
        return replace(
            plain,
            optimizer=OptimizerConfig(peak_lr=self.rate, warmup=0.05),
            eval_interval=max(1, self.steps // EVALUATIONS),
            probe_interval=0,
            checkpoint_interval=max(1, self.steps // 20),
        )

    @property
    def name(self) -> str:
        """Folder of its run."""
        return f"{self.size}-v{self.vocabulary}-{json_digest(to_dict(self))[:8]}"

    def words(self) -> str:
        """Say what it is, for a table and as the key of its line; what seldom differs from the
        centre is named where it does."""
        first = f"{self.size}, {self.placement.capitalize()}-LN, vocabulary {self.vocabulary}, "
        first += f"length {self.length}, rows {self.rows}, rate {self.rate:g}"
        rest = [
            f"{name.replace('_', ' ')} {getattr(self, name):g}"
            for name in ("mask_rate", "branch_scale", "position_scale")
            if getattr(self, name) != getattr(CENTRE, name)
        ]
        if self.mtokens != CENTRE.mtokens:
            rest.append(f"{self.mtokens:g} M tokens")
        return ", ".join([first, *rest])


CENTRE = Setting()
"""Leaves in minutes of one core. Its rows are short: of the first settings looked at, none with
rows of 32 or 64 tokens had left when it was stopped."""
FACTORS: dict[str, tuple[Any, ...]] = {
    "mask_rate": (0.3, 0.5),
    "rate": (1e-3, 4e-3),
    "placement": ("post",),
    "vocabulary": (256, 1024, 2048, 8192),
    "position_scale": (0.3, 3.0, 10.0),
    "branch_scale": (0.35,),
    "rows": (32, 512),
    "size": ("4x64", "6x64", "12x64", "2x128", "6x128", "4x256"),
}
"""One at a time; with the rows' length, which changes the batch, that makes all of the factors."""
TOGETHER: tuple[dict[str, Any], ...] = (
    {"length": 8, "rows": 256},
    {"length": 32, "rows": 64},
    {"length": 64, "rows": 32},
    {"length": 64, "rows": 32, "mask_rate": 0.3, "position_scale": 3.0},
    {"placement": "post", "branch_scale": 0.35},
)


def settings(also: Sequence[str] = (), only: bool = False) -> list[Setting]:
    """Return all settings, each once, the centre first, or those of ``also`` only. ConfigError for
    a bad ``also``."""
    alone = ({name: value} for name, values in FACTORS.items() for value in values)
    planned = [] if only else [CENTRE, *(replace(CENTRE, **c) for c in (*TOGETHER, *alone))]
    more = [from_dict(Setting, to_dict(CENTRE) | settings_of(one.split(","))) for one in also]
    return list(dict.fromkeys([*planned, *more]))


@dataclass(frozen=True)
class SettingTask(MaskedLanguageTask):
    """A text's masked tokens under what a study does not set."""

    name: ClassVar[str] = "masked language modelling, plateau"

    mask_rate: float = 0.15
    position_scale: float = 1.0

    @property
    def masking_rate(self) -> float:
        """Share of a row's tokens that are hidden."""
        return self.mask_rate

    def choices(self) -> dict[str, Any]:
        """Return what the run's outcome depends on beside a study's choices."""
        own = {field: getattr(self, field) for field in ("mask_rate", "position_scale")}
        return super().choices() | own

    @torch.no_grad()
    def build(self, seed: int) -> nn.Module:
        """Return the model with its position embeddings scaled."""
        model = super().build(seed)
        assert isinstance(model, Bert)
        model.positions.weight *= self.position_scale
        return model


def task_of(setting: Setting, data: StudyData) -> SettingTask:
    """Open the prepared data as the task of a setting."""
    vocabulary = read_vocabulary(data.vocabulary_file)
    return SettingTask(
        setting.study.shape(vocabulary.size),
        vocabulary,
        TokenStore.open(data.store, vocabulary),
        setting.rows,
        setting.study.validation_rows,
        mask_rate=setting.mask_rate,
        position_scale=setting.position_scale,
    )


def run(setting: Setting, data: StudyData, folder: Path, late: Stop) -> dict[str, Any] | None:
    """Train a setting until it has left or its tokens are spent; None where it is late first."""
    torch.set_num_threads(1)
    task, own = task_of(setting, data), folder / setting.name
    blind = stated(own, task)
    assert blind is not None
    level, rows = bar(blind), own / "metrics.jsonl"
    seen = [-1, 0]  # bytes of the log when it was read last, whether the run had left

    def left() -> bool:
        size = rows.stat().st_size if rows.exists() else 0
        if size != seen[0]:
            seen[:] = size, min(course(read_lines(rows))["loss"], default=math.inf) <= level
        return bool(seen[1])

    if not left():
        try:
            train(task, setting.train, own, stop=lambda: late() or left())
        except Interrupted:
            if not left():
                return None
    logged = read_lines(rows)
    return {
        "setting": setting.words(),
        **asdict(setting),
        "steps": setting.steps,
        "tokens_per_update": task.tokens_per_batch,
        "flops_per_update": task.flops_per_batch,
        "parameters": task.config.parameters,
        "blind": blind,
        "valid": course(logged),
        "seconds": max((row["seconds"] for row in logged if "seconds" in row), default=0.0),
    }


def one(work: tuple[Setting, StudyData, Path, float | None]) -> dict[str, Any] | None:
    """Run a setting in a process of its own, until a time of the wall clock."""
    setting, data, folder, until = work
    return run(setting, data, folder, lambda: until is not None and time.time() > until)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = Parser(prog=f"python -m {NAME}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="as bert.pretrain's")
    parser.add_argument("--work", type=Path, required=True, help="folder of data and runs")
    parser.add_argument("--out", type=Path, help="JSON lines to write or continue")
    parser.add_argument("--list", action="store_true", help="print settings and FLOP, run nothing")
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="NAME=VALUE,...", help="the centre, changed so"
    )
    names = ", ".join(field.name for field in fields(Setting))
    parser.add_argument("--only", action="store_true", help=f"run --also alone ({names})")
    parser.add_argument("--jobs", type=int, default=1)
    add_minutes(parser)
    given = parser.parse_args(arguments)

    def work(late: Stop) -> int | None:
        every = settings(given.also, given.only)
        if given.list:
            _list(every)
            return None
        if given.out is None:
            parser.error("--out is missing: where the lines go")
        known = [line["setting"] for line in read_lines(given.out)]
        left = [setting for setting in every if setting.words() not in known]
        with Bars({"runs": "settings", "tokens": "tokens", "hash": "B"}) as bars:
            prepare = partial(prepare_data, text=given.text, stop=late, report=bars)
            data = {one: prepare(one.study, _data_folder(given.work, one)) for one in left}
            given.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(given.out.with_suffix(".environment.json"), host())
            until = None
            if given.max_minutes is not None:
                until = started + 60 * given.max_minutes
            todo = [(one, data[one], given.work / "runs", until) for one in left]
            finished = 0
            with get_context("spawn").Pool(given.jobs) as pool:
                for line in pool.imap_unordered(one, todo):
                    if line is not None:
                        append_line(given.out, line)
                        finished += 1
                    bars("runs", finished, len(todo))
        return None if finished == len(todo) else TIME_IS_UP

    started = time.time()
    return ended(NAME, work, minutes=given.max_minutes)


def _data_folder(work: Path, setting: Setting) -> Path:
    """A folder for each vocabulary: a store's name says its length alone."""
    return work / f"data-{setting.vocabulary}"


def _list(every: Sequence[Setting]) -> None:
    """Print every setting with its FLOP at most."""
    total = 0.0
    for setting in every:
        shape = setting.study.shape(setting.vocabulary)
        masked = masked_per_row(setting.length, setting.mask_rate)
        flops = setting.steps * setting.rows * shape.flops_per_row(setting.length, masked)
        total += flops
        print(f"{flops:9.2e} FLOP  {setting.steps:6d} updates  {setting.words()}")
    print(f"{total:9.2e} FLOP in all {len(every)}, where none leaves early")


if __name__ == "__main__":
    sys.exit(main())
