"""Optimal stopping by fitted values: beside every policy there is, and on cells made by hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swe.base.files import read_json
from swe.predict.calibration import TAUS
from theory.toys import stopping
from theory.toys.stopping import (
    Watched,
    cosine_rule,
    fitted_rule,
    judge,
    load,
    losses_of_untying,
    nearest_mean,
    regret,
    save,
)

LOOKS = len(TAUS)


def made(change: Any, correlation: Any, family: str = "made") -> Watched:
    """Cells (C, 5) with one run each that sees that correlation, (C, 5), and nothing else."""
    change, correlation = np.asarray(change, float), np.asarray(correlation, float)
    seen = np.zeros((len(change), 1, LOOKS, 3))
    seen[:, 0, :, 0] = correlation
    return Watched(change, seen, np.zeros((len(change), 1)), np.full(len(change), family))


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours that are a group of cells that look alike, and no tilt to the cosine rule."""
    monkeypatch.setattr(stopping, "NEIGHBOURS", 7)
    monkeypatch.setattr(stopping, "MARGIN", 0.0)


@pytest.mark.usefixtures("fewer")
def test_no_policy_of_what_is_seen_ends_lower() -> None:
    """Two kinds of eight equal cells, told apart at every look: the rule against all 25 policies
    that untie each kind at a tau of its own."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        kinds = rng.standard_normal((2, LOOKS))
        which = np.repeat([0, 1], 8)
        cells = made(kinds[which], np.where(which == 0, 0.9, -0.9)[:, None] * np.ones(LOOKS))
        found = regret(cells, fitted_rule(cells, cells)).mean()
        every = [
            regret(cells, np.array([policy])[0][which][:, None]).mean()
            for policy in product(range(LOOKS), repeat=2)
        ]
        assert len(every) == 25
        assert found == pytest.approx(min(every), abs=1e-12)


@pytest.mark.usefixtures("fewer")
def test_it_waits_for_what_it_will_see() -> None:
    """At the first look the kinds are alike, and untying now is the best fixed tau; waiting for the
    second look, which tells them apart, is better still."""
    good, bad = [0.0, -1.0, 2.0, 2.0, 2.0], [0.0, 2.0, 0.5, 2.0, 2.0]
    which = np.repeat([0, 1], 8)
    correlation = np.where(which == 0, 0.9, -0.9)[:, None] * np.array([0, 1, 1, 1, 1])
    cells = made(np.where(which[:, None] == 0, good, bad), correlation)
    assert cells.change.mean(axis=0).argmin() == 0
    chosen = fitted_rule(cells, cells)[:, 0]
    assert chosen.tolist() == [1] * 8 + [2] * 8
    assert np.take_along_axis(cells.change, chosen[:, None], axis=1).mean() == -0.25


@pytest.mark.usefixtures("fewer")
def test_a_loss_of_untying_is_against_what_the_rule_reaches() -> None:
    cells = made([[3.0, 1.0, 0.0, 2.0, 1.5]] * 8, np.full((8, LOOKS), 0.9))
    found = [loss[0, 0] for loss in losses_of_untying(cells)]
    assert found == [2.0, 1.0, -1.5, 0.5], "3 - 0 counts as 2 decades"


def test_in_doubt_it_is_the_cosine_rule() -> None:
    correlation = [[0.9, 0.9, 0.4, 0.9, 0.9], [0.2] * 5, [0.9] * 5, [np.nan] * 5]
    cells = made(np.zeros((4, LOOKS)), correlation)
    assert cosine_rule(cells)[:, 0].tolist() == [2, 0, 4, 4]
    np.testing.assert_array_equal(fitted_rule(cells, cells), cosine_rule(cells))


def test_neighbours_are_those_of_other_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "NEIGHBOURS", 2)
    known = np.array([0.0, 1.0, 2.5, 10.0])[:, None, None]
    values = np.array([[1.0], [10.0], [100.0], [1000.0]])
    assert nearest_mean(known, values, known[:2]).ravel().tolist() == [5.5, 5.5]
    others = nearest_mean(known, values, known, np.arange(4))
    assert others.ravel().tolist() == [55.0, 50.5, 5.5, 55.0]


def test_regret_is_the_mean_over_a_cells_runs() -> None:
    cells = made([[0.5, 0.1, 0.3, 0.2, 0.4]], [[0.9] * 5])
    assert regret(cells, np.array([[1]])).tolist() == [0.0]
    two = Watched(cells.change, cells.seen.repeat(2, 1), cells.start.repeat(2, 1), cells.family)
    assert regret(two, np.array([[0, 2]])) == pytest.approx([0.3])


def test_a_kind_left_out_is_judged_by_the_others() -> None:
    """Two kinds that look alike and want opposite taus: each is right by its own, not by both."""
    early, late = [0.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 0.0]
    near = np.full((40, LOOKS), 0.9)
    a, b = made([early] * 40, near, "a"), made([late] * 40, near - 0.5, "b")
    both = Watched(
        np.concatenate([a.change, b.change]),
        np.concatenate([a.seen, b.seen]),
        np.concatenate([a.start, b.start]),
        np.concatenate([a.family, b.family]),
    )
    found = judge(both, both)["splits"]
    assert found["kinds known"]["all"]["fitted"] == 0
    assert found["kinds left out"]["a"]["fitted"] == found["kinds left out"]["b"]["fitted"] == 1
    assert found["kinds known"]["a"]["cosine"] == 1
    assert found["kinds known"]["a"]["difference"]["mean"] == -1
    assert found["kinds known"]["a"]["cells"] == 40


def test_features_are_what_a_schedule_has_seen_by_then() -> None:
    entry: dict[str, Any] = {
        "family": "made",
        "start": {"equal-start": [1.0]},
        "outcome": {
            arm: [0.0, 0.0] for arm in ("baseline", "equal-start", *(f"swe-f {t:g}" for t in TAUS))
        },
        "tied": {
            f"{tau:g}": {"correlation": [tau], "alignment": [0.5], "loss": [-tau]}
            for tau in TAUS[:-1]
        },
    }
    entry["tied"]["0.4"]["loss"] = [None]
    cells = Watched.of([entry])
    assert cells.features(0)[0, 0] == pytest.approx([0.1, 0.1, 1.1, 1.1])
    assert cells.features(1)[0, 0] == pytest.approx([0.2, 0.15, 1.2, 0.1])
    assert cells.features(2)[0, 0] == pytest.approx([0.4, 0.7 / 3, -3.0, -4.0]), "it diverged"
    assert cells.features(4)[0, 0, 0] == 0, "a tau that was not watched"


def test_cells_come_back_from_their_file(tmp_path: Any) -> None:
    cells = made([[0.5, np.pi, 0.3, 0.2, 0.4]], [[0.9, np.nan, 0.1, 0.2, 0.3]])
    save(tmp_path / "w.npz", {"known": cells})
    again = load("known", tmp_path / "w.npz")
    np.testing.assert_allclose(again.change, cells.change, rtol=1e-7)
    np.testing.assert_allclose(again.seen, cells.seen, rtol=1e-7)
    assert again.family.tolist() == ["made"]


def test_the_shipped_cells_are_those_on_record() -> None:
    record = read_json(Path(__file__).resolve().parents[3] / "records/forecast/stopping.json")
    judged, known = load("judged"), load("known")
    assert (len(known.change), len(judged.change)) == (record["known_cells"], 150)
    lost = regret(judged, cosine_rule(judged))
    row = record["splits"]["kinds known"]["all"]
    assert lost.mean() == pytest.approx(row["cosine"], abs=1e-12)
    assert not {*known.family.tolist()} & {*record["unseen"]}
