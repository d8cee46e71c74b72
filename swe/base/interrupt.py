"""Reasons to stop that a loop can honour: Ctrl-C, a scheduler's signal, and time that is up.

A reason is a function without arguments that says whether to stop, as ``swe.run.loop.train`` and
``bert.study.comparison.run_study`` take it; :func:`either` joins several. Where nothing asks (while
modules load, inside a library's long call between two of ours) a signal raises :class:`Told`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from swe.base.config import require_between

T = TypeVar("T")
Stop = Callable[[], bool]
ENDING: tuple[signal.Signals, ...] = tuple(
    signal.Signals[name]
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    if name in signal.Signals.__members__  # Windows has the first alone
)
"""What schedulers (``--signal=USR1@60``, ``scancel``) and closing terminals send: all of them ask
for the same, to save and end so that the same command can go on."""


class Interrupted(RuntimeError):
    """The work was asked to stop and did, with what it had saved; the same call continues it."""


class Told(KeyboardInterrupt):
    """A signal of :data:`ENDING` came where nothing polls; as Ctrl-C, no ``except Exception``."""


class Asked:
    """A :data:`Stop`: whether a signal asked for an end, and which."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __call__(self) -> bool:
        """Whether one came."""
        return self.signal is not None


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


def until(items: Iterable[T], reason: Stop) -> Iterator[T]:
    """Yield ``items``; raise Interrupted in place of the next one once there is a reason."""
    for item in items:
        stop_if(reason)
        yield item


def either(*reasons: Stop) -> Stop:
    """Return the reason that holds when any of ``reasons`` does."""
    return lambda: any(reason() for reason in reasons)


_last: signal.Signals | None = None


def last_signal() -> signal.Signals | None:
    """Return the signal that :func:`polite_stop` or :func:`told_at_once` met last in this process.

    None before one came, and after :func:`told_at_once` began again.
    """
    return _last


@contextmanager
def polite_stop() -> Iterator[Asked]:
    """Yield what says whether SIGINT or one of ENDING came; the old handlers return after.

    Raises KeyboardInterrupt at a second SIGINT, as usual. What is ignored at the time (``nohup``
    ignores SIGHUP) stays so, but for SIGINT and SIGTERM. Only for a process's main thread.
    """
    asked = Asked()

    def note(number: int, frame: FrameType | None) -> None:
        if asked.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.signal = _note(number)

    with _handled((signal.SIGINT, *ENDING), note):
        yield asked


@contextmanager
def told_at_once() -> Iterator[None]:
    """Raise :class:`Told` at a signal of ENDING that no :func:`polite_stop` in the block notes.

    Without effect outside a process's main thread, where no handler can be set.
    """
    global _last
    _last = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(number: int, frame: FrameType | None) -> None:
        raise Told(_note(number).name)

    with _handled(ENDING, tell):
        yield


def _note(number: int) -> signal.Signals:
    global _last
    _last = signal.Signals(number)
    return _last


@contextmanager
def _handled(
    numbers: tuple[signal.Signals, ...], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    previous: dict[int, Any] = {}
    try:
        for number in numbers:
            always = number in (signal.SIGINT, signal.SIGTERM)
            if always or signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
        yield
    finally:
        for changed, before in previous.items():
            signal.signal(changed, before)


def attentively(work: Callable[[Stop], T], stop: Stop, *, every: float = 0.1) -> T:
    """Return ``work(left)``, done in a thread; raise Interrupted soon after ``stop()`` turns true.

    For one long call into a library, in which Python runs no signal handler and asks nothing. The
    thread is then left behind: what it does must be worth nothing unfinished, it may look at
    ``left`` to end the sooner, and it ends with the process. What ``work`` raises is raised here.
    """
    found: list[T] = []
    failed: list[BaseException] = []
    left = threading.Event()

    def do() -> None:
        try:
            found.append(work(left.is_set))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    try:
        thread.join(every)
        while thread.is_alive():
            stop_if(stop)
            thread.join(every)
    except BaseException:
        left.set()
        raise
    if failed:
        raise failed[0]
    return found[0]
