"""What every language with a known truth says of itself, and the rows that it makes.

A language is frozen configuration plus one pure function: rows by (seed, index). There is no file,
and training never sees an epoch: every batch is drawn afresh.

Shapes: B rows, S tokens in a row, M predictions in a row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from swe.base.config import Tagged


class Rows(NamedTuple):
    """Rows ready for a model; all arrays int64.

    inputs: (B, S) token ids; positions: (B, M) columns at which something is predicted; labels:
    (B, M) the token ids that are right there; groups: (B, M) index into the language's
    ``group_names``, by which losses are told apart.
    """

    inputs: NDArray[np.int64]
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Language(Tagged, ABC):
    """What all languages have. Subclasses raise ConfigError for values outside their ranges."""

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Token ids, 0 .. vocabulary - 1."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Tokens in a row, S."""

    @property
    @abstractmethod
    def predictions(self) -> int:
        """Predictions in a row, M; the same in every row, so that all rows weigh the same."""

    @property
    @abstractmethod
    def group_names(self) -> tuple[str, ...]:
        """Names of the kinds of predictions that evaluation tells apart."""

    @abstractmethod
    def rows(self, seed: int, index: int, count: int) -> Rows:
        """Return ``count`` rows: a pure function of the language and the arguments."""

    @abstractmethod
    def floor(self, rows: Rows) -> NDArray[np.float64]:
        """Return the loss of the best possible predictor, (B, M) nats: it knows the language and
        sees the inputs alone."""
