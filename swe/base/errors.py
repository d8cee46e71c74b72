"""Errors that a command tells in one line; each is defined once, here, and torch is not needed.

``status`` is the exit status of a command that ends by it: 2 what was asked for is impossible, 1
something broke on the way.
"""

from __future__ import annotations


class SweError(Exception):
    """Base of all errors that are raised on purpose: the message says what is wrong and where."""

    status = 1


class ConfigError(SweError, ValueError):
    """A configuration value is unknown or impossible; the message names it and what is allowed."""

    status = 2


class CheckpointError(SweError, RuntimeError):
    """A checkpoint cannot be written, or is truncated, foreign or of another version."""


class ResultError(SweError, ValueError):
    """A result file is there but does not hold what it should; the message names it."""


class RunFolderError(SweError, RuntimeError):
    """A run folder's own files are damaged; the message names the file and what to do."""


class FolderBusyError(SweError, RuntimeError):
    """Another process is at work in this folder; the message names it."""


class WorkerDiedError(SweError, RuntimeError):
    """A worker process ended in the middle of its work; killed, as a rule."""


class NonFiniteLossError(SweError, RuntimeError):
    """The loss or a gradient was NaN or infinite; the update was not made."""


class FunctionChangedError(SweError, RuntimeError):
    """The model's loss on the held batch was not the same, bit for bit, after an untie."""


class RanksDifferError(SweError, RuntimeError):
    """Ranks that must hold the same hold something different; the run cannot go on."""
