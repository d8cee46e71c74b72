"""Two tables of one study in both precisions: what is compared, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.precision import BOTH, beside
from bert.study.table_study import TableStudy
from swe.base.config import to_dict
from swe.base.errors import ConfigError

STUDY = TableStudy(size="6x32", steps=100)
WIDE = {"baseline": [3.0, 3.2, 3.1], "swe-f": [3.5, 3.6, 3.7], "swe-a": [3.0]}
NARROW = {"baseline": [3.1, 3.4, 3.4], "swe-f": [3.5, 3.6, 3.7]}


def table(arms: dict[str, list[float]], study: TableStudy = STUDY) -> dict[str, Any]:
    return {
        "study": to_dict(study),
        "blind": {"loss": 4.2},
        "environment": {"device": "a CPU", "command": "mine --out /my/folder"},
        "arms": {
            name: {"rate": 0.002, "values": {str(seed): v for seed, v in enumerate(values)}}
            for name, values in arms.items()
        },
    }


def test_arms_of_both_are_paired_by_seed() -> None:
    """Differences 0.1, 0.2 and 0.3; an arm that one table has alone is left out."""
    narrow = replace(STUDY, precision="bfloat16", rates=(0.002,), only=("swe-f",))
    found = beside(table(WIDE), table(NARROW, narrow))
    assert list(found["arms"]) == ["baseline", "swe-f"]
    cost = found["arms"]["baseline"]["bfloat16"]["difference"]
    assert (cost["n"], cost["mean"]) == (3, pytest.approx(0.2))
    assert found["arms"]["swe-f"]["bfloat16"]["difference"]["mean"] == 0.0
    assert found["study"]["precision"] == "bfloat16"
    assert {p: e["command"] for p, e in found["environments"].items()} == dict.fromkeys(
        BOTH, "mine --out folder"
    )


def test_a_record_from_before_a_field_is_the_same_study() -> None:
    wide = table(WIDE)
    wide["study"] |= {"objective": "masked"}
    assert beside(wide, table(NARROW, replace(STUDY, precision="bfloat16")))["arms"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"precision": "float32"}, "precision = 'float32': must be 'bfloat16'"),
        ({"steps": 200}, "steps: must be the same in both tables, is 100 and 200"),
        ({"dropout": 0.1}, "dropout: must be the same"),
    ],
)
def test_other_studies_are_refused(change: dict[str, Any], told: str) -> None:
    other = replace(STUDY, **({"precision": "bfloat16"} | change))
    with pytest.raises(ConfigError, match=told):
        beside(table(WIDE), table(NARROW, other))


def test_other_texts_and_rates_are_refused() -> None:
    narrow = table(NARROW, replace(STUDY, precision="bfloat16"))
    with pytest.raises(ConfigError, match="text: must be the same"):
        beside(table(WIDE), narrow | {"blind": {"loss": 4.3}})
    for arm in narrow["arms"].values():
        arm["rate"] = 0.004
    with pytest.raises(ConfigError, match="arms: must be in both tables, at one rate"):
        beside(table(WIDE), narrow)
