"""The study of odd targets: exponents that differ, and rotations that take longer and longer."""

import json

import numpy as np

from theory.studies import odd_targets as odd


def test_exponents_and_rotations() -> None:
    data = odd.study(0, "smoke")  # four depths: 2 degrees of freedom
    json.dumps(data, allow_nan=False)
    slopes = data["caption_numbers"]["slopes"]
    assert all(fit["low"] > 0.0 for name, fit in slopes.items() if name != "one draw")
    assert slopes["mean of draws"]["low"] > slopes["unshared"]["high"]
    for row in data["rotations"]:
        assert np.all(np.diff(row["identity"]) > 0.0)
