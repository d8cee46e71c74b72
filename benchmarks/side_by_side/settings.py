"""What every contestant of one comparison shares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import torch

from bert.data.harvest import harvest
from bert.data.store import TokenStore, build_store
from bert.data.text import documents
from bert.data.vocab import Vocabulary, load_vocabulary, train_vocabulary
from bert.model.config import BertConfig, Placement, named_config
from bert.pretraining.task import MaskedLanguageTask
from swe.base.config import require, require_between, require_count
from swe.run.arithmetic import Precision
from swe.run.attention import AttentionShape, choose
from swe.run.compiling import CompileMode

WARM, BLOCK = 20, 10
"""Steps before anything is timed, and steps in a timed block."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Model, batch, device and arithmetic of a comparison."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs. CPU: one thread, process time. CUDA: device events."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; auto: bfloat16 on CUDA, float32 on the CPU."""
    attention: str = "measured"
    """Kernel of our contestants but a6 (see swe.run.attention)."""
    size: str = "12x64"
    """Named size or "LxH" (see bert.model.config)."""
    length: int = 64
    """Tokens in a row."""
    rows: int = 16
    """Rows in a step's one batch."""
    vocabulary: int = 30522
    """Tokens before padding to a multiple of 64; all contestants get the padded one."""
    dropout: float = 0.1
    """Dropout of all contestants (BERT: 0.1)."""
    compiled: bool = False
    """torch.compile: a0 and a1 whole, a2 to a4 by blocks, a5 whole."""
    batches: int = 16
    """Batches of real text that are gone through in turn."""
    seed: int = 0
    """Seed of weights, batches, masks and dropout."""

    def __post_init__(self) -> None:
        require(self.device in ("cpu", "cuda"), "device", self.device, "cpu or cuda")
        kinds = ("auto", "float32", "bfloat16")
        require(self.precision in kinds, "precision", self.precision, "float32 or bfloat16")
        if self.precision == "auto":
            usual = "bfloat16" if self.device == "cuda" else "float32"
            object.__setattr__(self, "precision", usual)
        require_count("length", self.length, 8, 512)
        for name in ("rows", "batches"):
            require_count(name, getattr(self, name))
        require_count("vocabulary", self.vocabulary, 1000)
        require_between("dropout", self.dropout, 0, 1, open_high=True)
        self.shape("post")

    def shape(self, placement: Placement) -> BertConfig:
        """Return the model's shape; its vocabulary is the padded one, with no row to spare."""
        named = named_config(self.size, placement=placement, dropout=self.dropout)
        return replace(named, vocabulary=-(-self.vocabulary // 64) * 64)

    @property
    def flops_per_token(self) -> float:
        """Useful FLOPs a token, forward and backward; the padding of the vocabulary is not useful.

        Encoder 72 d^2 L, attention 12 S d L, head 6 (d^2 + d V) m with m = 15 %.
        """
        shape = replace(self.shape("post"), vocabulary=self.vocabulary)
        return shape.flops_per_row(self.length, round(0.15 * self.length)) / self.length

    @property
    def compile_mode(self) -> CompileMode:
        """How our contestants but a5 are compiled."""
        return "blocks" if self.compiled else "none"

    @property
    def arithmetic(self) -> Precision:
        """The precision, once "auto" is resolved."""
        return "bfloat16" if self.precision == "bfloat16" else "float32"

    def measured(self) -> tuple[Settings, dict[str, float | None]]:
        """Return these settings with the fastest kernel named, and its and the others' times."""

        shape = self.shape("post")
        width = shape.hidden // shape.heads
        one = AttentionShape(self.rows, shape.heads, self.length, width, self.dropout)
        layer = SimpleNamespace(attention=one)
        name, times = choose(layer, self.attention, self.arithmetic, self.torch_device())
        return replace(self, attention=name), times

    def torch_device(self) -> torch.device:
        """Return the device."""
        return torch.device(self.device)


def prepare(settings: Settings, folder: Path) -> None:
    """Make the token store in ``folder``: the documentation of the installed packages, as text.

    The vocabulary is trained on it and filled up with "[unusedN]" to the padded size; no row of
    text holds these. Everything that is there already is reused.
    """
    text = harvest(folder / "docs")
    words = folder / f"vocab-{settings.vocabulary}.txt"
    if not words.exists():
        tokens = list(train_vocabulary(documents(text), settings.vocabulary).tokens)
        missing = settings.shape("post").vocabulary - len(tokens)
        Vocabulary([*tokens, *(f"[unused{i}]" for i in range(missing))]).save(words)
    build_store(text, load_vocabulary(words), _store(settings, folder), length=settings.length)


def task_of(settings: Settings, placement: Placement, folder: Path) -> MaskedLanguageTask:
    """Open the prepared text as a task for a model of this placement."""
    vocabulary = load_vocabulary(folder / f"vocab-{settings.vocabulary}.txt")
    store = TokenStore.open(_store(settings, folder), vocabulary)
    return MaskedLanguageTask(settings.shape(placement), vocabulary, store, settings.rows)


def _store(settings: Settings, folder: Path) -> Path:
    return folder / f"tokens-{settings.vocabulary}-{settings.length}"
