"""Intervals of few units, against counting and simulation."""

import math

import numpy as np
import pytest

from peftrec.results.bootstrap import CONFIDENCE, FEWEST_UNITS, drawn_places, expanded_interval, expanded_tail


@pytest.mark.parametrize("number", [5, 7, 11, 25])
def test_the_median_lies_in_its_interval_as_often_as_is_claimed(number: int) -> None:
    """The median of a skewed law, over many sets of few values."""
    generator = np.random.default_rng(number)
    places = drawn_places(number, generator, resamples=1000)
    is_inside = []
    for values in generator.lognormal(0.0, 0.5, size=(600, number)):
        low, high = expanded_interval(np.median(values[places], axis=1), number)
        is_inside.append(low <= 1.0 <= high)
    assert np.mean(is_inside) > CONFIDENCE - 0.04


def test_plain_percentiles_of_seven_values_hold_less_than_is_claimed() -> None:
    """What the expanded ones are for: from the second to the sixth of seven values is all that percentiles give."""
    places = drawn_places(7, np.random.default_rng(1), resamples=20_000)
    medians = np.median(np.arange(7.0)[places], axis=1)
    assert np.quantile(medians, [0.025, 0.975], method="inverted_cdf").tolist() == [1.0, 5.0]
    assert expanded_interval(medians, 7) == (0.0, 6.0)
    assert 1 - 2 * sum(math.comb(7, below) for below in range(2)) / 2**7 == 0.875


def test_tails_near_the_plain_ones_with_many_units() -> None:
    tails = [expanded_tail(number) for number in (FEWEST_UNITS, 10, 100, 100_000)]
    assert tails == sorted(tails)
    assert tails[-1] == pytest.approx((1 - CONFIDENCE) / 2, rel=1e-3)
