"""The run folder: what was run, on what, and what came out, in plain files.

``config.json`` (everything that decides the outcome), ``environment.json`` (versions, hardware,
command, every commit that worked on the run: what may change the speed or the last digit),
``metrics.jsonl`` (rows of kind train, valid, probe), ``events.jsonl`` (changes of layout),
``summary.json`` (written once, at the end), ``checkpoints/``; of a run that was extended also what
it was before, ``config.N.json`` and ``summary.N.json``. What a killed process left half written
goes when the run is continued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from swe.base.config import first_difference, one_line
from swe.base.environment import host
from swe.base.errors import ConfigError, RunFolderError
from swe.base.files import (
    append_line,
    json_digest,
    read_json,
    read_lines,
    remove_unfinished,
    write_first,
    write_json,
    write_lines,
)
from swe.base.lock import exclusive


def environment(device: torch.device) -> dict[str, Any]:
    """Describe versions, hardware, code and command of this process."""
    cuda = device.type == "cuda"
    return (
        host()
        | {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "threads": torch.get_num_threads(),
        }
        | ({"device": torch.cuda.get_device_name(device)} if cuda else {})
    )


def commits_of(folder: Path) -> list[dict[str, Any]]:
    """Return which commit computed a run from which update on: [{"step", "commit", "dirty"}, ...].

    From ``environment.json``; [] where that is not there or cannot be read, for a record of the
    past is no reason to stop a run.
    """
    path = folder / "environment.json"
    try:
        if not path.exists():
            return []
        found = read_json(path)
        commits = found.get("commits") or [{"step": 0, **found}]  # before the list was kept
        return [
            {"step": int(one["step"]), "commit": one["commit"], "dirty": one["dirty"]}
            for one in commits
        ]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def earlier_digests(folder: Path) -> frozenset[str]:
    """Return the digests of what a run's configuration was before it was extended.

    Raises RunFolderError for one that cannot be read.
    """
    found = set()
    for path in folder.glob("config.*.json"):
        try:
            found.add(json_digest(read_json(path)))
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path}: cannot be read ({one_line(error)})") from None
    return frozenset(found)


def begin(path: Path, config: Mapping[str, Any]) -> None:
    """Write a run folder's config.json, unless one is there: of several processes the first one's.

    Raises ConfigError where it cannot be written.
    """
    try:
        if not (path / "config.json").exists():
            write_first(path / "config.json", config)
    except OSError as error:
        raise ConfigError(f"output folder {path}: cannot be written ({error})") from None


class RunFolder:
    """One run's folder. Opening it for a configuration other than its own raises ConfigError."""

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.events = path / "events.jsonl"
        self._config_file = path / "config.json"
        self.digest = json_digest(dict(config))
        begin(path, config)
        try:
            stored = read_json(self._config_file)
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"{path}: config.json cannot be read ({one_line(error)})"
            ) from None
        difference = first_difference(stored, dict(config))
        if difference:
            raise ConfigError(f"{path}: holds a run of another configuration ({difference})")
        self.digests = frozenset({self.digest}) | earlier_digests(path)
        """What its checkpoints may call its configuration."""

    @contextmanager
    def held(self, warn: Callable[[str], None]) -> Iterator[None]:
        """Keep other processes out for the block. FolderBusyError when one is in it already."""
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self.path, warn))
            except OSError as error:
                raise ConfigError(
                    f"output folder {self.path}: cannot be written ({error})"
                ) from None
            yield

    def describe(self, here: Mapping[str, Any], step: int) -> None:
        """Write environment.json: ``here``, and "commits", to which its own comes at ``step``."""
        now = {"step": step, "commit": here["commit"], "dirty": here["dirty"]}
        commits = [one for one in commits_of(self.path) if one["step"] < step]
        if not commits or commits[-1] | {"step": step} != now:
            commits.append(now)
        write_json(self.path / "environment.json", {**here, "commits": commits})

    @property
    def summary(self) -> dict[str, Any] | None:
        """The finished run's summary; None while it is not finished."""
        path = self.path / "summary.json"
        try:
            summary = read_json(path) if path.exists() else None
            if not isinstance(summary, dict | None):
                raise ValueError("not a table of named values")
        except ValueError as error:
            raise RunFolderError(
                f"{path}: cannot be read ({one_line(error)}); without it the run ends again from "
                "its last checkpoint"
            ) from None
        return summary

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one row to metrics.jsonl."""
        append_line(self.metrics, row)

    def log_event(self, row: Mapping[str, Any]) -> None:
        """Append one row to events.jsonl."""
        append_line(self.events, row)

    def row_counts(self) -> dict[str, int]:
        """Rows written so far; a checkpoint keeps them for :meth:`rewind`."""
        return {path.stem: len(read_lines(path)) for path in (self.metrics, self.events)}

    def rewind(self, counts: Mapping[str, int]) -> int:
        """Drop the rows that a resumed run will write again; returns how many.

        Raises RunFolderError when rows are damaged, or fewer than ``counts``: what is lost cannot
        be written again.
        """
        remove_unfinished(self.path)
        dropped = 0
        for path in (self.metrics, self.events):
            wanted = counts.get(path.stem, 0)
            try:
                rows = read_lines(path)
            except ValueError as error:
                raise RunFolderError(f"{one_line(error)}; the run cannot be continued") from None
            if len(rows) < wanted:
                raise RunFolderError(
                    f"{path}: has {len(rows)} of the {wanted} rows before the checkpoint; the run "
                    "cannot be continued"
                )
            dropped += len(rows) - wanted
            if path.exists():
                write_lines(path, rows[:wanted])
        return dropped

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json: from now on the run counts as done."""
        write_json(self.path / "summary.json", summary)


class Spectator(RunFolder):
    """The run folder as ranks other than the first hold it: they check and read, but never write.

    Raises ConfigError when the folder that rank 0 opened cannot be seen from here.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        if not (path / "config.json").exists():
            raise ConfigError(
                f"output folder {path}: not seen by every rank; it must be on a file system that "
                "all nodes share"
            )
        super().__init__(path, config)

    def log(self, row: Mapping[str, Any]) -> None:
        """Leave the row to rank 0."""

    def log_event(self, row: Mapping[str, Any]) -> None:
        """Leave the row to rank 0."""

    def row_counts(self) -> dict[str, int]:
        """Leave them to rank 0, which alone saves them."""
        return {"metrics": 0, "events": 0}

    def rewind(self, counts: Mapping[str, int]) -> int:
        """Leave it to rank 0."""
        return 0

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Leave it to rank 0."""
