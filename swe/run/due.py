"""When a checkpoint is due by the clock, so that a kill costs minutes and not a share of the run.

The clock decides only when a run is saved; nothing that it computes depends on that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MINUTES = 10.0
"""Between two checkpoints, where nothing else is asked for."""
SHARE = 0.02
"""Of the time, that saving may take where nothing else is asked for. A checkpoint of BERT-large is
4 GB: half a minute on a slow disk, which every ten minutes would be 5 %."""


class Due:
    """Whether it is time to save: ``minutes`` after the last time, or MINUTES, SHARE permitting.

    The first are counted from when it is made. ``clock`` counts seconds and never goes back.
    """

    def __init__(
        self, minutes: float | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._minutes, self._clock = minutes, clock
        self._wait(0.0)

    def __call__(self) -> bool:
        """Whether it is."""
        return self._clock() >= self._next

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Save in the block, whatever the reason; the time counts from its end."""
        begun = self._clock()
        yield
        self._wait(self._clock() - begun)

    def _wait(self, took: float) -> None:
        if self._minutes is not None:
            seconds = 60.0 * self._minutes
        else:
            seconds = max(60.0 * MINUTES, took / SHARE)
        self._next = self._clock() + seconds
