"""Ranks across data sets, against scipy and published figures."""

import itertools

import numpy as np
import pytest
from scipy import stats

from peftrec.errors import RecordError
from peftrec.results.across_data_sets import (
    FEWEST,
    friedman_statistic,
    iman_davenport,
    nemenyi_difference,
    over_data_sets,
    signed_rank_p_value,
    signed_rank_tests,
)
from peftrec.results.paired_tests import holm


def scores(num_sets: int, num_strategies: int = 4, digits: int = 1) -> dict[str, dict[str, float]]:
    """Draw scores of so few digits that some are equal; the last strategy is best on most data sets."""
    drawn = np.random.default_rng(num_sets)
    values = (drawn.random((num_sets, num_strategies)) + np.linspace(0, 0.6, num_strategies)).round(digits)
    return {f"set{row}": dict(zip("abcdefgh", line, strict=False)) for row, line in enumerate(values.tolist())}


@pytest.mark.parametrize("digits", [1, 6])
def test_friedman_agrees_with_scipy_with_ties_and_without(digits: int) -> None:
    found = over_data_sets("hr@10", scores(12, digits=digits))
    expected = stats.friedmanchisquare(*found.scores.to_numpy().T)
    assert friedman_statistic(found.ranks.to_numpy()) == pytest.approx(expected.statistic)
    by_scipy = stats.rankdata(-found.scores.to_numpy(), axis=1)
    assert np.array_equal(found.ranks.to_numpy(), by_scipy)


def test_iman_and_davenport_by_demsars_example() -> None:
    """JMLR 2006: four classifiers on 14 data sets, mean ranks 3.143, 2.000, 2.893 and 1.964: chi-square 9.28, F 3.69
    with 3 and 39 degrees of freedom."""
    chi2 = 12 * 14 / 20 * (3.143**2 + 2.0**2 + 2.893**2 + 1.964**2 - 4 * 25 / 4)
    assert chi2 == pytest.approx(9.28, abs=0.01)
    f_statistic = 13 * chi2 / (14 * 3 - chi2)
    assert f_statistic == pytest.approx(3.69, abs=0.01)
    found = over_data_sets("hr@10", scores(14, digits=6))
    statistic = friedman_statistic(found.ranks.to_numpy())
    literal = stats.f.sf(13 * statistic / (14 * 3 - statistic), 3, 39)
    assert iman_davenport(found.ranks.to_numpy()) == pytest.approx(literal)
    assert found.friedman_p == pytest.approx(literal)


def test_nemenyi_by_demsars_table() -> None:
    """JMLR 2006: q of 2 to 10 classifiers, and a critical difference of 1.25 for 4 on 14 data sets."""
    q = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for number, value in q.items():
        assert nemenyi_difference(number, 6) == pytest.approx(value * (number * (number + 1) / 36) ** 0.5, abs=2e-3)
    assert nemenyi_difference(4, 14) == pytest.approx(1.25, abs=0.01)
    assert nemenyi_difference(5, 4) == pytest.approx(3.05, abs=0.01)


def test_one_order_everywhere_and_no_order_at_all() -> None:
    alike = over_data_sets("hr@10", {f"set{number}": {"a": 0.1, "b": 0.2, "c": 0.3} for number in range(6)})
    assert alike.mean_ranks.to_dict() == {"a": 3.0, "b": 2.0, "c": 1.0}
    assert alike.friedman_p == 0.0
    equal = over_data_sets("hr@10", {f"set{number}": {"a": 0.1, "b": 0.1, "c": 0.1} for number in range(6)})
    assert equal.mean_ranks.tolist() == [2.0, 2.0, 2.0]
    assert equal.friedman_p == 1.0


def test_few_data_sets_are_not_tested() -> None:
    few = over_data_sets("hr@10", scores(FEWEST - 1))
    assert (few.friedman_p, few.critical_difference) == (None, None)
    assert signed_rank_tests([few]).empty


@pytest.mark.parametrize("num_sets", [6, 9, 13])
def test_signed_ranks_agree_with_scipys_exact_test(num_sets: int) -> None:
    differences = np.random.default_rng(num_sets).normal(0.4, 1, num_sets)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert signed_rank_p_value(differences) == pytest.approx(expected)


def test_five_data_sets_could_never_be_significant() -> None:
    assert signed_rank_p_value(np.arange(1.0, FEWEST)) > 0.05
    assert signed_rank_p_value(np.arange(1.0, FEWEST + 1)) < 0.05


def test_pairs_are_corrected_together() -> None:
    tests = signed_rank_tests([over_data_sets(metric, scores(8, digits=6)) for metric in ("hr@10", "ndcg@10")])
    assert len(tests) == 12
    assert tests["p_holm"].tolist() == holm(tests["p_value"].tolist())
    one = over_data_sets("hr@10", scores(8, digits=6)).scores
    counts = [int((one[a] > one[b]).sum()) for a, b in itertools.combinations(one.columns, 2)]
    assert tests["num_better"].tolist()[:6] == counts


def test_strategies_that_are_not_everywhere_are_refused() -> None:
    with pytest.raises(RecordError, match="two strategies that every data set has"):
        over_data_sets("hr@10", {"one": {"a": 0.1, "b": 0.2}, "two": {"a": 0.1}})
