"""One process a folder: an advisory lock that the system lets go of when its holder dies.

``flock`` on a file in the folder, held open for as long as the run lasts: the kernel drops it with
the process, kill -9 included, so there is never a stale lock to remove by hand (a file that merely
exists would be one, and process numbers come around again). It holds between processes of one
machine, and on Linux between machines that share the folder by NFS. A file system that knows no
locks gives none: the run goes on without, and says so. :func:`exclusive` refuses at once, for a run
is one process's; :func:`in_turn` waits, for what a job array makes first is there for the others.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from swe.base.errors import FolderBusyError
from swe.base.interrupt import Stop, stop_if
from swe.base.platform import require_posix

LOCK_NAME, TURN_NAME = ".lock", ".turn"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def exclusive(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Hold ``folder`` alone for the block; its file ``.lock`` names the holder and stays there.

    Raises FolderBusyError at once when another process, or this one, holds it, OSError when the
    file cannot be written, ConfigError on a system without such locks.
    """
    with _held(folder / LOCK_NAME, warn) as holder:
        if holder is not None:
            raise FolderBusyError(
                f"{folder}: a process is at work here already ({holder}); wait for it or stop it"
            )
        yield


@contextmanager
def in_turn(
    folder: Path, say: Callable[[str], None], stop: Stop, *, every: float = 0.2
) -> Iterator[None]:
    """Do the block alone in ``folder`` (made if need be), after whoever is at it; says so once.

    Nothing of it stays: its file goes, and so does a folder that the block left empty. Other
    processes' blocks alone are kept out, not those of :func:`exclusive`. Raises Interrupted when
    ``stop()`` turns true while it waits, OSError and ConfigError as :func:`exclusive`.
    """
    path, told = folder / TURN_NAME, False
    while True:
        fresh = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        with _held(path, say) as holder:
            if holder is None:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)  # while held: who waits sees that it is gone
                    if fresh:
                        with suppress(OSError):
                            folder.rmdir()
                return
        if not told:
            say(f"{folder}: is being made by {holder}; waiting for it")
            told = True
        stop_if(stop)
        time.sleep(every)


@contextmanager
def _held(path: Path, warn: Callable[[str], None]) -> Iterator[str | None]:
    """Hold the lock of a file, if nobody does, for the block; yields who holds it else."""
    require_posix(f"{path.parent}")
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    holder: str | None = None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _name_in(descriptor)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warn(
                f"{path.parent}: no locks on this file system; see to it that one process runs here"
            )
        else:
            if not _is_there(path, descriptor):
                holder = "a process that has just ended"  # with the file that we have locked
            else:
                os.ftruncate(descriptor, 0)
                name = f"process {os.getpid()} on {socket.gethostname()}\n"
                os.write(descriptor, name.encode())
        yield holder
    finally:
        os.close(descriptor)


def _name_in(descriptor: int) -> str:
    """Read who holds a lock; its name is there a moment after the lock is."""
    for _ in range(20):
        text = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
        if text:
            return text
        time.sleep(0.01)
    return "no name given"


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
