"""What a forecast sees: the features of a run, and the losses that they come from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from swe.base.errors import ConfigError
from swe.predict.measured import (
    ARMS,
    FEATURES,
    LEAST,
    lengths,
    log_loss,
    squashed,
)
from tests.swe.predict.cases import measured


def test_features_are_differences_to_the_equal_start() -> None:
    """A factor on all losses, which is another unit of loss, changes none of them."""
    losses = {arm: 0.1 * number for number, arm in enumerate(ARMS)}
    here = measured(short=losses, long=losses, start=1.0)
    moved = {arm: loss - 2.0 for arm, loss in losses.items()}
    there = measured(short=moved, long=moved, start=-1.0)
    np.testing.assert_allclose(here.features(), there.features(), atol=1e-12)
    named = dict(zip(FEATURES, here.features(), strict=True))
    assert named["baseline, short"] == pytest.approx(-math.log1p(1.0))
    assert named["always-shared, long"] == pytest.approx(math.log1p(4.0))
    assert named["progress"] == pytest.approx(-math.log1p(9.0))
    assert named["gain of the longer"] == 0.0
    assert named["sharpness ratio"] == pytest.approx(math.log10(2.0))
    assert (named["commutator"], named["updates"]) == (1.0, 3.0)


def test_squashing_keeps_sign_and_order() -> None:
    values = np.linspace(-3, 3, 101)
    assert np.all(np.diff(squashed(values)) > 0)
    np.testing.assert_array_equal(squashed(-values), -squashed(values))
    assert squashed(np.array([1e-6]))[0] == pytest.approx(1e-5, rel=1e-4)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"updates": 0}, "updates"),
        ({"share": 0.3}, "share"),
        ({"short": {"baseline": 0.0}}, "short"),
        ({"long": dict.fromkeys(ARMS, math.inf)}, "long"),
        ({"start": math.nan}, "start"),
        ({"commutator": -0.1}, "commutator"),
        ({"sharpness": math.inf}, "sharpness"),
    ],
)
def test_impossible_measurements_are_refused(changed: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        measured(**changed)


def test_log_loss_above_the_floor() -> None:
    assert log_loss(1.1, 0.1, 5.0) == pytest.approx(0.0)
    assert log_loss(math.inf, 0.0, 10.0) == log_loss(math.nan, 0.0, 10.0) == 1.0
    assert log_loss(0.0, 0.0, 1.0) == math.log10(LEAST)
    with pytest.raises(ConfigError, match="floor = 2: must be at most the held-out loss, 1"):
        log_loss(1.0, 2.0, 1.0)


def test_lengths_of_the_rehearsals() -> None:
    assert lengths(1000, 1 / 8) == (62, 125)
    assert lengths(10, 1 / 16) == (4, 4)
