"""One process a folder: an advisory lock that the system lets go of when its holder dies.

``flock`` on a file in the folder, held open for as long as the run lasts: the kernel drops it with
the process, kill -9 included, so there is never a stale lock to remove by hand (a file that merely
exists would be one, and process numbers come around again). It holds between processes of one
machine, and on Linux between machines that share the folder by NFS. A file system that knows no
locks gives none: the run goes on without, and says so.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from swe.base.errors import FolderBusyError
from swe.base.platform import require_posix

LOCK_NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def exclusive(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Hold ``folder`` alone for the block; its file ``.lock`` names the holder and stays there.

    Raises FolderBusyError at once when another process, or this one, holds it, OSError when the
    file cannot be written, ConfigError on a system without such locks.
    """
    require_posix(f"{folder}")
    import fcntl

    path = folder / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode("utf-8", "replace").strip()
            raise FolderBusyError(
                f"{folder}: a process is at work here already ({holder or 'no name given'}); wait "
                "for it or stop it"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warn(f"{folder}: no locks on this file system; see to it that one process runs here")
        else:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)
