"""One draw under Adam's steps: kappa, limits in c, what pays, and simulated normalised flow."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from theory.models import adam_draws, draws, grown_draws, noisy_draws

KEPT = (1.0, 0.6, 0.1, 1e-3)


def test_kappa_is_the_rms_of_one_copy_over_that_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    for copies, c in ((4, 0.0), (4, 0.8), (12, 0.95)):
        common, own = rng.normal(size=(400_000, 1)), rng.normal(size=(400_000, copies))
        noises = math.sqrt(c) * common + math.sqrt(1 - c) * own
        ratio = noises[:, 0].std() / noises.mean(1).std()
        assert adam_draws.hastening(copies, c) == pytest.approx(ratio, rel=5e-3)
    assert adam_draws.hastening(9, 0.0) == pytest.approx(3.0, rel=1e-12)


def test_parts_written_out() -> None:
    """m = 4, c = 0: kappa 2; 4 * 4 (1 + 0.5 (15 / 16) / 2) + 0.5 / 4, and 0.5 / 4."""
    assert adam_draws.parts(12, 3, 2, 0.5, 0.25, 0.0) == [
        (pytest.approx(16 * (1 + 0.25 * 15 / 16) + 0.125), 6.0),
        (0.125, 18.0),
    ]
    assert adam_draws.parts(12, 3, 2, 0.5, 1.0, 0.5)[1] == (0.25, 18.0)


def test_one_noise_for_all_copies_makes_tying_nothing() -> None:
    for own, d, noise in product((1, 3), (1, 2), (0.0, 0.4, 3.0)):
        found = [adam_draws.delay(12, own, d, noise, q, 1.0) for q in KEPT]
        assert found == pytest.approx([float(draws.delay(12, own, d))] * 4, abs=1e-9)


def test_untied_the_common_noise_is_a_part_of_the_draw() -> None:
    for own, noise, c in product((1, 3), (0.4, 3.0), (0.0, 0.7)):
        found = adam_draws.delay(12, own, 1, noise, 1.0, c)
        scale = 1.0 + noise * c
        plain = noisy_draws.parts(12, own, 1, noise * (1 - c) / scale, 1.0)
        each = noisy_draws.expected_log([(1.0 + noise, 12.0)])
        expected = each - noisy_draws.expected_log(plain) - math.log(scale)
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("own", "noise", "c"), list(product((1, 3, 6), (0.1, 3.0), (0.0, 0.9))))
def test_a_tie_gains_kappa_and_loses_at_most_the_draw(own: int, noise: float, c: float) -> None:
    kappa = adam_draws.hastening(12 / own, c)
    for q in KEPT:
        gained = (kappa - 1.0) * -math.log(q)
        late = adam_draws.delay(12, own, 1, noise, q, c)
        most = float(draws.delay(12, own, 1)) + math.log((1 + noise) / (1 + noise / kappa))
        assert late <= most - gained + 1e-9
        if c == 0.0:
            assert late + gained >= grown_draws.delay(12, own, 1, noise, q) - 1e-9
    enough = adam_draws.pays_from(12, own, 1, c)
    assert adam_draws.delay(12, own, 1, noise, math.exp(-enough), c) <= 1e-9


def test_pays_from_written_out() -> None:
    """Twelve copies of one, c = 0: (1.18 + log(12) / 2) over sqrt(12) - 1; never for c = 1."""
    loss = float(draws.delay(12, 1, 1)) + math.log(12) / 2
    assert adam_draws.pays_from(12, 1, 1, 0.0) == pytest.approx(loss / (12**0.5 - 1), rel=1e-12)
    assert adam_draws.pays_from(12, 1, 1, 1.0) == math.inf


@pytest.mark.parametrize(("c", "kept"), [(0.0, 0.3), (0.6, 0.3), (0.6, 1.0)])
def test_simulated_normalised_flow_is_as_late_as_foretold(c: float, kept: float) -> None:
    count, sigma, noise = 2000, 1e-3, 0.5
    base = sigma * np.random.default_rng(7).normal(size=(count, 4, 1))
    equal = np.repeat(base[:, :1], 4, 1)
    scale, when = noise * sigma**2, -math.log(kept) / 4.0
    own = 4.0 * adam_draws.simulate(base, range(4), 0.0, scale, 0.0, 0.02, 0.1, 1)
    tied = 4.0 * adam_draws.simulate(equal, [0] * 4, when, scale, c, 0.01, 0.1, 2)
    late = tied - own
    error = late.std() / count**0.5
    assert late.mean() == pytest.approx(adam_draws.delay(4, 1, 1, noise, kept, c), abs=5 * error)


def test_without_noise_the_simulation_is_the_logistic() -> None:
    """Of a group that moves kappa times as fast to the end."""
    weights = np.repeat(np.array([[[3e-3]], [[1e-2]]]), 4, 1)
    found = adam_draws.simulate(weights, [0] * 4, 1e9, 0.0, 0.5, 1e-3, 0.1, 0)
    expected = draws.learnt_at((weights**2).sum((1, 2)), 0.1) / adam_draws.hastening(4, 0.5)
    np.testing.assert_allclose(found, expected, rtol=4e-3)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="copies must be"):
        adam_draws.hastening(0.5, 0.1)
    with pytest.raises(ValueError, match="correlation must be"):
        adam_draws.parts(12, 1, 1, 0.1, 0.5, 1.1)
    with pytest.raises(ValueError, match="kept must be in"):
        adam_draws.parts(12, 1, 1, 0.1, 0.0, 0.5)
    with pytest.raises(ValueError, match="own must be less"):
        adam_draws.pays_from(12, 12, 1, 0.5)
    with pytest.raises(ValueError, match="divide layers"):
        adam_draws.delay(12, 5, 1, 0.1, 0.5, 0.5)
