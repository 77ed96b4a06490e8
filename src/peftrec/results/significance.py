"""Is a difference between two strategies more than chance? Every pair, on every metric, with what is claimed of it.

Two claims may be meant. `these seeds`: other users would see the same, under the very seeds that were run; the tests
are of users alone (peftrec.results.paired_tests). `any seeds`: so would other seeds; intervals and tests are over
users and seeds together (peftrec.results.users_and_seeds), which takes two seeds of each strategy. The second is
claimed wherever it can be, and the p-value of the first stands beside it.
"""

import itertools
import math
import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from peftrec.errors import RecordError
from peftrec.results.asked import NOTHING, Asked
from peftrec.results.equivalence import equivalence_p_value, verdict
from peftrec.results.paired_tests import CONFIDENCE, bootstrap_interval, holm, permutation_p_value
from peftrec.results.power import seeds_needed, smallest_difference, smallest_margin
from peftrec.results.ranks import UserSeedRanks, Values, read_seeds
from peftrec.results.users_and_seeds import ANY_SEEDS, Estimate, SeedDraws, difference_of, mean_of, student_quantile

METRICS = ("hr@10", "ndcg@10")
COLUMNS = (
    *("metric", "strategy_a", "strategy_b", "mean_a", "mean_b", "difference"),
    *("claim", "ci_low", "ci_high", "p_value", "p_holm", "is_significant", "verdict"),
    *("standard_error", "degrees_of_freedom", "paired_by"),
    *("these_seeds_p", "these_seeds_p_holm"),
    *("margin", "margin_low", "margin_high", "p_equivalence", "p_equivalence_holm"),
    *("smallest_difference", "wish", "seeds_for_wish", "seeds_for_margin", "num_users", "seeds_a", "seeds_b"),
)
MEAN_COLUMNS = (
    *("metric", "strategy", "mean", "claim", "ci_low", "ci_high"),
    *("standard_error", "degrees_of_freedom", "share_of_seeds", "num_users", "seeds"),
)
LEVEL = 1 - CONFIDENCE


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; one seed has no spread."""

    mean: float
    std: float | None
    count: int

    @property
    def half_width(self) -> float | None:
        """Half the 95 % Student interval of the mean over seeds, for these users; null with one seed."""
        if self.std is None:
            return None
        return student_quantile(self.count - 1, 0.5 + CONFIDENCE / 2) * self.std / math.sqrt(self.count)


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation of at least one value."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, len(values))


@dataclass(frozen=True)
class Scored:
    """A strategy's ranks by user and seed, and what each seed gave its run."""

    ranks: UserSeedRanks
    draws: tuple[SeedDraws | None, ...]

    def pairs_seeds_with(self, other: "Scored") -> bool:
        """Whether each run shares what it has of its seed with the run in the other's same place."""
        return None not in self.draws and self.draws == other.draws


def read_scored(
    runs: Mapping[str, Sequence[Path]], draws: Mapping[str, Sequence[SeedDraws | None]] | None = None
) -> dict[str, Scored]:
    """Read the ranks of strategies; `runs` maps each to its runs' folders, one a seed, and `draws` to what these have
    of their seeds. Raises RecordError where ranks are missing or users differ."""
    found = {
        name: Scored(read_seeds(name, folders), tuple((draws or {}).get(name, [None] * len(folders))))
        for name, folders in runs.items()
    }
    for (one, first), (other, second) in itertools.pairwise(found.items()):
        if not np.array_equal(first.ranks.users, second.ranks.users):
            raise RecordError(f"{one} and {other} were not tested on the same users; report them by themselves")
    for name, scored in found.items():
        if len(scored.ranks.users) < 2:  # noqa: PLR2004
            raise RecordError(f"{name}: one test user, whose score has no interval")
    return found


def compare_pairs(
    runs: Mapping[str, Sequence[Path]], metrics: Sequence[str] = METRICS, *, seed: int = 0
) -> pd.DataFrame:
    """Test every pair of strategies; `runs` maps a strategy to its runs' folders, one a seed."""
    return all_pairs(read_scored(runs), metrics, seed=seed)


