"""The study of the controls says what the theorem says."""

import json

import pytest

from tests.theory.theorems.test_controls import STEP_BY_STEP
from theory.studies import controls


def test_study_says_what_the_theorem_says() -> None:
    data = controls.study(1, "smoke")
    json.dumps(data, allow_nan=False)
    for row in data["same"]:
        assert row["normal"] == (row["family"] in ("symmetric", "rotation"))
        assert (row["largest_difference"] < STEP_BY_STEP) == row["normal"]
    for row in data["rows"]:
        parts = [row[k]["mean"] for k in ("start", "averaging", "tying")]
        assert sum(parts) == pytest.approx(row["total"]["mean"], abs=1e-12)
        if row["kick"] == 0.0:
            assert row["averaging"]["mean"] == pytest.approx(0.0, abs=1e-12)
            if row["family"] in ("symmetric", "rotation"):
                assert row["tying"]["mean"] == pytest.approx(0.0, abs=1e-9)
            else:
                assert row["tying"]["mean"] < -0.01
    with pytest.raises(ValueError, match="scale"):
        controls.study(0, "tiny")
