"""Folders of long work: which code began it, and which code went on.

A folder that :func:`keyed_folder` names ends in the digest of the code that began it; ``code.json``
in it lists every code that worked there with its commit. The name holds the code, beside the
configuration, so that what another code finished stays where it is while this one starts its own;
what another code left half done is not begun again unasked, for it may be weeks of work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from evidence.closure import code_digest
from swe.base.environment import revision
from swe.base.errors import ConfigError, RunFolderError
from swe.base.files import read_json, write_json

OtherCode = Literal["refuse", "continue", "anew"]
"""What to do with work that other code left half done."""
OTHER_CODE: tuple[OtherCode, ...] = get_args(OtherCode)
RECORD = "code.json"


def keyed_folder(
    parent: Path,
    name: str,
    module: str,
    other_code: OtherCode,
    half_done: Callable[[Path], bool],
    *also: str,
) -> Path:
    """Return the folder ``parent/NAME-CODE`` for the code of ``module``'s closure, recorded there.

    The closures of ``also`` count with it.
    That is the one where this code worked before, whoever began it; else a new one, unless other
    code left one for which ``half_done`` is true: then ConfigError names both commits, or, as
    ``other_code`` says, the latest of those is taken over or left alone.
    """
    code = code_digest([module, *also])
    own = parent / f"{name}-{code[:10]}"
    others = [
        path.parent for path in parent.glob(f"{name}-{'?' * 10}/{RECORD}") if path.parent != own
    ]
    others = [own, *sorted(others, key=lambda path: (path / RECORD).stat().st_mtime)]
    for folder in others:
        if any(worker["code"] == code for worker in _workers(folder)):
            return _worked_on(folder, code)
    left = [folder for folder in others[1:] if half_done(folder)]
    if left and other_code != "anew":
        return continued(left[-1], code, other_code, anew="anew begins again beside it")
    return _worked_on(own, code)


def continued(folder: Path, code: str, other_code: OtherCode, *, anew: str) -> Path:
    """Record that ``code`` (a digest) works on in ``folder``; returns the folder.

    ConfigError, which names both commits, when the folder is of other code and ``other_code`` does
    not say to continue; ``anew`` tells how to begin again instead.
    """
    workers = _workers(folder)
    if other_code != "continue" and all(worker["code"] != code for worker in workers):
        before = workers[-1] if workers else {}
        raise ConfigError(
            f"{folder}: half done by {_told(before)}, and this is "
            f"{_told(revision() | {'code': code})}: --other-code continue goes on with it, {anew}; "
            "a worktree of its commit goes on without that"
        )
    return _worked_on(folder, code)


def _worked_on(folder: Path, code: str) -> Path:
    workers = _workers(folder)
    if not workers or workers[-1]["code"] != code:
        write_json(folder / RECORD, {"workers": [*workers, {"code": code, **revision()}]})
    return folder


def _workers(folder: Path) -> list[dict[str, Any]]:
    """Return the record of a folder, the code that began it first; [] without one.

    Raises RunFolderError for a damaged record.
    """
    path = folder / RECORD
    if not path.exists():
        return []
    try:
        found = read_json(path)["workers"]
        return [{name: one[name] for name in ("code", "commit", "dirty")} for one in found]
    except (ValueError, LookupError, TypeError) as error:
        raise RunFolderError(
            f"{path}: cannot be read ({error!r}); without it the folder is of unknown code"
        ) from None


def _told(worker: dict[str, Any]) -> str:
    commit = worker.get("commit")
    changed = " with changes" if worker.get("dirty") else ""
    code = f" (code {worker['code'][:10]})" if worker else ""
    return f"{f'commit {commit[:10]}' if commit else 'an unknown commit'}{changed}{code}"
