"""Expected validation quality of the best of n trials (Dodge et al., EMNLP 2019, arXiv:1909.03004).

Of B independent trials, sorted x(1) <= ... <= x(B):

    with replacement      E = sum over i of x(i) [(i / B)^n - ((i - 1) / B)^n]                    Dodge et al. 2019
    without replacement   E = sum over j >= n of x(j) C(j - 1, n - 1) / C(B, n)                   Tang et al., ACL 2020

The first is biased downwards, the second not; the second varies more, and with the first fewer wrong conclusions are
drawn (Dodge et al. 2021, arXiv:2110.00613). Both hold for trials that are drawn independently and trained to their end:
for no sampler that looks at earlier trials, and not where some are stopped. They are given up to n = B / 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
LEVEL = 0.95
_SEED = 1  # of the resampling: the same trials give the same file

Values = npt.NDArray[np.float64]


def with_replacement(values: Values, n: int) -> float:
    """Return the expected best of n draws from the trials, each put back."""
    return float(np.sort(values) @ _chances(len(values), [n])[:, 0])


def _chances(num_trials: int, sizes: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return, a row a place among the sorted trials and a column an n, how likely it is the best of n draws."""
    shares = np.arange(num_trials + 1) / num_trials
    return np.diff(shares[:, None] ** np.array(sizes), axis=0)


def without_replacement(values: Values, n: int) -> float:
    """Return the expected best of n of the trials; without bias for the best of n new ones."""
    ways = [math.comb(place, n - 1) for place in range(len(values))]
    return float(np.sort(values) @ np.array(ways, dtype=np.float64)) / math.comb(len(values), n)


@dataclass(frozen=True, kw_only=True)
class BudgetCurve:
    """Quality that a budget of n trials may be expected to find, for n from 1 to half of the trials it rests on."""

    strategy: str
    """What the rows of a report call it: `id`, or `id (LiGR)`."""
    num_trials: int
    """Independent trials."""
    seconds_per_trial: float
    """Mean training seconds of one."""
    expected: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    """95 % interval, by resampling the trials."""
    unbiased: tuple[float, ...]
    resampled: npt.NDArray[np.float64]
    """A row a resample, a column an n: what comparisons of curves rest on."""


def budget_curve(strategy: str, values: Sequence[float], seconds: Sequence[float]) -> BudgetCurve | None:
    """Return the curve of independent trials, None where there are too few for one: two."""
    longest = len(values) // 2
    if longest < 1:
        return None
    own = np.array(values, dtype=np.float64)
    # A generator of its own for each strategy: resamples of two are then independent, as their trials are.
    generator = np.random.default_rng([_SEED, *strategy.encode()])
    drawn = own[generator.integers(len(own), size=(RESAMPLES, len(own)))]
    sizes = range(1, longest + 1)
    resampled = np.sort(drawn, axis=1) @ _chances(len(own), sizes)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return BudgetCurve(
        strategy=strategy,
        num_trials=len(own),
        seconds_per_trial=float(np.mean(seconds)),
        expected=tuple(with_replacement(own, n) for n in sizes),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        unbiased=tuple(without_replacement(own, n) for n in sizes),
        resampled=resampled,
    )


@dataclass(frozen=True, kw_only=True)
class ChangedOrder:
    """Two strategies of which one leads with few trials and the other with more."""

    first: str
    """Leads with `few` trials."""
    then: str
    """Leads with `many`."""
    few: int
    many: int


def changed_orders(curves: Sequence[BudgetCurve]) -> list[ChangedOrder]:
    """Return pairs whose order changes with the budget, where the interval of their difference leaves out 0 both before
    and after."""
    found = []
    for place, one in enumerate(curves):
        for other in curves[place + 1 :]:
            leads = _leads(one, other)
            for first, then, sign in ((one, other, 1), (other, one, -1)):
                few = next((n for n, lead in enumerate(leads, start=1) if lead == sign), None)
                many = next((n for n, lead in enumerate(leads, start=1) if few and n > few and lead == -sign), None)
                if few is not None and many is not None:
                    found.append(ChangedOrder(first=first.strategy, then=then.strategy, few=few, many=many))
    return found


def _leads(one: BudgetCurve, other: BudgetCurve) -> list[int]:
    """Return for each n 1 where the first leads for sure, -1 where the second does, else 0."""
    common = min(len(one.expected), len(other.expected))
    differences = one.resampled[:, :common] - other.resampled[:, :common]
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [1 if below > 0 else -1 if above < 0 else 0 for below, above in zip(low, high, strict=True)]
