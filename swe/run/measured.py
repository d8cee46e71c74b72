"""What was measured at the start of the first of several runs, kept in a file for the others."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swe.base.config import one_line
from swe.base.errors import ConfigError
from swe.base.files import naming, read_json, write_json


def first_written(path: Path, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the content of ``path``; if it is not there, that of ``find()``, which is kept there.

    Of several processes that find it missing at once one's finding is kept, and all return that
    one. Raises ConfigError for a file that cannot be read or written.
    """
    try:
        if not path.exists():
            _link(path, find())
        found = read_json(path)
        if not isinstance(found, dict):
            raise ValueError(f"{path}: not a table of named values")
    except ValueError as error:
        raise ConfigError(f"{one_line(error)}; remove it, and it is measured anew") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({one_line(error)})") from None
    return found


def _link(path: Path, content: dict[str, Any]) -> None:
    """Give a whole new file the name ``path``, unless another process was sooner."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".measured.", dir=path.parent) as folder:
            whole = Path(folder) / path.name
            write_json(whole, content)
            with contextlib.suppress(FileExistsError):
                os.link(whole, path)
