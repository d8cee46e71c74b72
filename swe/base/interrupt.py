"""Reasons to stop that a loop can honour: Ctrl-C, a scheduler's SIGTERM, and time that is up.

A reason is a function without arguments that says whether to stop, as ``swe.run.loop.train`` and
``bert.study.comparison.run_study`` take it; :func:`either` joins several.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from swe.base.config import require_between

Stop = Callable[[], bool]


class Interrupted(RuntimeError):
    """The work was asked to stop and did, with what it had saved; the same call continues it."""


class Deadline:
    """A :data:`Stop` that turns true ``minutes`` after it was made.

    Raises ConfigError for anything but a positive, finite number of minutes. ``clock`` counts
    seconds and never goes back: setting the system's time does not move the deadline.
    """

    def __init__(
        self, minutes: float, *, name: str = "minutes", clock: Callable[[], float] = time.monotonic
    ) -> None:
        require_between(name, minutes, 0, 1e7, open_low=True)
        self._clock, self._end = clock, clock() + 60.0 * minutes

    def __call__(self) -> bool:
        """Whether the time is up."""
        return self.left() <= 0

    def left(self) -> float:
        """Seconds left; negative when the time is up."""
        return self._end - self._clock()


def never() -> bool:
    """Stop for no reason."""
    return False


def stop_if(reason: Stop) -> None:
    """Raise Interrupted if there is a reason to stop: for the places between two pieces of work."""
    if reason():
        raise Interrupted("stopped; the same command continues")


def either(*reasons: Stop) -> Stop:
    """Return the reason that holds when any of ``reasons`` does."""
    return lambda: any(reason() for reason in reasons)


@contextmanager
def polite_stop() -> Iterator[Stop]:
    """Yield a function that says whether SIGINT or SIGTERM came; the old handlers return after.

    Raises KeyboardInterrupt at a second SIGINT, as usual. Only for a process's main thread.
    """
    requested = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        requested = True

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
