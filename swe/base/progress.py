"""Progress with an estimate of the time left: a bar on a terminal, a line now and then in a log.

Fed by plain reports (what, done, total). A log gets a line when something begins and ends and at
most one every ``EVERY`` seconds between: a bar's states would fill it with control characters. A
terminal that is closed meanwhile (SIGHUP) ends the showing and not the work: that is to be saved.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

EVERY = 30.0
"""Seconds between two lines of a log."""


class _Shown(Protocol):
    """One thing under way."""

    def update(self, done: int, note: str) -> None:
        """Show that ``done`` are finished."""

    def close(self) -> None:
        """End it."""


class Bars:
    """One thing under way at a time, by report(what, done, total); a total of 0 is unknown.

    ``units``: {what: the plural noun that is counted, or "B" for bytes}; ``quiet`` shows nothing.
    What was done before the first report is no part of the speed. ``terminal`` None: whether
    standard error is one.
    """

    def __init__(
        self,
        units: Mapping[str, str],
        *,
        quiet: bool = False,
        terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._units, self._quiet, self._clock = units, quiet, clock
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._name, self._done = "", 0
        self._shown: _Shown | None = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """Show that ``done`` of ``total`` are finished; another ``what`` begins anew.

        So does a smaller ``done``. ``note``: a few words on what was done last.
        """
        if self._quiet:
            return
        with self._while_heard():
            self._show(what, done, total, note)

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        if self._shown is None or what != self._name or done < self._done:
            self._close()
            self._name = what
            unit = self._units.get(what, "steps")
            kind: Any = _Bar if self._terminal else _Lines
            self._shown = kind(what, done, total, unit, self._clock)
        self._done = done
        self._shown.update(done, note)

    def say(self, text: str) -> None:
        """Print a line above what is under way."""
        with self._while_heard():
            if self._terminal and self._shown is not None:
                from tqdm import tqdm

                tqdm.write(text)
            else:
                print(text, flush=True)

    @contextmanager
    def _while_heard(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # who read the output has gone: the command ends by it
            raise
        except OSError:
            self._quiet, self._shown = True, None

    def _close(self) -> None:
        shown, self._shown = self._shown, None
        if shown is not None:
            with self._while_heard():
                shown.close()


class _Bar:
    def __init__(
        self, what: str, done: int, total: int, unit: str, clock: Callable[[], float]
    ) -> None:
        from tqdm import tqdm  # here: a log needs none

        self._bar = tqdm(
            total=total or None,
            initial=done,
            desc=what,
            unit=f" {unit}",
            unit_scale=total == 0 or unit == "B",
        )

    def update(self, done: int, note: str) -> None:
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Lines:
    def __init__(
        self, what: str, done: int, total: int, unit: str, clock: Callable[[], float]
    ) -> None:
        self._what, self._total, self._unit, self._clock = what, total, unit, clock
        self._first, self._begun = done, clock()
        self._latest, self._note = done, ""
        self._told, self._said = -1, -EVERY + self._begun

    def update(self, done: int, note: str) -> None:
        self._latest, self._note = done, note or self._note
        if self._clock() - self._said >= EVERY:
            self._tell()

    def close(self) -> None:
        if self._latest != self._told:
            self._tell()

    def _tell(self) -> None:
        self._told, self._said = self._latest, self._clock()
        text = f"{self._what}: {self._count(self._latest)}"
        if self._total:
            text += f" of {self._count(self._total)}, {100 * self._latest // self._total} %"
        text += f" {self._unit}" if self._unit != "B" else ""
        gone, spent = self._latest - self._first, self._said - self._begun
        if self._total > self._latest and gone > 0 and spent > 0:
            text += f", about {_duration(spent * (self._total - self._latest) / gone)} left"
        print(text + (f" ({self._note})" if self._note else ""), file=sys.stderr, flush=True)

    def _count(self, value: int) -> str:
        return f"{value / 1e6:.1f} MB" if self._unit == "B" else str(value)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
