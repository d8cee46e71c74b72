"""What the project's commands share: exit statuses, one line for an error, options that add up.

Exit status of every command: 0 it ran, whatever came out; 1 something broke; 2 what was asked for
is impossible; 75 (EX_TEMPFAIL: try again) the time of --max-minutes is up, or SIGTERM, SIGHUP,
SIGUSR1 or SIGUSR2 asked for an end, and work is left; 130 interrupted by Ctrl-C; 141 who read the
output has gone (``| head``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from swe.base.errors import ConfigError, SweError
from swe.base.interrupt import (
    Deadline,
    Interrupted,
    Stop,
    Told,
    last_signal,
    never,
    told_at_once,
)
from swe.base.platform import require_posix

TIME_IS_UP, INTERRUPTED, NOBODY_READS = 75, 130, 141


def ended(
    name: str,
    work: Callable[[Stop], int | None],
    *,
    minutes: float | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Do ``work(late)``; return the command's exit status, and tell in one line what was wrong.

    ``late`` says whether ``minutes`` (of --max-minutes) are over. ``say`` prints a line, to
    standard error by default. Errors that nobody raised on purpose are bugs and get through.
    """
    said = say or (lambda text: print(text, file=sys.stderr))

    def say_if_heard(text: str) -> None:
        with suppress(OSError):  # a terminal that was closed (SIGHUP) hears nothing any more
            said(text)

    try:
        status = _ended(name, work, minutes, say_if_heard)
    finally:
        _let_go_of_what_is_closed()
    return status


def _ended(
    name: str,
    work: Callable[[Stop], int | None],
    minutes: float | None,
    say: Callable[[str], None],
) -> int:
    late: Stop = never
    try:
        require_posix("this command")
        if minutes is not None:
            late = Deadline(minutes, name="--max-minutes")
        with told_at_once():
            status = work(late)
        sys.stdout.flush()
        return status or 0
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except (KeyboardInterrupt, Interrupted) as reason:
        up = isinstance(reason, Interrupted) and late()
        came = last_signal()
        asked = came is not None and came != signal.SIGINT and not _is_ctrl_c(reason)
        why = f"stopped by {came.name}" if came and asked else "time is up" if up else "stopped"
        say(f"\n{name}: {why}; the same command goes on from here")
        return TIME_IS_UP if up or asked else INTERRUPTED
    except SweError as error:
        say(f"{name}: {error}")
        return error.status
    except OSError as error:
        say(f"{name}: {error}")
        return 1


def _is_ctrl_c(reason: BaseException) -> bool:
    return isinstance(reason, KeyboardInterrupt) and not isinstance(reason, Told)


def _let_go_of_what_is_closed() -> None:
    """Keep the interpreter's last flush from failing, which would end it with status 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # a stream without a descriptor needs none
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def add_minutes(parser: argparse._ActionsContainer) -> None:
    """Add --max-minutes, which :func:`ended` takes as ``minutes``."""
    parser.add_argument(
        "--max-minutes",
        type=float,
        metavar="M",
        help="save, stop and end with status 75 after that long; the same command goes on\n"
        "(leave room for saving: an update and a checkpoint of every running run)",
    )


def add_several(parser: argparse._ActionsContainer, name: str, **options: Any) -> None:
    """Add an option with one or more values that may be given again: all of them count.

    The default is an empty list: argparse would add to any other.
    """
    parser.add_argument(name, nargs="+", action="extend", default=[], **options)


def add_settings(parser: argparse._ActionsContainer, help: str) -> None:  # noqa: A002
    """Add --set NAME=VALUE ..., which :func:`settings_of` reads."""
    add_several(parser, "--set", metavar="NAME=VALUE", help=help)


def settings_of(pairs: Iterable[str], lists: Sequence[str] = ()) -> dict[str, Any]:
    """Return {name: value} of NAME=VALUE pairs; ``lists`` names those with values between commas.

    Numbers, true, false and null are read as such, anything else as text. ConfigError for another
    form, and for a name that is given two values.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair}: must be of the form NAME=VALUE")
        value = (
            [number_or_text(item) for item in text.split(",")]
            if name in lists
            else number_or_text(text)
        )
        if found.setdefault(name, value) != value:
            raise ConfigError(f"--set {name}: is given two values, {found[name]} and {value}")
    return found


def joined(options: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that options name, those left at None aside, and those of --set.

    ``options``: {name of the setting: value of the option}; an option is named as the setting is.
    ConfigError where both name one and differ: neither is to win in silence.
    """
    found = {name: value for name, value in options.items() if value is not None}
    for name, value in settings.items():
        if found.setdefault(name, value) != value:
            raise ConfigError(
                f"--{name} {found[name]} and --set {name}={value}: leave one of them out"
            )
    return found


def number_or_text(value: str) -> Any:
    """Read a number, true or false as such, anything else as text."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def require_apart(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output folder that is an input of the same command, or lies inside one.

    An output inside an input folder would be read as input by the next call. (An input inside the
    output folder is safe: what the program did not make it does not remove, see evidence.made.)
    ConfigError names both.
    """
    place = out.resolve()
    for given in inputs:
        read = given.resolve()
        if place == read:
            raise ConfigError(f"--out {out}: is also read ({given}); choose another folder")
        if read.is_dir() and read in place.parents:
            raise ConfigError(
                f"--out {out}: lies inside {given}, which is read; the next call would read "
                "results as input; choose a folder outside"
            )


SOURCES = ("swe", "evidence", "theory", "bert", "figures", "tests", "benchmarks", "records", "docs")


def require_free(out: Path, checkout: Path) -> None:
    """Refuse the checkout itself, or a folder of its sources, as an output folder. ConfigError."""
    place, root = out.resolve(), checkout.resolve()
    ours = [root / name for name in SOURCES]
    if place == root or any(folder == place or folder in place.parents for folder in ours):
        raise ConfigError(
            f"--out {out}: belongs to the program itself; choose a folder that holds only results"
        )
