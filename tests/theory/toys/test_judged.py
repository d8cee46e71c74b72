"""The judging of toys: what is chosen is chosen without the judging networks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import toy_grid
from evidence.comparison import Verdict
from theory.toys import judged
from theory.toys.judged import ARMS, SCALES, Setting, judge, log_losses, settings, study, worse
from theory.toys.problems import HELD


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["helps", "helps"], "helps"),
        (["helps", "no gain"], "no gain"),
        (["hurts", "helps"], "hurts"),
        (["one seed: no interval", "helps"], "one seed: no interval"),
    ],
)
def test_a_setting_has_its_worse_verdict(verdicts: list[Verdict], expected: Verdict) -> None:
    assert worse(verdicts) == worse(verdicts[::-1]) == expected


def small(rates: tuple[float, ...]) -> Setting:
    return Setting(family="lista", optimiser="sgd", steps=10, rates=rates)


def test_rates_and_tau_are_chosen_on_the_tuning_networks() -> None:
    """Other judging networks, same choices; the choice is the least mean of what is kept."""
    setting = small((0.01, 0.1))
    one, other = judge(setting, (1, 2), (3, 4)), judge(setting, (1, 2), (5, 6))
    assert (one["tuned"], one["chosen"]) == (other["tuned"], other["chosen"])
    assert one["against_baseline"] != other["against_baseline"]
    tried = [(arm, rate) for arm in ARMS for rate in setting.rates]
    means = log_losses(setting.problem((1, 2)), setting, tried).mean(axis=1).reshape(len(ARMS), 2)
    for arm, row in zip(ARMS, means, strict=True):
        assert one["tuned"][arm]["log10_by_rate"] == pytest.approx(row.tolist(), abs=1e-4)
        assert one["tuned"][arm]["rate"] == setting.rates[int(np.argmin(row))]
    swe = {arm: row.min() for arm, row in zip(ARMS, means, strict=True) if "swe" in arm}
    assert one["chosen"] == min(swe, key=lambda arm: swe[arm])
    judged_at = [(arm, one["tuned"][arm]["rate"]) for arm in ARMS]
    losses = log_losses(setting.problem((3, 4)), setting, judged_at)
    for arm, row in zip(ARMS, losses, strict=True):
        found = list(one["against_baseline"][arm]["values"].values())
        assert found == pytest.approx(row.tolist(), abs=1e-4)  # single precision


def test_a_run_that_diverged_counts_as_untrained() -> None:
    setting = small((1e30,))
    problem = setting.problem((1, 2))
    found = log_losses(problem, setting, [("baseline", 1e30), ("baseline", 0.01)])
    start = problem.losses(problem.stack(problem.draws), HELD).detach().numpy()
    np.testing.assert_allclose(found[0], np.log10(start), rtol=1e-12)
    assert np.all(found[1] < found[0])


def test_the_default_run_has_what_the_claims_read() -> None:
    result = study(0, "smoke")
    families = [setting["family"] for setting in result["settings"]]
    assert set(families) == {"unrolled", "lista", "residual"}
    for setting in result["settings"]:
        assert setting["chosen"].startswith("swe-f")
        for control in ("baseline", "equal_start", "always_shared"):
            entry = setting[f"against_{control}"][setting["chosen"]]
            assert entry["difference"]["n"] == result["judging"] == SCALES["smoke"][2]
    for setting in settings(10, 5):
        assert list(setting.rates) == sorted(set(setting.rates))
        assert len(setting.rates) >= 4


def test_all_settings_of_a_seed_have_the_same_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuning and judging networks never meet."""
    seen = []

    def look(setting: Setting, *seeds: tuple[int, ...]) -> dict[str, str]:
        seen.append(seeds)
        return setting.name()

    monkeypatch.setattr(judged, "judge", look)
    judged.judge_all(3, settings(10, 2), 6, 8)
    assert len(set(seen)) == 1
    tuning, judging = seen[0]
    assert [len(set(tuning)), len(set(judging)), len({*tuning, *judging})] == [6, 8, 14]


def test_the_grid_names_each_setting_once() -> None:
    names = [tuple(setting.name().items()) for setting in toy_grid.grid()]
    assert len(set(names)) == len(names) == 3 * 2 * 2 * 2
