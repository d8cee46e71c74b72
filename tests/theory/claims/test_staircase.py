"""The staircase's claims and study: each check can fail, and runs depend on the seed alone."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evidence.claim import Finding
from theory.claims import staircase as claims
from theory.models import staircase, staircase_steps
from theory.studies import staircase as study


def constants(skills: int) -> tuple[float, ...]:
    """The constants of K successive logistics: what neglecting the coupling would give."""
    return (0.0,) * skills


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("the paper's factor L", lambda: claims.check_flow(0, "smoke", lambda k, e, depth: k)),
        (
            "idle layers forgotten",
            lambda: claims.check_flow(
                0, "smoke", lambda k, e, depth: staircase.limiting_ratio(k, e)
            ),
        ),
        ("hops that do not interact", lambda: claims.check_flow(0, "smoke", constants=constants)),
        ("no saving", lambda: claims.check_late(0, "smoke", lambda k: (-2.0 * k,))),
        ("wrong saving", lambda: claims.check_late(0, "smoke", constants)),
        (
            "the front without its wait",
            lambda: claims.check_noise(
                0, "smoke", lambda k, wait: float(staircase_steps.front(k, wait)[-1]) + 1.0
            ),
        ),
        ("nothing to win yet", lambda: claims.check_tau(0, "smoke", 0.99)),
    ],
)
def test_a_wrong_statement_fails(name: str, finding: Callable[[], Finding]) -> None:
    assert finding().verdict == "fails", name


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.id)
def test_the_statements_hold(claim: Any) -> None:
    assert claim.check(3, "smoke").verdict == "holds"


def test_study_is_json_and_a_function_of_the_seed() -> None:
    data = study.study(1, "smoke")
    json.dumps(data, allow_nan=False)
    runs, others = (
        study.simulated(np.random.default_rng([seed, 60]), 3, 0.2, 8) for seed in (1, 2)
    )
    assert data["simulated"] == runs != others
    # The flow is exact and the runs are near their drift.
    for row in data["simulated"]:
        if row["expected"] is not None:
            assert row["gain"] == pytest.approx(row["expected"], rel=0.35)
    assert data["random"]["over_equal"]["ratio"] == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ValueError, match="scale"):
        study.study(0, "tiny")


def test_runs_that_do_not_arrive_are_refused() -> None:
    starts = np.full((2, 3), 0.2)
    with pytest.raises(ValueError, match="did not arrive in 500 steps"):
        study.mean_steps(np.random.default_rng(0), starts, "sgd", 0.0, 1e-3, 1e-9)
