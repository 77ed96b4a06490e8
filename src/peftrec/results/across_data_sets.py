"""Strategies over several data sets: ranks on each, and whether mean ranks differ by more than chance.

Quality on one data set is no quality on another, so that nothing is averaged but ranks, and TPME, which is relative to
its own table, not at all. Friedman's test asks whether any strategy differs; its chi-square is too conservative, so
that the F of Iman and Davenport (Communications in Statistics 1980) is taken. Two strategies then differ at 5 % where
their mean ranks are a critical difference apart (Nemenyi; J. Demsar, "Statistical comparisons of classifiers over
multiple data sets", JMLR 2006). What mean ranks say of two strategies depends on which others stand in the table
(Benavoli, Corani, Mangili, "Should we really use post-hoc tests based on mean-ranks?", JMLR 2016), so that pairs are
tested by themselves too: Wilcoxon's signed ranks over data sets, with Holm's correction.

With few data sets all of this says nothing: four of them, and five strategies, have a critical difference of 3.05 of
the 4 that are possible. Below FEWEST no such test is made.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from peftrec.errors import RecordError
from peftrec.results.paired_tests import CONFIDENCE, Values, holm, permutation_p_value

FEWEST = 6
"""Signed ranks of fewer data sets have no p-value below 5 % (2 / 2^5 is 0.0625)."""
WILCOXON_COLUMNS = ("metric", "strategy_a", "strategy_b", "data_sets", "num_better", "p_value", "p_holm")


@dataclass(frozen=True, kw_only=True)
class OverDataSets:
    """Mean ranks of strategies on one metric, and what may be said of them."""

    metric: str
    scores: pd.DataFrame
    """Data sets down, strategies across."""
    ranks: pd.DataFrame
    """1 is best; equal scores share the mean of their ranks."""
    friedman_p: float | None
    """Of Iman and Davenport's F; null with fewer data sets than FEWEST."""
    critical_difference: float | None
    """Of mean ranks, at 5 %; null as above."""

    @property
    def mean_ranks(self) -> pd.Series:
        return self.ranks.mean(axis=0)


def over_data_sets(metric: str, scores: Mapping[str, Mapping[str, float]]) -> OverDataSets:
    """Rank strategies; `scores` maps a data set to its strategies' means, the same two strategies or more in each.

    Raises RecordError where there are fewer.
    """
    frame = pd.DataFrame.from_dict({name: dict(row) for name, row in scores.items()}, orient="index")
    if len(frame.columns) < 2 or frame.isna().any(axis=None):  # noqa: PLR2004
        raise RecordError(f"{metric}: ranks across data sets need two strategies that every data set has")
    ranks = (-frame.round(12)).rank(axis=1)
    has_test = len(frame) >= FEWEST
    return OverDataSets(
        metric=metric,
        scores=frame,
        ranks=ranks,
        friedman_p=iman_davenport(ranks.to_numpy(dtype=np.float64)) if has_test else None,
        critical_difference=nemenyi_difference(len(frame.columns), len(frame)) if has_test else None,
    )


def friedman_statistic(ranks: Values) -> float:
    """Return Friedman's chi-square of ranks of shape (data sets, strategies), corrected for ties."""
    num_sets, num_strategies = ranks.shape
    ties = 0.0
    for row in ranks:
        _, counts = np.unique(row, return_counts=True)
        ties += float((counts**3 - counts).sum())
    correction = 1 - ties / (num_sets * (num_strategies**3 - num_strategies))
    if correction == 0:
        return 0.0  # all strategies are equal on every data set
    between = float(((ranks.mean(axis=0) - (num_strategies + 1) / 2) ** 2).sum())
    return 12 * num_sets / (num_strategies * (num_strategies + 1)) * between / correction


def iman_davenport(ranks: Values) -> float:
    """Return the p-value of F = (N - 1) chi2 / (N (k - 1) - chi2) with k - 1 and (k - 1)(N - 1) degrees of freedom."""
    from scipy.special import fdtrc  # here, because it takes a while to import

    num_sets, num_strategies = ranks.shape
    statistic = friedman_statistic(ranks)
    left = num_sets * (num_strategies - 1) - statistic
    if left <= 1e-9 * num_sets:  # every data set has the same order
        return 0.0
    f_statistic = (num_sets - 1) * statistic / left
    return float(fdtrc(num_strategies - 1, (num_strategies - 1) * (num_sets - 1), f_statistic))


def nemenyi_difference(num_strategies: int, num_sets: int) -> float:
    """Return the critical difference of mean ranks, q sqrt(k (k + 1) / (6 N))."""
    from scipy.stats import studentized_range  # scipy.special has no such quantile

    q = float(studentized_range.ppf(CONFIDENCE, num_strategies, math.inf)) / math.sqrt(2)
    return q * math.sqrt(num_strategies * (num_strategies + 1) / (6 * num_sets))


def signed_rank_p_value(differences: Values) -> float:
    """Return Wilcoxon's two-sided p-value: exact up to 13 data sets that differ, zeros left out, equal sizes sharing
    their ranks."""
    changed = differences[differences != 0]
    sizes = pd.Series(np.abs(changed)).rank().to_numpy(dtype=np.float64)
    return permutation_p_value(np.sign(changed) * sizes, np.random.default_rng(0))


def signed_rank_tests(found: Sequence[OverDataSets]) -> pd.DataFrame:
    """Test every pair of strategies over the data sets; p_holm is corrected over all rows. No rows below FEWEST."""
    rows: list[dict[str, Any]] = []
    for one in found:
        if len(one.scores) < FEWEST:
            continue
        for first, second in itertools.combinations(one.scores.columns, 2):
            differences = (one.scores[first] - one.scores[second]).to_numpy(dtype=np.float64).round(12)
            rows.append(
                {
                    "metric": one.metric,
                    "strategy_a": first,
                    "strategy_b": second,
                    "data_sets": len(differences),
                    "num_better": int((differences > 0).sum()),
                    "p_value": signed_rank_p_value(differences),
                }
            )
    for row, p_holm in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = p_holm
    return pd.DataFrame(rows, columns=list(WILCOXON_COLUMNS))
