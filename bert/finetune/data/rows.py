"""Token rows of unequal length: [CLS] a [SEP] or [CLS] a [SEP] b [SEP], batched with padding.

Shapes: N rows, B rows in a batch, S tokens in the longest of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bert.data.order import row_order
from bert.data.vocab import Vocabulary
from bert.finetune.data.glue import Example
from swe.base.config import require_count
from swe.sharing.seeds import derive_seed

Ids = NDArray[np.unsignedinteger]
WIDTH_STEP = 8
"""Batches are padded to a multiple of this: few shapes, and what matrix units like."""


@dataclass(frozen=True)
class Rows:
    """N rows: tokens one after another, where each begins, where its second segment begins.

    ``tokens`` (sum of lengths,), ``starts`` (N + 1,), ``seconds`` (N,) the length of segment 0,
    ``widest``: no batch is padded beyond it (the model has no more positions), ``targets``: arrays
    (N,) by name, what is to be predicted.
    """

    tokens: Ids
    starts: NDArray[np.int64]
    seconds: NDArray[np.int64]
    pad: int
    widest: int
    targets: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[Ids, Ids | None]],
        vocabulary: Vocabulary,
        widest: int,
        targets: dict[str, NDArray[np.generic]] | None = None,
    ) -> Rows:
        """Lay out pairs of token arrays (the second may be None) with their special tokens."""
        cls_id = np.array([vocabulary.cls_id], dtype=vocabulary.dtype)
        sep_id = np.array([vocabulary.sep_id], dtype=vocabulary.dtype)
        pieces: list[Ids] = []
        lengths, seconds = [0], []
        for first, second in pairs:
            pieces += [cls_id, first, sep_id]
            length = len(first) + 2
            seconds.append(length)
            if second is not None:
                pieces += [second, sep_id]
                length += len(second) + 1
            lengths.append(length)
        tokens = np.concatenate(pieces) if pieces else np.array([], dtype=vocabulary.dtype)
        return cls(
            tokens,
            np.cumsum(lengths, dtype=np.int64),
            np.array(seconds, dtype=np.int64),
            vocabulary.pad_id,
            widest,
            targets or {},
        )

    def __len__(self) -> int:
        return len(self.seconds)

    @functools.cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, (N,)."""
        return np.diff(self.starts)

    def row(self, index: int) -> Ids:
        """Tokens of one row."""
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    def batch(self, chosen: NDArray[np.integer]) -> dict[str, Tensor]:
        """Return inputs and segments (B, S), lengths (B,) and the targets (B,) of some rows."""
        lengths = self.lengths[chosen]
        width = min(-(-int(lengths.max()) // WIDTH_STEP) * WIDTH_STEP, self.widest)
        place = np.arange(width)
        inputs = np.full((len(chosen), width), self.pad, dtype=np.int64)
        for line, index in enumerate(chosen):
            inputs[line, : lengths[line]] = self.row(int(index))
        segments = (place >= self.seconds[chosen, None]) & (place < lengths[:, None])
        return {
            "inputs": torch.from_numpy(inputs),
            "segments": torch.from_numpy(segments.astype(np.int64)),
            "lengths": torch.from_numpy(lengths.astype(np.int64)),
            **{name: torch.from_numpy(value[chosen]) for name, value in self.targets.items()},
        }

    def by_length(self, size: int) -> list[NDArray[np.int64]]:
        """Cut all rows, sorted by length, into batches of ``size``: for evaluation."""
        order = np.argsort(self.lengths, kind="stable").astype(np.int64)
        return [order[first : first + size] for first in range(0, len(order), size)]


def truncate_pair(first: int, second: int, room: int) -> tuple[int, int]:
    """Return the two lengths cut to ``room`` together: the longer loses its last token, in turn.

    At equal lengths the second loses, as in the original code.
    """
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def sentence_rows(
    examples: Sequence[Example], vocabulary: Vocabulary, max_length: int, *, regression: bool
) -> Rows:
    """Tokenise examples to at most ``max_length`` tokens each, special tokens among them."""
    require_count("max_length", max_length, 8)
    firsts = vocabulary.encode_batch([row.first for row in examples])
    seconds: list[Ids | None] = [None] * len(firsts)
    if examples[0].second is not None:
        seconds = list(vocabulary.encode_batch([row.second or "" for row in examples]))
    pairs: list[tuple[Ids, Ids | None]] = []
    for a, b in zip(firsts, seconds, strict=True):
        if b is None:
            pairs.append((a[: max_length - 2], None))
        else:
            keep_a, keep_b = truncate_pair(len(a), len(b), max_length - 3)
            pairs.append((a[:keep_a], b[:keep_b]))
    if examples[0].label is None:
        return Rows.of(pairs, vocabulary, max_length)
    kind = np.float32 if regression else np.int64
    labels = np.array([row.label for row in examples], dtype=kind)
    return Rows.of(pairs, vocabulary, max_length, {"labels": labels})


@dataclass(frozen=True)
class TrainingOrder:
    """Which rows update ``index`` sees: a pure function of (seed, index).

    Rows come by one permutation an epoch, as in pre-training. With ``pool`` > 1, the rows of that
    many consecutive batches are sorted by length and cut again, and the batches of the pool take
    a random order: less padding, every row still once an epoch. What speaks against it: rows of a
    batch are then alike in length, a mild departure from independent draws; 1 switches it off.
    """

    batch: int
    pool: int
    steps: int

    def rows(self, rows: Rows, seed: int, index: int) -> NDArray[np.int64]:
        """Return the (B,) indices of batch ``index``."""
        if self.pool == 1:
            return row_order(seed, index, self.batch, len(rows))
        number, place = divmod(index, self.pool)
        count = min(self.pool, self.steps - number * self.pool)  # the last pool may be smaller
        pieces = [
            row_order(seed, number * self.pool + k, self.batch, len(rows)) for k in range(count)
        ]
        drawn = np.concatenate(pieces)
        drawn = drawn[np.argsort(rows.lengths[drawn], kind="stable")]
        shuffle = np.random.default_rng(derive_seed(seed, "pool", number)).permutation(count)
        at = int(shuffle[place]) * self.batch
        return drawn[at : at + self.batch]
