"""What the tests of ranks and of checkpoints across ranks share: the runs, made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.swe.ranks.rank_runs import all_runs


@pytest.fixture(scope="session")
def rank_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which one process, then two ranks, then four have done their runs.

    Made once, also when pytest spreads the tests over several processes.
    """
    base = tmp_path_factory.getbasetemp()
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ranks"
    with FileLock(f"{out}.lock"):
        if not (out / "done").exists():
            shutil.rmtree(out, ignore_errors=True)
            all_runs(out)
            (out / "done").touch()
    return out
