"""Teacher and student: networks trained together do not mix; the truth at eps = 0 is shared."""

from __future__ import annotations

import numpy as np
import pytest

from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, Schedule, SweFixed
from theory.toys.teacher_student import (
    ARMS,
    DEPTH,
    DEVIATIONS,
    WIDTH,
    fit,
    networks,
    run_arm,
    study,
)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", [NeverShared(), SweFixed(until=4), AlwaysShared(unit=3)])
def test_networks_trained_together_do_not_mix(schedule: Schedule, optimiser: str) -> None:
    """Alone or in a batch of eight: the same final loss, to the rounding of other sum orders."""
    teachers, starts = networks(0, 2)
    together, _ = fit(teachers, starts, schedule, optimiser, 0.02, 10, 0)
    for index in (0, 5):
        part = slice(index, index + 1)
        alone, _ = fit(teachers[part], starts[part], schedule, optimiser, 0.02, 10, 0)
        assert alone[0] == pytest.approx(together[index], rel=1e-9)


def test_teachers_are_shared_at_zero_and_paired_over_deviations() -> None:
    teachers, starts = networks(3, 4)
    assert teachers.shape == starts.shape == (4 * len(DEVIATIONS), DEPTH, 2, WIDTH, WIDTH)
    by_eps = teachers.reshape(len(DEVIATIONS), 4, DEPTH, 2, WIDTH, WIDTH)
    assert np.all(by_eps[0] == by_eps[0][:, :1]), "eps = 0: all blocks of a teacher are one"
    mean = by_eps.mean(axis=2)
    np.testing.assert_allclose(mean, np.broadcast_to(mean[:1], mean.shape), atol=1e-15)
    np.testing.assert_allclose(
        (by_eps[2] - by_eps[0]) * DEVIATIONS[1], (by_eps[1] - by_eps[0]) * DEVIATIONS[2], atol=1e-15
    )
    assert np.all(starts[:4] == starts[-4:])


def test_a_student_that_starts_at_the_teacher_stays_there() -> None:
    """Zero loss and zero gradient: a fixed point of every schedule, at any rate."""
    teachers, _ = networks(0, 2)
    shared = teachers[:2]  # eps = 0
    for schedule in (EqualStart(), AlwaysShared(), SweFixed(until=2)):
        losses, _ = fit(shared, shared, schedule, "sgd", 0.1, 5, 0)
        assert np.all(losses < 1e-28)


def test_adaptive_arms_decide_for_each_network_alone() -> None:
    teachers, starts = networks(0, 2)
    losses, untied = run_arm("swe-m", "adamw", 0.02, teachers[:3], starts[:3], 25, 0)
    alone, own = run_arm("swe-m", "adamw", 0.02, teachers[1:2], starts[1:2], 25, 0)
    assert (losses[1], untied[1]) == (alone[0], own[0])


def test_study_keeps_every_rate_and_pairs_the_seeds() -> None:
    result = study(0, "smoke")
    assert result["arms"] == list(ARMS)
    for setting in result["settings"]:
        for arm in ARMS:
            chosen = setting["chosen"][arm]
            found = {k: v for k, v in chosen["mean_by_rate"].items() if v is not None}
            assert chosen["mean_by_rate"][str(chosen["rate"])] == min(found.values())
            entry = setting["against_equal_start"][arm]
            assert entry["loss"]["n"] == result["seeds"]
            assert entry["loss"]["mean"] == pytest.approx(min(found.values()), rel=1e-12)
