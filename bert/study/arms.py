"""The arms of the BERT comparison, by name, and the configuration of a whole study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from bert.data.packing import DOCUMENTS, Documents
from bert.model.config import BertConfig, Placement, named_config
from swe.base.config import LATER, require, require_between, require_count
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.gradients import Convention
from swe.sharing.schedule import (
    AlwaysShared,
    CycleReversed,
    EqualStart,
    NeverShared,
    Schedule,
    SequenceShared,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.sharing.unshare import Moments

Objective = Literal["masked", "causal"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
REFERENCE = "baseline"


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One comparison: every arm with every seed, all on the same batches."""

    size: str = "tiny"
    """Named size or "LxH" (see bert.model.config)."""
    placement: Placement = "pre"
    """LayerNorm placement."""
    dropout: float = 0.0
    """Dropout; 0 for runs of less than one epoch."""
    branch_scale: float = field(default=1.0, metadata=LATER)
    """What both branches of a layer are multiplied by before they are added."""
    vocabulary: int = 2048
    """WordPieces to train when no vocabulary file is given."""
    length: int = 64
    """Tokens in a row."""
    rows: int = 8
    """Rows in a batch (one forward pass)."""
    accumulation: int = 1
    """Batches per update."""
    steps: int = 1200
    """Updates of every arm."""
    seeds: int = 3
    """Seeds, first_seed .. first_seed + seeds - 1, paired over arms."""
    first_seed: int = 0
    """The first of them."""
    arms: tuple[str, ...] = ("baseline", "equal-start", "swe-f", "swe-a", "swe-m")
    """Names from ARMS; the reference must be among them."""
    peak_lr: float = 3e-3
    """Peak learning rate, the same for all arms."""
    warmup: float = 0.1
    """Fraction of the run."""
    unit: int = 1
    """Sharing unit A of the SWE arms, in layers; of sequence and cycle-rev distinct layers."""
    tau: float = 0.1
    """SWE-F: fraction of the run that is shared (paper: 50k of 500k)."""
    rho: float = 0.5
    """SWE-A and SWE-M: correlation threshold (paper: 0.5)."""
    check: float = 0.01
    """SWE-A and SWE-M: fraction of the run between two checks (paper: 1k of 500k is 0.002)."""
    convention: Convention = "mean"
    """Gradient of tied layers."""
    moments: Moments = "copy"
    """Adam's moments at the untie."""
    validation_rows: int = 512
    """Rows of the fixed validation set."""
    objective: Objective = field(default="masked", metadata=LATER)
    """What is predicted: masked tokens, or the next token, with causal attention."""
    whole_word: bool = False
    """Whole-word masking."""
    documents: Documents = "across"
    """Rows across documents, or documents apart (see bert.data.packing)."""
    pairs: Literal["none", "next-sentence"] = "none"
    """BERT's second objective; needs documents apart (the paper reports none)."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the forward pass; auto: measured once for all runs (swe.run.precision)."""

    def __post_init__(self) -> None:
        require_count("seeds", self.seeds)
        require_count("first_seed", self.first_seed, 0)
        require_count("length", self.length, 8)
        require_count("vocabulary", self.vocabulary, 6, 10**7)
        require_count("rows", self.rows)
        require_count("validation_rows", self.validation_rows)
        require_between("warmup", self.warmup, 0, 1, open_high=True)
        require_between("check", self.check, 0, 1, open_low=True, open_high=True)
        require(self.documents in DOCUMENTS, "documents", self.documents, "across or apart")
        require(
            self.pairs in ("none", "next-sentence"), "pairs", self.pairs, "none or next-sentence"
        )
        require(
            self.pairs == "none" or self.documents == "apart",
            "documents",
            self.documents,
            "apart for next-sentence pairs",
        )
        require(self.objective in OBJECTIVES, "objective", self.objective, " or ".join(OBJECTIVES))
        if self.objective == "causal":
            require(not self.whole_word, "whole_word", True, "false with objective=causal")
            require(self.pairs == "none", "pairs", self.pairs, "none with objective=causal")
        for arm in self.arms:
            require(arm in ARMS, "arms", arm, f"one of {', '.join(ARMS)}")
        require(REFERENCE in self.arms, "arms", self.arms, f"a list with {REFERENCE!r}")
        require(len(set(self.arms)) == len(self.arms), "arms", self.arms, "without repetition")
        for arm in self.arms:
            self.schedule(arm).validate(self.shape(6).layers, self.steps)
        self.train_config(self.arms[0], self.first_seed)

    def shape(self, vocabulary: int) -> BertConfig:
        """Return the model's shape for a vocabulary of that many tokens."""
        return named_config(
            self.size,
            vocabulary=vocabulary,
            placement=self.placement,
            dropout=self.dropout,
            causal=self.objective == "causal",
            branch_scale=self.branch_scale,
        )

    def schedule(self, arm: str) -> Schedule:
        """Return the schedule of a named arm."""
        return ARMS[arm](self)

    def train_config(self, arm: str, seed: int) -> TrainConfig:
        """Return the training configuration of one run."""
        return TrainConfig(
            steps=self.steps,
            seed=seed,
            schedule=self.schedule(arm),
            optimizer=OptimizerConfig(peak_lr=self.peak_lr, warmup=self.warmup),
            accumulation=self.accumulation,
            precision=self.precision,
            convention=self.convention,
            moments=self.moments,
            log_interval=max(1, self.steps // 100),
            eval_interval=max(1, self.steps // 10),
            probe_interval=max(1, self.steps // 20),
            checkpoint_interval=max(1, self.steps // 5),
        )

    @property
    def check_interval(self) -> int:
        """Updates between the checks of SWE-A and SWE-M."""
        return max(1, round(self.check * self.steps))


ARMS: dict[str, Callable[[StudyConfig], Schedule]] = {
    "baseline": lambda study: NeverShared(),
    "equal-start": lambda study: EqualStart(unit=study.unit),
    "swe-f": lambda study: SweFixed(unit=study.unit, until=study.tau),
    "swe-a": lambda study: SweAdaptive(
        unit=study.unit, rho=study.rho, interval=study.check_interval
    ),
    "swe-m": lambda study: SweMultistage(
        unit=study.unit, rho=study.rho, interval=study.check_interval
    ),
    "always-shared": lambda study: AlwaysShared(unit=study.unit),
    "sequence": lambda study: SequenceShared(distinct=study.unit),
    "cycle-rev": lambda study: CycleReversed(unit=study.unit),
}
"""Paper's baseline and its three schedules, the equal-start control, and three that never untie:
``unit`` distinct layers one after the other and again (CYCLE, of one ALBERT), each of them repeated
in its place (SEQUENCE), and CYCLE whose last turn runs backwards."""

STUDIES: dict[str, StudyConfig] = {
    # Seconds: shows that every part runs; its numbers mean nothing.
    "smoke": StudyConfig(
        size="4x32",
        vocabulary=1024,
        length=32,
        rows=8,
        steps=40,
        seeds=2,
        check=0.1,
        validation_rows=64,
    ),
    # Minutes on two cores: a real, very small BERT on real text, far from convergence.
    "small": StudyConfig(steps=200),
    # The paper's own run (section 5, Wikipedia + BookCorpus): BERT-large, Pre-LN, 512 rows of 512
    # tokens, 500k updates, peak 3e-4, 10k of warm-up, tau = 50k, a check every 1k. Needs --text.
    "full": StudyConfig(
        size="large",
        dropout=0.1,
        vocabulary=30522,
        length=512,
        rows=32,
        accumulation=16,
        steps=500_000,
        seeds=1,
        peak_lr=3e-4,
        warmup=0.02,
        tau=0.1,
        check=0.002,
        validation_rows=2048,
        precision="bfloat16",
    ),
}
"""Named studies, by scale."""
