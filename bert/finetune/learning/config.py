"""The recipe of a fine-tune, and how a tied model stays tied in it.

The paper: 3 epochs, 10 % of the updates as warm-up, then linear decay, the peak rate picked from
nine on the development set, SQuAD as a mean of five. It does not state the batch; 32 is what
Devlin et al. use. Lengths are theirs too: 128 on GLUE, 384 with a stride of 128 on SQuAD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from bert.finetune.data.tasks import GLUE
from swe.base.config import LATER, require, require_between, require_count
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.layout import Layout
from swe.sharing.schedule import Schedule, ScheduleState

RATES = (1e-5, 1.5e-5, 2e-5, 3e-5, 4e-5, 5e-5, 7.5e-5, 10e-5, 12e-5)
SQUAD = {"squad-1.1": "1.1", "squad-2.0": "2.0"}
TASKS = (*GLUE, *SQUAD)
DEGENERATE_RULE = (
    "A fine-tune is degenerate when its loss was not finite, when it gives every development "
    "example the same answer (for scores: a range below 0.01), or when its score on the task's "
    "first metric is not more than {margin:g} points above that of the best constant answer."
)


@dataclass(frozen=True, kw_only=True)
class Held(Schedule):
    """The layout that pre-training ended with, for the whole run: what is tied stays tied."""

    kind: ClassVar[str] = "held"

    groups: tuple[int, ...]
    """Sizes, in repeats, of the groups that share (see swe.sharing.layout.Layout)."""
    last_reversed: bool = field(default=False, metadata=LATER)
    """Whether the last repeat runs its unit backwards."""

    def start(self, depth: int) -> ScheduleState:
        """Begin, and stay, in that layout."""
        layout = Layout(depth, self.unit, tuple(self.groups), self.last_reversed)
        return ScheduleState(layout)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One task's fine-tunes: everything that decides their outcome beside data and model."""

    task: str
    """Name of a GLUE task, sick, squad-1.1 or squad-2.0."""
    rates: tuple[float, ...] = RATES
    """Peak learning rates to choose from."""
    seeds: int = 5
    """Seeds 0 .. seeds - 1 at every rate: new head, data order, dropout."""
    epochs: float = 3.0
    """Passes over the training part."""
    batch: int = 32
    """Examples (SQuAD: windows) in an update."""
    warmup: float = 0.1
    """Fraction of the updates."""
    max_length: int = 128
    """Longest row, special tokens among them (BERT: 128 on GLUE, 384 on SQuAD)."""
    stride: int = 128
    """SQuAD: tokens between the beginnings of two windows."""
    max_query: int = 64
    """SQuAD: tokens of a question that are kept."""
    max_answer: int = 30
    """SQuAD: tokens of the longest answer."""
    dropout: float = 0.1
    """Dropout of encoder and head, whatever it was in pre-training."""
    pool: int = 8
    """Batches whose rows are sorted by length together (see rows.TrainingOrder); 1: none."""
    tying: Literal["keep", "untie"] = "keep"
    """A model that pre-training left tied: keep it so, or give every layer its own copy."""
    margin: float = 1.0
    """Points above the best constant answer that a fine-tune must exceed (DEGENERATE_RULE)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass."""

    def __post_init__(self) -> None:
        require(self.task in TASKS, "task", self.task, f"one of {', '.join(TASKS)}")
        require(len(self.rates) > 0, "rates", self.rates, "a list of at least one")
        require(len(set(self.rates)) == len(self.rates), "rates", self.rates, "without repetition")
        for rate in self.rates:
            require_between("rates", rate, 0, 1, open_low=True)
        require_count("seeds", self.seeds)
        require_between("epochs", self.epochs, 0, 1000, open_low=True)
        require_count("batch", self.batch)
        require_between("warmup", self.warmup, 0, 1, open_high=True)
        require_count("max_length", self.max_length, 8)
        require_count("stride", self.stride)
        require_count("max_query", self.max_query)
        require_count("max_answer", self.max_answer)
        require_between("dropout", self.dropout, 0, 1, open_high=True)
        require_count("pool", self.pool)
        require(self.tying in ("keep", "untie"), "tying", self.tying, "keep or untie")
        require_between("margin", self.margin, 0, 100)

    def steps(self, examples: int) -> int:
        """Updates of a run: epochs * examples / batch, rounded down as in the original code."""
        steps = int(self.epochs * examples / self.batch)
        require(steps > 0, "epochs", self.epochs, f"enough for an update of {self.batch} examples")
        return steps

    def train_config(self, rate: float, seed: int, examples: int, layout: Layout) -> TrainConfig:
        """Return one run's configuration; it is evaluated about once an epoch."""
        steps = self.steps(examples)
        if self.tying == "untie":
            layout = layout.untie()
        held = Held(unit=layout.unit, groups=layout.groups, last_reversed=layout.last_reversed)
        each = math.ceil(steps / max(1.0, self.epochs))
        return TrainConfig(
            steps=steps,
            seed=seed,
            schedule=held,
            optimizer=OptimizerConfig(peak_lr=rate, warmup=self.warmup),
            precision=self.precision,
            log_interval=max(1, steps // 50),
            eval_interval=each,
            checkpoint_interval=max(1, steps // 4),
        )
