"""Where a table's numbers come from: the command, device and commit beside them."""

from __future__ import annotations

from pathlib import Path

from bert.study.tables import _environment
from swe.base.files import write_json


def test_a_table_has_the_environment_of_its_own_runs(tmp_path: Path) -> None:
    """Begun last among them, whatever other tables of the study began beside them."""
    names = ("baseline-s0", "swe-f-s0", "other-s0", "empty-s0")
    folders = [tmp_path / name for name in names]
    for folder, hour in zip(folders[:3], ("10", "11", "12"), strict=True):
        write_json(folder / "environment.json", {"time": f"2026-01-01T{hour}", "command": hour})
    for own, command in ((folders[:2], "11"), (folders, "12"), (folders[:1], "10")):
        found = _environment(own)
        assert found is not None
        assert found["command"] == command
    assert _environment(folders[3:]) is None
