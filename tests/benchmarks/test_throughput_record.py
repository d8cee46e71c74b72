"""The record that the side-by-side goes on with: its own, or one line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")

from benchmarks.side_by_side.settings import Settings
from benchmarks.throughput import FORMAT, settled, stored
from swe.base.errors import ConfigError
from swe.base.files import write_json


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": "another"}'])
def test_a_file_that_is_no_record_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"record.json: is no record of this pro.*; name") as told:
        stored(path)
    assert "\n" not in str(told.value)
    assert path.read_text() == content


def test_a_record_keeps_its_kernel(tmp_path: Path) -> None:
    """What was measured first, and nothing is measured anew; an old record says nothing of it."""
    path = tmp_path / "record.json"
    for kernel in ("math", None):
        settings = {} if kernel is None else {"attention": kernel}
        write_json(path, {"format": FORMAT, "settings": settings})
        found, notes = settled(Settings(), path)
        assert (found.attention, notes) == (kernel or Settings().attention, {})
    assert stored(tmp_path / "none.json") is None
