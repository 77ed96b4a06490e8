"""Intervals over users and seeds together, for a strategy's mean and for the difference of two.

A score is that of a user under a seed, and every user is scored under every seed: the two are crossed. With U users, S
seeds and the mean squares of the two-way table without replication,

    variance of the mean = (MS_users + MS_seeds - MS_rest) / (U S)

The more users there are, the closer it comes to the variance between seeds over S, and never below: resampling users
alone, which leaves the seeds as they are, says far too little where seeds differ (benchmarks/interval_coverage.py). No
bootstrap of a crossed table is exact (McCullagh, "Resampling and exchangeable arrays", Bernoulli 2000). Degrees of
freedom are Satterthwaite's; quasi-F is the name of the statistic with this variance (H. H. Clark, "The
language-as-fixed-effect fallacy", Journal of Verbal Learning and Verbal Behavior 1973).

A difference of two strategies is always taken user by user. Whether also seed by seed depends on what one seed gives
both. The order of users is a function of seed and epoch, so that it is the same for both where the batches are of one
size. The values that training starts from are drawn one after the other: a strategy's own first, the user encoder's
next. So lora and rslora, or iisan and iisan_cached, start with one user encoder, while id and iisan have as little in
common under equal seeds as under different ones. Where two strategies share order and start under every seed
(`SeedDraws`), seeds pair like users; elsewhere each adds the variance between its own seeds.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peftrec.results.record import Record

Values = NDArray[np.float64]
ANY_SEEDS = "any seeds"
THESE_SEEDS = "these seeds"
CLOSEST = 1e-12
"""Scores that differ by less are equal: what summing in another order leaves."""


@dataclass(frozen=True, order=True)
class SeedDraws:
    """What a run has of its seed: runs in which these are equal saw the same users in the same order, and started with
    the same user encoder."""

    seed: int
    batch_size: str
    user_encoder_start: str

    @classmethod
    def of(cls, record: Record) -> "SeedDraws | None":
        """Return those of a record, null where it did not note them."""
        start = record.parameters and record.parameters.user_encoder_start
        return cls(record.seed, str(record.config.get("batch_size")), start) if start else None


@dataclass(frozen=True)
class SeedPart:
    """How one strategy's seeds vary, and what they add to the variance of its mean."""

    between: float
    """Variance between the means of seeds."""
    rest: float
    """MS_rest: what neither user nor seed explains."""
    num_users: int
    num_seeds: int

    @classmethod
    def of(cls, scores: Values) -> "SeedPart":
        """Take scores of shape (users, seeds), two of each or more."""
        num_users, num_seeds = scores.shape
        means = scores.mean(axis=0)
        rest = scores - scores.mean(axis=1, keepdims=True) - means + means.mean()
        return cls(
            between=float(means.var(ddof=1)),
            rest=float((rest**2).sum()) / ((num_users - 1) * (num_seeds - 1)),
            num_users=num_users,
            num_seeds=num_seeds,
        )

    @property
    def added(self) -> float:
        """What seeds add: no less than nothing, though its estimate may be."""
        return max(0.0, self.between - self.rest / self.num_users) / self.num_seeds

    @property
    def rest_of_mean(self) -> float:
        """The part of the mean's variance that falls with users and with seeds; `of_users` holds it too."""
        return self.rest / (self.num_users * self.num_seeds)

    @property
    def satterthwaite(self) -> float:
        """Its terms of the denominator in Satterthwaite's formula."""
        of_seeds = (self.added + self.rest_of_mean) ** 2 / (self.num_seeds - 1)
        return of_seeds + self.rest_of_mean**2 / ((self.num_users - 1) * (self.num_seeds - 1))


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two, with the variance that speaks of other users, and of other seeds if it can."""

    mean: float
    of_users: float
    """Variance of the mean over users, under these seeds."""
    num_users: int
    seeds: tuple[SeedPart, ...]
    """One where scores pair by seed, else one a strategy; none where a strategy has a single seed."""

    @property
    def claim(self) -> str:
        """What the interval speaks about, besides other users: `any seeds`, or `these seeds` and no others."""
        return ANY_SEEDS if self.seeds else THESE_SEEDS

    @property
    def variance(self) -> float:
        return self.of_users + sum(part.added for part in self.seeds)

    @property
    def users_alone(self) -> float:
        """What would be left of the variance with seeds without end."""
        return max(0.0, self.of_users - sum(part.rest_of_mean for part in self.seeds))

    @property
    def standard_error(self) -> float:
        return math.sqrt(self.variance)

    @cached_property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's: few where seeds decide, as many as users where these do."""
        if not self.variance:
            return self.num_users - 1
        terms = self.of_users**2 / (self.num_users - 1)
        terms += sum(part.satterthwaite for part in self.seeds)
        return self.variance**2 / terms

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the Student interval of the mean."""
        half = student_quantile(self.degrees_of_freedom, 0.5 + confidence / 2) * self.standard_error
        return self.mean - half, self.mean + half

    def with_seeds(self, num_seeds: int) -> "Estimate":
        """Return what is to be expected of that many seeds a strategy, if users and seeds go on to vary as they did."""
        seeds = tuple(replace(part, num_seeds=num_seeds) for part in self.seeds)
        return replace(self, of_users=self.users_alone + sum(part.rest_of_mean for part in seeds), seeds=seeds)

    def p_value(self) -> float:
        """Return the two-sided p-value of a mean of zero."""
        return min(1.0, 2 * self.tail(0.0, is_above=self.mean > 0))

    def tail(self, bound: float, *, is_above: bool) -> float:
        """Return the one-sided p-value of a mean at `bound`, against one above it, or below."""
        distance = self.mean - bound if is_above else bound - self.mean
        if not self.variance:
            return 0.0 if distance > CLOSEST else 1.0
        from scipy.special import stdtr  # here, because it takes a while to import

        return float(stdtr(self.degrees_of_freedom, -distance / self.standard_error))


def student_quantile(degrees_of_freedom: float, probability: float) -> float:
    """Return the quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))


def mean_of(scores: Values) -> Estimate:
    """Return the mean of scores of shape (users, seeds), of two users or more."""
    return _estimate(scores.mean(axis=1), (scores,))


def difference_of(one: Values, other: Values, *, pairs_seeds: bool) -> Estimate:
    """Return the mean difference of two strategies' scores, each of shape (users, seeds), users in the same order.

    `pairs_seeds` says that a column of one and the same column of the other share what a seed gives.
    """
    if pairs_seeds:
        return mean_of((one - other).round(12))
    return _estimate((one.mean(axis=1) - other.mean(axis=1)).round(12), (one, other))


def _estimate(of_users: Values, tables: tuple[Values, ...]) -> Estimate:
    has_seeds = all(table.shape[1] > 1 for table in tables)
    return Estimate(
        mean=float(of_users.mean()),
        of_users=float(of_users.var(ddof=1)) / len(of_users),
        num_users=len(of_users),
        seeds=tuple(SeedPart.of(table) for table in tables) if has_seeds else (),
    )
