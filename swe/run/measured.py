"""What was measured at the start of the first of several runs, kept in a file for the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swe.base.config import one_line
from swe.base.environment import processor_name
from swe.base.errors import ConfigError
from swe.base.files import json_digest, read_json, write_first


def first_written(
    path: Path, find: Callable[[], dict[str, Any]], key: str, names: Collection[str]
) -> dict[str, Any]:
    """Return the content of ``path``; if it is not there, that of ``find()``, which is kept there.

    Of several processes that find it missing at once one's finding is kept, and all return that
    one. Raises ConfigError for a file that cannot be read or written, or whose ``key`` is none of
    ``names``.
    """
    content = None if path.exists() else find()
    try:
        if content is not None:
            write_first(path, content)
        found = read_json(path)
        if not isinstance(found, dict):
            raise ValueError(f"{path}: not a table of named values")
        if found.get(key) not in names:
            raise ValueError(f"{path}: {key} = {found.get(key)!r}: none of {', '.join(names)}")
    except ValueError as error:
        raise ConfigError(f"{one_line(error)}; remove it, and it is measured anew") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({one_line(error)})") from None
    return found


@dataclass(frozen=True)
class Beside:
    """What another run of a comparison was begun with."""

    precision: str
    device: str
    """Its type."""
    kernel: str
    """Of its attention."""
    milliseconds: dict[str, float | None]
    """Of each kernel, where it measured them."""


def begun_beside(folder: Path | None, task: Any) -> Iterator[Beside]:
    """Yield what runs of ``task`` under ``folder``, one or two folders down, were begun with.

    In the order of their names. What cannot be read is passed over: it is told of where that run is
    continued.
    """
    if folder is None:
        return
    wanted = json_digest(task.describe())
    for pattern in ("*/config.json", "*/*/config.json"):
        for path in sorted(folder.glob(pattern)):
            try:
                config, here = read_json(path), read_json(path.parent / "environment.json")
                if json_digest(config["task"]) == wanted:
                    yield Beside(
                        precision=str(config["train"]["precision"]),
                        device=_device_type(here),
                        kernel=str(here["speed"]["attention"]),
                        milliseconds=dict(here["speed"].get("attention_milliseconds", {})),
                    )
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                continue


def _device_type(here: dict[str, Any]) -> str:
    """Return the type of a run's device; an earlier program wrote its name alone."""
    of_this_processor = here.get("device") == processor_name()
    return str(here.get("device_type", "cpu" if of_this_processor else "cuda"))
