"""What the system must have, and what it measures: POSIX for run folders and commands.

Linux is where everything is tested. macOS has what is used (file locks, signals to a process, fsync
of folders) and other units in one place. Windows has neither the locks nor the signals: there the
sharing itself works in a loop of one's own, and what writes run folders is refused by name.
"""

from __future__ import annotations

import sys

from swe.base.errors import ConfigError

DEVICES = ("cpu", "cuda")
"""Kinds of device whose random state the probes can set aside and put back."""


def require_posix(what: str) -> None:
    """Raise ConfigError, with the way out, where there are no POSIX locks and signals."""
    if sys.platform == "win32":
        raise ConfigError(
            f"{what}: needs Linux or macOS (file locks and signals that Windows lacks): run it "
            "under WSL, or use swe.adopt or swe.SharedStack in a loop of your own"
        )


def require_device(kind: str, what: str = "device") -> None:
    """Raise ConfigError for a kind of device that probes and checks cannot leave as it was."""
    if kind not in DEVICES:
        raise ConfigError(
            f"{what} = {kind!r}: must be one of {', '.join(DEVICES)}: on another the random state "
            "cannot be put back after a probe; train on the CPU there"
        )


def peak_resident_memory() -> int:
    """Return the peak resident memory of this process so far, in bytes."""
    import resource  # POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # the one counts bytes, the other KiB
