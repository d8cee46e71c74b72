"""Two arms that differ by their tied updates and by nothing else."""

from __future__ import annotations

import math
from functools import partial

import pytest

from swe.base.errors import ConfigError
from swe.probes.branch import Branch, branch
from swe.probes.rehearsal import Rehearsal, rehearse
from swe.probes.run import no_decay
from swe.sharing.schedule import AlwaysShared, EqualStart, Schedule, SweFixed
from tests.swe.probes.runs import make


def apart_from_time(found: Rehearsal) -> tuple[object, ...]:
    return (found.losses, found.loss, found.start_loss, found.diverged)


@pytest.mark.parametrize("unit", [1, 2])
def test_without_tied_updates_both_arms_are_one(unit: int) -> None:
    found = branch(make, 0, 6, unit=unit, evaluations=3)
    assert apart_from_time(found.tied) == apart_from_time(found.untied)
    assert found.gain == 0


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize(
    ("tied", "untied", "schedule"), [(4, 6, SweFixed(until=4)), (5, 0, AlwaysShared())]
)
def test_arms_are_rehearsals(tied: int, untied: int, schedule: Schedule, decay: bool) -> None:
    """Of these schedules, rates constant unless asked; one start, apart after one update."""
    found = branch(make, tied, untied, decay=decay, evaluations=tied + untied)
    begin = make if decay else partial(make, rate=no_decay)
    for arm, expected in ((found.tied, schedule), (found.untied, EqualStart())):
        result = rehearse(begin, expected, tied + untied, evaluations=tied + untied)
        assert apart_from_time(arm) == apart_from_time(result)
    assert found.tied.losses[0] == found.untied.losses[0]
    assert found.tied.losses[1] != found.untied.losses[1]
    assert found.gain == found.untied.loss - found.tied.loss


def test_the_gain_of_arms_that_diverged() -> None:
    fine = Rehearsal(((0, 1.0),), 1.0, 1.0, 0.0, False)
    lost = Rehearsal(((0, math.inf),), math.inf, 1.0, 0.0, True)
    assert Branch(tied=fine, untied=lost).gain == math.inf
    assert Branch(tied=lost, untied=fine).gain == -math.inf
    assert math.isnan(Branch(tied=lost, untied=lost).gain)


def test_no_updates_and_unfit_units_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"tied \+ untied = 0: must be at least 1"):
        branch(make, 0, 0)
    with pytest.raises(ConfigError, match="tied = -1"):
        branch(make, -1, 4)
    with pytest.raises(ConfigError, match="unit = 3: must be a divisor of depth 4"):
        branch(make, 2, 2, unit=3)
