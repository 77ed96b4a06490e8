"""Paired tests over users: bootstrap, permutation, and Holm's correction for many.

Users are the units and the seeds are given: what these say is about other users under these very seeds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
