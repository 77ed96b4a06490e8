"""Estimators of the best of n trials, against enumeration of all draws."""

from itertools import combinations, product

import numpy as np
import pytest

from peftrec.tuning.expectation import (
    budget_curve,
    changed_orders,
    with_replacement,
    without_replacement,
)

VALUES = np.array([0.3, 0.1, 0.4, 0.1, 0.5])


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_estimators_are_means_over_all_draws(n: int) -> None:
    again = np.mean([max(draw) for draw in product(VALUES, repeat=n)])
    once = np.mean([max(draw) for draw in combinations(VALUES, n)])
    assert with_replacement(VALUES, n) == pytest.approx(again)
    assert without_replacement(VALUES, n) == pytest.approx(once)


def test_a_curve_is_given_to_half_of_the_trials_with_an_interval_around_it() -> None:
    curve = budget_curve("lora", VALUES.tolist(), [10.0] * 5)
    assert curve is not None
    assert len(curve.expected) == 2
    assert curve.expected[0] == pytest.approx(VALUES.mean())
    assert curve.unbiased[1] == pytest.approx(without_replacement(VALUES, 2))
    assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.expected, curve.high, strict=True))
    assert curve.seconds_per_trial == 10.0
    again = budget_curve("lora", VALUES.tolist(), [10.0] * 5)
    assert again is not None
    assert np.array_equal(again.resampled, curve.resampled)
    assert budget_curve("lora", [0.1], [1.0]) is None


def test_the_interval_covers_the_expectation_of_new_trials() -> None:
    """40 trials from a known law: the interval of E[max of 5] holds the truth about as often as it says."""
    generator = np.random.default_rng(5)
    truth = 5 / 6  # of five uniform draws
    covered = 0
    for _ in range(60):
        curve = budget_curve("any", generator.random(40).tolist(), [1.0] * 40)
        assert curve is not None
        covered += curve.low[4] <= truth <= curve.high[4]
    assert 48 <= covered <= 60


def test_an_order_changes_only_where_intervals_say_so() -> None:
    generator = np.random.default_rng(0)
    steady = (0.5 + 0.01 * generator.random(40)).tolist()
    wild = np.where(np.arange(40) % 4 == 0, 0.9, 0.1).tolist()
    curves = [budget_curve(name, values, [1.0] * 40) for name, values in (("steady", steady), ("wild", wild))]
    (change,) = changed_orders([curve for curve in curves if curve is not None])
    assert (change.first, change.then) == ("steady", "wild")
    assert change.few == 1 < change.many
    alike = [budget_curve(name, generator.random(10).tolist(), [1.0] * 10) for name in ("one", "two")]
    assert not changed_orders([curve for curve in alike if curve is not None])
