"""The two-way table of users and seeds: against literal loops, against scipy, and against simulations."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from peftrec.results.users_and_seeds import ANY_SEEDS, THESE_SEEDS, Estimate, SeedDraws, difference_of, mean_of


def crossed(generator: np.random.Generator, shape: tuple[int, int], *, user: float, seed: float, rest: float) -> Any:
    """Draw scores that are the sum of a user's, a seed's and their own part, with these standard deviations."""
    users, seeds = generator.normal(0, user, (shape[0], 1)), generator.normal(0, seed, (1, shape[1]))
    return 0.3 + users + seeds + generator.normal(0, rest, shape)


def mean_squares(table: Any) -> tuple[float, float, float]:
    """Return MS_users, MS_seeds and MS_rest, one score at a time."""
    num_users, num_seeds = len(table), len(table[0])
    total = sum(sum(row) for row in table) / (num_users * num_seeds)
    of_user = [sum(row) / num_seeds for row in table]
    of_seed = [sum(table[u][s] for u in range(num_users)) / num_users for s in range(num_seeds)]
    ms_users = num_seeds * sum((mean - total) ** 2 for mean in of_user) / (num_users - 1)
    ms_seeds = num_users * sum((mean - total) ** 2 for mean in of_seed) / (num_seeds - 1)
    rest = 0.0
    for u in range(num_users):
        for s in range(num_seeds):
            rest += (table[u][s] - of_user[u] - of_seed[s] + total) ** 2
    return ms_users, ms_seeds, rest / ((num_users - 1) * (num_seeds - 1))


@pytest.mark.parametrize("seed_spread", [0.5, 0.15])
def test_one_table_against_the_literal_formula(seed_spread: float) -> None:
    table = crossed(np.random.default_rng(2), (40, 4), user=0.3, seed=seed_spread, rest=0.4)
    num_users, num_seeds = table.shape
    ms_users, ms_seeds, ms_rest = mean_squares(table.tolist())
    estimate = mean_of(table)
    assert ms_seeds > ms_rest
    variance = (ms_users + ms_seeds - ms_rest) / (num_users * num_seeds)
    degrees = (ms_users + ms_seeds - ms_rest) ** 2 / (
        ms_users**2 / (num_users - 1) + ms_seeds**2 / (num_seeds - 1) + ms_rest**2 / ((num_users - 1) * (num_seeds - 1))
    )
    assert estimate.variance == pytest.approx(variance)
    assert estimate.degrees_of_freedom == pytest.approx(degrees)
    half = stats.t.ppf(0.975, degrees) * math.sqrt(variance)
    assert estimate.interval(0.95) == pytest.approx((table.mean() - half, table.mean() + half))
    assert estimate.p_value() == pytest.approx(2 * stats.t.sf(abs(table.mean()) / math.sqrt(variance), degrees))
    assert estimate.claim == ANY_SEEDS


def test_seeds_that_vary_less_than_chance_never_make_the_interval_narrower() -> None:
    table = crossed(np.random.default_rng(0), (40, 4), user=0.3, seed=0.0, rest=0.4)
    table = table - table.mean(axis=0)  # all seeds have one mean
    ms_users, ms_seeds, ms_rest = mean_squares(table.tolist())
    assert ms_seeds < ms_rest
    assert mean_of(table).variance == pytest.approx(ms_users / table.size)


def test_one_seed_speaks_of_these_seeds_as_scipys_student_does() -> None:
    drawn = np.random.default_rng(0)
    one, other = drawn.random((50, 1)), drawn.random((50, 3))
    estimate = difference_of(one, other, pairs_seeds=False)
    expected = stats.ttest_rel(one[:, 0], other.mean(axis=1))
    assert (estimate.claim, estimate.seeds) == (THESE_SEEDS, ())
    assert estimate.p_value() == pytest.approx(expected.pvalue)
    assert estimate.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_paired_seeds_are_the_table_of_differences() -> None:
    drawn = np.random.default_rng(2)
    one, other = drawn.random((30, 3)), drawn.random((30, 3))
    paired, literal = difference_of(one, other, pairs_seeds=True), mean_of(one - other)
    assert paired.interval(0.95) == pytest.approx(literal.interval(0.95))


def test_seeds_that_do_not_pair_add_the_variance_of_each_strategy() -> None:
    drawn = np.random.default_rng(3)
    one = crossed(drawn, (60, 4), user=0.2, seed=0.3, rest=0.4)
    other = crossed(drawn, (60, 3), user=0.2, seed=0.2, rest=0.4)
    expected = np.var(one.mean(axis=1) - other.mean(axis=1), ddof=1) / 60
    for table in (one, other):
        _, ms_seeds, ms_rest = mean_squares(table.tolist())
        assert ms_seeds > ms_rest
        expected += (ms_seeds - ms_rest) / table.size
    estimate = difference_of(one, other, pairs_seeds=False)
    assert estimate.variance == pytest.approx(expected)
    assert difference_of(other, one, pairs_seeds=False).variance == pytest.approx(expected)
    shuffled = difference_of(one[:, [2, 0, 3, 1]], other, pairs_seeds=False)
    assert shuffled.interval(0.95) == pytest.approx(estimate.interval(0.95))


def test_equal_scores_are_a_point() -> None:
    table = np.random.default_rng(0).random((20, 3))
    estimate = difference_of(table, table, pairs_seeds=True)
    assert estimate.interval(0.95) == (0.0, 0.0)
    assert estimate.p_value() == 1.0
    ones = mean_of(np.ones((20, 3)))
    assert (ones.interval(0.95), ones.p_value()) == ((1.0, 1.0), 0.0)


def covers(estimate: Estimate, truth: float) -> bool:
    low, high = estimate.interval(0.95)
    return low <= truth <= high


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("is_shared", [True, False])
def test_intervals_cover_where_those_over_users_alone_do_not(num_seeds: int, is_shared: bool) -> None:
    """Users and seeds are drawn anew each time; `is_shared`: seeds move both strategies alike, and by as much again."""
    drawn = np.random.default_rng(num_seeds)
    found, of_users = 0, 0
    for _ in range(400):
        user = drawn.normal(0, 0.3, (150, 1))
        moved = drawn.normal(0, 0.04, (2, 1, num_seeds))
        if is_shared:
            moved = moved + drawn.normal(0, 0.04, (1, 1, num_seeds))
        one, other = user + moved + drawn.normal(0, 0.2, (2, 150, num_seeds))
        found += covers(difference_of(one, other, pairs_seeds=is_shared), 0.0)
        of_users += covers(Estimate(float((one - other).mean()), of_users_variance(one - other), 150, ()), 0.0)
    assert found / 400 > 0.92
    assert of_users / 400 < 0.85


def of_users_variance(differences: Any) -> float:
    return float(differences.mean(axis=1).var(ddof=1)) / len(differences)


def test_more_seeds_leave_what_the_users_leave() -> None:
    table = crossed(np.random.default_rng(4), (80, 5), user=0.3, seed=0.2, rest=0.4)
    estimate = mean_of(table)
    ms_users, ms_seeds, ms_rest = mean_squares(table.tolist())
    for num_seeds in (2, 5, 50):
        user, seed = (ms_users - ms_rest) / 5, (ms_seeds - ms_rest) / 80
        expected = user / 80 + seed / num_seeds + ms_rest / (80 * num_seeds)
        assert estimate.with_seeds(num_seeds).variance == pytest.approx(expected)
    assert estimate.with_seeds(5) == estimate
    assert estimate.with_seeds(10**9).variance == pytest.approx(estimate.users_alone)


def test_what_a_seed_gives_is_told_by_order_and_start(record: Any) -> None:
    assert SeedDraws.of(record) is None
    start = record.parameters.model_copy(update={"user_encoder_start": "abc"})
    noted = record.model_copy(update={"parameters": start})
    assert SeedDraws.of(noted) == SeedDraws(1, "64", "abc")
    other = noted.model_copy(update={"config": {**record.config, "batch_size": 32}})
    assert SeedDraws.of(other) != SeedDraws.of(noted)
