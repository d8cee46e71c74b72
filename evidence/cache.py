"""Results that are computed once for the same configuration and code, and said where from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evidence.closure import code_digest
from swe.base.environment import host
from swe.base.files import json_digest, read_json, write_json


def result_key(config: Mapping[str, Any], module: str) -> str:
    """Return the digest under which a result of (config, code of ``module``'s closure) is kept."""
    return json_digest({"config": dict(config), "code": code_digest([module])})


def load_result(path: Path, key: str) -> dict[str, Any] | None:
    """Return the finished result at ``path`` if it is of ``key``; None otherwise."""
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = read_json(path)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("key") == key else None


def cached_result(
    path: Path, key: str, config: Mapping[str, Any], compute: Callable[[], Any]
) -> dict[str, Any]:
    """Return the record at ``path`` for ``key``, computing and writing it if it is not there.

    The record is {"key", "config", "seconds", "environment", "data"}.
    """
    found = load_result(path, key)
    if found is not None:
        return found
    started = time.perf_counter()
    data = compute()
    seconds = round(time.perf_counter() - started, 3)
    record = {
        "key": key,
        "config": dict(config),
        "seconds": seconds,
        "environment": host(),
        "data": data,
    }
    write_json(path, record)
    return record
