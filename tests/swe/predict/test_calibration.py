"""The known runs: what fits together, and a file that is read back as it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swe.base.errors import ConfigError
from swe.predict.calibration import SHIPPED, TAUS, load, save
from swe.predict.measured import SHARES
from tests.swe.predict.cases import two_kinds


def test_a_file_holds_what_was_saved(tmp_path: Path) -> None:
    known = two_kinds(3)
    save(tmp_path / "known.npz", {1 / 16: known, 1 / 8: known.without(known.outcome == 2)})
    found = load(1 / 16, tmp_path / "known.npz")
    np.testing.assert_allclose(found.features, known.features, rtol=1e-6)
    np.testing.assert_allclose(found.change, known.change, rtol=1e-6)
    for name in ("cell", "verdict", "family"):
        np.testing.assert_array_equal(getattr(found, name), getattr(known, name))
    assert found.families == ("a", "b")
    assert len(load(1 / 8, tmp_path / "known.npz").change) == 3


def test_other_files_and_shares_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "known.npz", {1 / 16: two_kinds(3)})
    with pytest.raises(ConfigError, match=r"share = 0\.5"):
        load(0.5, tmp_path / "known.npz")
    (tmp_path / "text.npz").write_text("no")
    for name in ("none.npz", "text.npz"):
        with pytest.raises(ConfigError, match="is no calibration"):
            load(1 / 16, tmp_path / name)


def test_shapes_that_do_not_fit_are_refused() -> None:
    known = two_kinds(3)
    with pytest.raises(ConfigError, match="change has shape"):
        replace(known, change=known.change[:, :2])
    with pytest.raises(ConfigError, match="one of its cells"):
        replace(known, cell=known.cell + 1)


def test_without_cells_keeps_the_others_runs() -> None:
    known = two_kinds(3)
    left = known.without(np.arange(6) == 1)
    np.testing.assert_array_equal(left.features, np.delete(known.features, 1, axis=0))
    np.testing.assert_array_equal(left.cell, np.arange(5))


@pytest.mark.parametrize("share", SHARES)
def test_the_shipped_one_answers_the_question(share: float) -> None:
    """Each verdict is among its cells often enough to be forecast, and no kind unseen."""
    known = load(share, SHIPPED)
    counts = np.bincount(known.outcome, minlength=3)
    assert counts.min() >= 0.15 * counts.sum()
    assert "lista" not in known.families
    assert known.change.shape[1] == len(TAUS)
    assert np.isfinite(known.features).all()
