"""What was forecast of a study beside what came: sign, size, tau; and before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence.comparison import compare
from figures.pages.foretold import NOT_RUN, came, rehearsed, table
from swe.base.files import write_json

LONG = {"baseline": 0.3, "equal-start": 0.4, "swe-f 0.1": 0.5, "swe-f 0.4": 0.6, "always-shared": 0}
STUDY = {"size": "6x32", "placement": "pre", "tau": 0.4}


def compared(**arms: list[float]) -> dict[str, Any]:
    """A table whose arms have these final losses, one a seed; the floor is 1."""
    runs = {name.replace("_", "-"): dict(enumerate(values)) for name, values in arms.items()}
    found = compare(runs, "baseline")
    for arm in found.values():
        arm["floor"] = 1.0
    return {"arms": found, "reference": "baseline", "study": STUDY}


def test_the_better_control_and_the_better_tau_count() -> None:
    data = compared(baseline=[3.0, 3.1, 3.2], equal_start=[2.0, 2.1, 2.2], swe_f=[1.5, 1.61, 1.7])
    data["arms"]["swe-f tau 80 %"] = compare(
        {"baseline": dict(enumerate([3.0, 3.1, 3.2])), "late": dict(enumerate([1.4, 1.5, 1.6]))},
        "baseline",
    )["late"] | {"floor": 1.0}
    found = came(data)
    assert found["came"] == "helps, n = 3", "against the equal start, by 0.6 at every seed"
    assert found["at"] == "80 %"
    assert found["moved"] == f"{0.5 / 1.1:.2f}"


def test_hurts_and_no_gain_are_by_the_interval() -> None:
    assert (
        came(compared(baseline=[2.0, 2.1, 2.2], swe_f=[2.5, 2.61, 2.7]))["came"] == "hurts, n = 3"
    )
    assert (
        came(compared(baseline=[2.0, 2.1, 2.2], swe_f=[2.1, 2.0, 2.3]))["came"] == "no gain, n = 3"
    )
    assert came(compared(baseline=[2.0, 2.1, 2.2])) == NOT_RUN


def test_the_rehearsal_is_judged_as_the_study_is() -> None:
    """Of the arms that untie, the best against the better control."""
    assert rehearsed(LONG) == f"{10**0.2:.3f}, until 10%"
    assert (
        rehearsed(LONG | {"swe-f 0.4": 0.2, "equal-start": 0.25}) == f"{10**-0.05:.3f}, until 40%"
    )


def test_a_forecast_stands_before_its_study(tmp_path: Path) -> None:
    records = tmp_path / "forecast"
    assert table(records) == "not run"
    said = {
        "verdict": "helps", "sureness": 0.6, "change": -0.3, "low": -0.5, "high": 0.1,
        "until": 0.4, "right": 0.7, "right_unseen": 0.4,
    }  # fmt: skip
    record = {
        "table": "composition",
        "study": STUDY,
        "forecast": said,
        "measured": {"updates": 1000, "long": LONG},
        "environment": {"commit": "c" * 40},
    }
    write_json(records / "studies" / "mine.json", record)
    [*_, row] = [line for line in table(records).splitlines() if line.startswith("| mine")]
    assert "helps (60%)" in row
    assert "0.50 (0.32 to 1.26)" in row
    assert "not run" in row
    assert "as forecast in" not in table(records)
    data = compared(baseline=[3.0, 3.1, 3.2], swe_f=[2.0, 2.1, 2.2])
    write_json(tmp_path / "studies" / "mine" / "composition.json", data)
    assert "helps, n = 3 | 0.52 | 40% |" in table(records)
    assert "as forecast in 1 of 1 studies" in table(records)
    hurt = compared(baseline=[2.0, 2.1, 2.2], swe_f=[3.0, 3.1, 3.2])
    write_json(tmp_path / "studies" / "other" / "composition.json", hurt)
    for name in ("other", "unrun"):
        write_json(records / "studies" / f"{name}.json", record)
    assert "as forecast in 1 of 2 studies" in table(records), "what was not run is not counted"
