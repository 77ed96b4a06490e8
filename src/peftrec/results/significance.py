"""Is a difference between two strategies more than chance? Paired per-user tests, and the spread over seeds.

Users are the units: each user's metric is averaged over a strategy's seeds, and the difference of two strategies is
paired user by user. The interval and the p-value therefore speak about other users, not about other seeds; the spread
over seeds stands beside them.
"""

import itertools
import math
import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peftrec.errors import RecordError
from peftrec.results.record import RANKS_FILE

RANK_COLUMNS = ("user", "rank", "is_cold", "is_unreachable", "history_length")
COLUMNS = (
    *("metric", "strategy_a", "strategy_b", "mean_a", "mean_b", "difference", "ci_low", "ci_high"),
    *("p_value", "p_holm", "is_significant", "num_users", "seeds_a", "seeds_b"),
)
RESAMPLES = 9999
CONFIDENCE = 0.95
LARGEST_EXACT = 13
"""Up to this many users that differ all 2^n sign patterns are enumerated; more are sampled."""
LARGEST_DRAWN = 500
"""Up to this many users that differ are drawn as users, which bounds the memory."""
USERS_PER_VALUE = 25
"""Users that can be drawn in the time of one more value of a multinomial draw."""
WORD = 64

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; one seed has no spread."""

    mean: float
    std: float | None
    count: int

    @property
    def half_width(self) -> float | None:
        """Half the 95 % Student interval of the mean, null with one seed."""
        if self.std is None:
            return None
        from scipy.special import stdtrit  # here, because one seed does not need it and it takes a while to import

        return float(stdtrit(self.count - 1, 0.5 + CONFIDENCE / 2)) * self.std / math.sqrt(self.count)


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation of at least one value."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, len(values))


def read_ranks(run: Path) -> pd.DataFrame:
    """Read the per-user ranks of a run's folder; RecordError names what is missing."""
    file = run / RANKS_FILE
    if not file.is_file():
        raise RecordError(f"{file}: no such file, so per-user tests cannot include this run; train it again")
    ranks = pd.read_parquet(file)
    missing = [column for column in RANK_COLUMNS if column not in ranks.columns]
    if missing:
        raise RecordError(f"{file}: column {missing[0]} is missing; written by another version, train the run again")
    if ranks["user"].duplicated().any() or (ranks.loc[~ranks["is_unreachable"], "rank"] < 1).any():
        raise RecordError(f"{file}: a user occurs twice or a rank is below 1; the file is damaged, train the run again")
    return ranks


def per_user(ranks: pd.DataFrame, metric: str) -> pd.Series:
    """Return each user's `hr@k`, `ndcg@k` or `mrr@k`, indexed by user; an unreachable target is a miss."""
    name, cut = _parse(metric)
    rank = ranks["rank"].to_numpy(dtype=np.float64)
    is_hit = (rank <= cut) & ~ranks["is_unreachable"].to_numpy(dtype=bool)
    place = np.where(is_hit, rank, 1.0)
    gain = {"hr": np.ones_like(place), "ndcg": 1 / np.log2(place + 1), "mrr": 1 / place}[name]
    return pd.Series(np.where(is_hit, gain, 0.0), index=pd.Index(ranks["user"], name="user"), name=metric)


def _parse(metric: str) -> tuple[str, int]:
    name, _, cut = metric.partition("@")
    if name not in {"hr", "ndcg", "mrr"} or not cut.isdigit():
        raise RecordError(f"metric {metric}: tests know hr@k, ndcg@k and mrr@k")
    return name, int(cut)


