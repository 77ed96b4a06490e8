"""What users and seeds could have shown, and how many seeds would show more.

A difference D with standard error e is found at level a with probability 1 - b about where

    D = (t(1 - a/2) + t(1 - b)) e

with the estimate's degrees of freedom; equivalence within a margin M, of strategies that are equal, where
M = (t(1 - a) + t(1 - b/2)) e, because it can be missed on both sides. More seeds make e smaller, down to what the users
alone leave, so that no number of them may be enough.
"""

from collections.abc import Callable
from dataclasses import replace

from peftrec.results.users_and_seeds import Estimate, student_quantile

LEVEL = 0.05
POWER = 0.8


def smallest_difference(estimate: Estimate) -> float:
    """Return the least difference that would be found with a probability of POWER (Holm's correction asks more)."""
    return _reach(estimate, 1 - LEVEL / 2, POWER)


def smallest_margin(estimate: Estimate) -> float:
    """Return the least margin within which equal strategies would be found equivalent with a probability of POWER."""
    return _reach(estimate, 1 - LEVEL, 1 - (1 - POWER) / 2)


def seeds_needed(
    estimate: Estimate, wish: float, reach: Callable[[Estimate], float] = smallest_difference
) -> int | None:
    """Return the fewest seeds a strategy that bring `reach` down to `wish`; null where none do, because the users are
    too few, and where the seeds' variance is unknown, because there is one."""
    if not estimate.seeds:
        return None
    if reach(replace(estimate, of_users=estimate.users_alone, seeds=())) >= wish:
        return None
    enough = 2
    while reach(estimate.with_seeds(enough)) > wish:
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if reach(estimate.with_seeds(middle)) > wish:
            too_few = middle
        else:
            enough = middle
    return enough


def _reach(estimate: Estimate, *probabilities: float) -> float:
    quantiles = sum(student_quantile(estimate.degrees_of_freedom, each) for each in probabilities)
    return quantiles * estimate.standard_error
