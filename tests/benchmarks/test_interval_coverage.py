"""The coverage benchmark on a population that is known."""

import numpy as np
import pytest
from interval_coverage import Rate, difference_rates, false_positive_rates, mean_rate


@pytest.fixture
def populations() -> tuple[np.ndarray, np.ndarray]:
    """Two strategies whose seeds differ as much as their users do."""
    drawn = np.random.default_rng(0)
    users = drawn.normal(0, 0.3, (200, 1))
    first, second = (users + drawn.normal(0, 0.03, (1, 40)) + drawn.normal(0, 0.2, (200, 40)) for _ in range(2))
    return first + 0.1, second


def test_the_former_method_finds_too_much_and_the_present_one_does_not(
    populations: tuple[np.ndarray, np.ndarray],
) -> None:
    covered, false = difference_rates(*populations, 3, 150), false_positive_rates(populations[0], 3, 150)
    assert covered["former"].value < 0.85 < covered["users+seeds"].value
    assert false["former"].value > 0.15 > false["users+seeds"].value
    assert covered["former"].width < covered["users+seeds"].width < covered["paired"].width
    assert mean_rate(populations[0], 3, 150).value > 0.85


def test_the_interval_of_a_rate_is_wider_where_one_seed_decides() -> None:
    groups = np.arange(400).reshape(200, 2) % 20
    by_seed = np.isin(groups, [0, 2, 4]).any(axis=1)
    by_chance = np.random.default_rng(0).random(200) < by_seed.mean()
    rates = [Rate.of(~holds, groups, np.ones(200), 20) for holds in (by_seed, by_chance)]
    assert rates[0].high - rates[0].low > rates[1].high - rates[1].low