def bootstrap_interval(differences: Values, generator: np.random.Generator) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over users.

    Resampling users is a multinomial draw over the distinct differences: the same law as drawing users one by one, and
    quick for any number of users. Few users that differ are drawn as users, which is quicker than many values.
    """
    values, counts = np.unique(differences, return_counts=True)
    differing = differences[differences != 0]
    if 0 < len(differing) < min(LARGEST_DRAWN, USERS_PER_VALUE * len(values)):
        sums = _sums_of_drawn(differing, len(differences), generator)
    else:
        sums = generator.multinomial(len(differences), counts / counts.sum(), RESAMPLES) @ values
    low, high = np.quantile(sums / len(differences), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _sums_of_drawn(differing: Values, num_users: int, generator: np.random.Generator) -> Values:
    """Draw for each resample how many of its users are ones that differ, then those, two at a time; return the sums."""
    picked = generator.binomial(num_users, len(differing) / num_users, RESAMPLES)
    pairs = picked // 2
    ends = np.cumsum(pairs)
    of_two = np.add.outer(differing, differing).ravel()
    drawn = of_two[generator.integers(len(of_two), size=ends[-1] + 1)]
    drawn[-1] = 0.0  # of no resample: it is where the last one starts if that has no pair
    odd = differing[generator.integers(len(differing), size=RESAMPLES)] * (picked % 2)
    return np.add.reduceat(drawn, ends - pairs) * (pairs > 0) + odd


def permutation_p_value(differences: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p-value of the paired permutation test: each user's difference keeps or flips its sign.

    Zeros do not change under a flip, and users with equal absolute difference share one draw of how many keep theirs,
    so sampling is exact in law and quick. For few differing users all patterns of signs are enumerated.
    """
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    least = abs(changed.sum()) * (1 - 1e-12)
    if len(changed) <= LARGEST_EXACT:
        kept = np.arange(2 ** len(changed))[:, None] >> np.arange(len(changed)) & 1
        return float((np.abs((2.0 * kept - 1) @ changed) >= least).mean())
    sizes, counts = np.unique(np.abs(changed), return_counts=True)
    sums = (2.0 * _half_of(counts, generator) - counts) @ sizes
    return (int((np.abs(sums) >= least).sum()) + 1) / (RESAMPLES + 1)


def _half_of(counts: Counts, generator: np.random.Generator) -> Counts:
    """Draw RESAMPLES times a binomial number of each count with probability 1/2: the ones among as many random bits,
    because that takes a tenth of the time of numpy's own draw."""
    words = -(-counts // WORD)
    starts = np.cumsum(words) - words
    bits = np.full(words.sum(), WORD)
    bits[starts] = counts - WORD * (words - 1)
    masks = np.uint64(2**WORD - 1) >> (WORD - bits).astype(np.uint64)
    drawn = generator.integers(2**WORD, size=(RESAMPLES, len(bits)), dtype=np.uint64)
    return np.add.reduceat(np.bitwise_count(drawn & masks), starts, axis=1, dtype=np.int64)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the order given."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def compare_pairs(
    runs: Mapping[str, Sequence[Path]], metrics: Sequence[str] = ("hr@10", "ndcg@10"), *, seed: int = 0
) -> pd.DataFrame:
    """Test every pair of strategies; `runs` maps a strategy to its runs' folders, one a seed.

    `p_holm` is corrected over all rows of the answer; the same records and seed give the same answer bit for bit.
    """
    ranks = {name: [read_ranks(folder) for folder in folders] for name, folders in runs.items()}
    rows = []
    for metric in metrics:
        means = {name: _mean_over_seeds(name, tables, metric) for name, tables in ranks.items()}
        for one, other in itertools.combinations(runs, 2):
            row = _test(means[one], means[other], _generator(seed, metric, one, other))
            counts = {"seeds_a": len(runs[one]), "seeds_b": len(runs[other])}
            rows.append({"metric": metric, "strategy_a": one, "strategy_b": other, **row, **counts})
    for row, p_holm in zip(rows, holm([float(row["p_value"]) for row in rows]), strict=True):
        row |= {"p_holm": p_holm, "is_significant": p_holm < 1 - CONFIDENCE}
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _generator(seed: int, *names: str) -> np.random.Generator:
    """Draw each pair from its own stream, so that one more strategy does not change the others' figures."""
    return np.random.default_rng([seed, zlib.crc32("\n".join(names).encode())])


def _test(one: pd.Series, other: pd.Series, generator: np.random.Generator) -> dict[str, float | int | str | bool]:
    if not one.index.equals(other.index):
        raise RecordError(f"{one.name} and {other.name} were not tested on the same users; report them by themselves")
    differences = (one - other).to_numpy(dtype=np.float64).round(12)
    low, high = bootstrap_interval(differences, generator)
    return {
        "mean_a": float(one.mean()),
        "mean_b": float(other.mean()),
        "difference": float(differences.mean()),
        "ci_low": low,
        "ci_high": high,
        "p_value": permutation_p_value(differences, generator),
        "num_users": len(differences),
    }


def _mean_over_seeds(name: str, tables: Sequence[pd.DataFrame], metric: str) -> pd.Series:
    """Return each user's mean over seeds, users in a fixed order."""
    columns = [per_user(table, metric).sort_index() for table in tables]
    if any(not column.index.equals(columns[0].index) for column in columns):
        raise RecordError(f"{name}: its seeds were not tested on the same users; report them by themselves")
    mean: pd.Series = pd.concat(columns, axis=1).mean(axis=1).rename(name)
    return mean