def all_pairs(
    strategies: Mapping[str, Scored], metrics: Sequence[str] = METRICS, *, asked: Asked = NOTHING, seed: int = 0
) -> pd.DataFrame:
    """Test every pair of strategies; the same ranks and seed give the same answer bit for bit.

    `p_holm`, `these_seeds_p_holm` and `p_equivalence_holm` are each corrected over all rows of the answer.
    """
    rows = []
    for metric in metrics:
        scores = {name: scored.ranks.scores(metric) for name, scored in strategies.items()}
        for one, other in itertools.combinations(strategies, 2):
            pairs_seeds = strategies[one].pairs_seeds_with(strategies[other])
            row: dict[str, Any] = {"metric": metric, "strategy_a": one, "strategy_b": other}
            row |= _test(scores[one], scores[other], _generator(seed, metric, one, other), pairs_seeds=pairs_seeds)
            rows.append(row | _asked_of(row.pop("estimate"), asked))
    return correct(pd.DataFrame(rows, columns=list(COLUMNS)))


def correct(tests: pd.DataFrame) -> pd.DataFrame:
    """Return tests with Holm's correction over all of them, and the verdicts that follow from it."""
    tests = tests.copy()
    for column, corrected in (
        ("p_value", "p_holm"),
        ("these_seeds_p", "these_seeds_p_holm"),
        ("p_equivalence", "p_equivalence_holm"),
    ):
        tests[corrected] = holm(tests[column].tolist()) if tests[column].notna().all() else None
    tests["is_significant"] = tests["p_holm"] < LEVEL
    tests["verdict"] = [
        verdict(difference, is_significant=is_significant, is_equivalent=p is not None and p < LEVEL)
        for difference, is_significant, p in tests[["difference", "is_significant", "p_equivalence_holm"]].to_numpy()
    ]
    return tests


def strategy_means(strategies: Mapping[str, Scored], metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return each strategy's mean with its interval, and the share of its variance that is the seeds'."""
    rows = []
    for metric, (name, scored) in itertools.product(metrics, strategies.items()):
        estimate = mean_of(scored.ranks.scores(metric))
        # A mean of fractions lies between 0 and 1; with two seeds an interval may be wider than all that.
        low, high = (min(1.0, max(0.0, end)) for end in estimate.interval(CONFIDENCE))
        of_seeds = sum(part.added for part in estimate.seeds)
        rows.append(
            {
                "metric": metric,
                "strategy": name,
                "mean": estimate.mean,
                "claim": estimate.claim,
                "ci_low": low,
                "ci_high": high,
                "standard_error": estimate.standard_error,
                "degrees_of_freedom": estimate.degrees_of_freedom,
                "share_of_seeds": of_seeds / estimate.variance if estimate.seeds and estimate.variance else None,
                "num_users": estimate.num_users,
                "seeds": len(scored.draws),
            }
        )
    return pd.DataFrame(rows, columns=list(MEAN_COLUMNS))


def _generator(seed: int, *names: str) -> np.random.Generator:
    """Draw each pair from its own stream, so that one more strategy does not change the others' figures."""
    return np.random.default_rng([seed, zlib.crc32("\n".join(names).encode())])


def _test(one: Values, other: Values, generator: np.random.Generator, *, pairs_seeds: bool) -> dict[str, Any]:
    estimate = difference_of(one, other, pairs_seeds=pairs_seeds)
    differences = (one.mean(axis=1) - other.mean(axis=1)).round(12)
    of_these = permutation_p_value(differences, generator)
    if estimate.claim == ANY_SEEDS:
        (low, high), p_value = estimate.interval(CONFIDENCE), estimate.p_value()
    else:
        (low, high), p_value = bootstrap_interval(differences, generator), of_these
    return {
        "mean_a": float(one.mean()),
        "mean_b": float(other.mean()),
        "difference": estimate.mean,
        "claim": estimate.claim,
        "ci_low": low,
        "ci_high": high,
        "p_value": p_value,
        "standard_error": estimate.standard_error,
        "degrees_of_freedom": estimate.degrees_of_freedom,
        "paired_by": "user and seed" if pairs_seeds and estimate.claim == ANY_SEEDS else "user",
        "these_seeds_p": of_these,
        "num_users": len(one),
        "seeds_a": one.shape[1],
        "seeds_b": other.shape[1],
        "estimate": estimate,
    }


def _asked_of(estimate: Estimate, asked: Asked) -> dict[str, Any]:
    """Return what the margin and the wish make of a difference."""
    answer: dict[str, Any] = {"smallest_difference": smallest_difference(estimate)}
    if asked.margin is not None:
        low, high = estimate.interval(1 - 2 * LEVEL)
        answer |= {"margin": asked.margin, "margin_low": low, "margin_high": high}
        answer["p_equivalence"] = equivalence_p_value(estimate, asked.margin)
        answer["seeds_for_margin"] = seeds_needed(estimate, asked.margin, smallest_margin)
    if asked.wished is not None:
        answer |= {"wish": asked.wished, "seeds_for_wish": seeds_needed(estimate, asked.wished)}
    return answer
