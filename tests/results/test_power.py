"""Verdicts, the smallest difference and the seeds that a wish needs, against literal rules and against simulations."""

import itertools

import numpy as np
import pytest
from scipy import stats

from peftrec.results.equivalence import equivalence_p_value, verdict
from peftrec.results.power import seeds_needed, smallest_difference, smallest_margin
from peftrec.results.users_and_seeds import Estimate, SeedPart, difference_of, mean_of


def estimate_of(mean: float, *, seeds: int = 4, between: float = 1e-4) -> Estimate:
    part = SeedPart(between=between, rest=0.04, num_users=1000, num_seeds=seeds)
    return Estimate(mean, of_users=1e-5 + 2 * 0.04 / (1000 * seeds), num_users=1000, seeds=(part, part))


@pytest.mark.parametrize(("mean", "margin"), list(itertools.product([-0.03, -0.004, 0.0, 0.01], [0.005, 0.02, 0.05])))
def test_equivalence_is_the_90_percent_interval_inside_the_margin(mean: float, margin: float) -> None:
    estimate = estimate_of(mean)
    low, high = estimate.interval(0.90)
    assert (equivalence_p_value(estimate, margin) < 0.05) == (-margin < low and high < margin)


def test_two_one_sided_tests_agree_with_scipy() -> None:
    one, other = np.random.default_rng(0).normal(0, 1, (2, 60, 1))
    differences = (one - other)[:, 0]
    above = stats.ttest_1samp(differences, -0.4, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, 0.4, alternative="less").pvalue
    assert equivalence_p_value(difference_of(one, other, pairs_seeds=False), 0.4) == pytest.approx(max(above, below))


def test_verdicts() -> None:
    found = {
        (difference, significant, equivalent): verdict(difference, is_significant=significant, is_equivalent=equivalent)
        for difference, significant, equivalent in itertools.product((0.1, -0.1), (True, False), (True, False))
    }
    assert [key for key, value in found.items() if value == "better"] == [(0.1, True, False)]
    assert [key for key, value in found.items() if value == "worse"] == [(-0.1, True, False)]
    assert all((value == "equivalent") == key[2] for key, value in found.items())


def simulated(truth: float, num_seeds: int, tries: int = 1500) -> list[Estimate]:
    """Draw differences of 200 users under seeds, means and seeds varying as in `planned`."""
    drawn = np.random.default_rng(7)
    return [
        mean_of(
            truth
            + drawn.normal(0, 0.3, (200, 1))
            + drawn.normal(0, 0.03, (1, num_seeds))
            + drawn.normal(0, 0.3, (200, num_seeds))
        )
        for _ in range(tries)
    ]


def planned(num_seeds: int) -> Estimate:
    """The estimate of those draws whose variances are the true ones."""
    part = SeedPart(between=0.03**2 + 0.3**2 / 200, rest=0.3**2, num_users=200, num_seeds=num_seeds)
    return Estimate(0.0, 0.3**2 / 200 + 0.3**2 / (200 * num_seeds), 200, (part,))


def test_the_smallest_difference_is_found_four_times_in_five() -> None:
    found = [estimate.p_value() < 0.05 for estimate in simulated(smallest_difference(planned(5)), 5)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_the_smallest_margin_holds_equal_strategies_four_times_in_five() -> None:
    margin = smallest_margin(planned(5))
    found = [equivalence_p_value(estimate, margin) < 0.05 for estimate in simulated(0.0, 5)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("reach", [smallest_difference, smallest_margin])
@pytest.mark.parametrize("wish", [0.1, 0.03, 0.02, 0.012])
def test_the_seeds_needed_are_the_fewest(reach: object, wish: float) -> None:
    estimate = estimate_of(0.0)
    needed = seeds_needed(estimate, wish, reach)  # type: ignore[arg-type]
    literal = next(number for number in range(2, 10_000) if reach(estimate.with_seeds(number)) <= wish)  # type: ignore[operator]
    assert needed == literal


def test_no_seeds_are_enough_where_users_are_too_few() -> None:
    estimate = estimate_of(0.0)
    users_alone = (stats.t.ppf(0.975, 999) + stats.t.ppf(0.8, 999)) * np.sqrt(1e-5)
    assert seeds_needed(estimate, users_alone * 0.999) is None
    assert seeds_needed(estimate, users_alone * 1.01) is not None


def test_one_seed_does_not_say_how_many_are_needed() -> None:
    assert seeds_needed(Estimate(0.0, 1e-6, 1000, ()), 0.1) is None
