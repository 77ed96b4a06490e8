"""What each trial of a strategy tries, as a function of its number: first settings that somebody stands behind, then
draws.

Nothing here depends on how far a tuning is, so that one that was killed twenty times tries the same as one that was
not.
"""

import math
from typing import Literal

import numpy as np
from pydantic import JsonValue

from peftrec.tuning.spaces import Choice, Dimension, FloatRange, IntRange, Space, Values

Role = Literal["start", "independent", "drawn"]
"""A setting that is always tried; a random one that is never stopped early, which the curves of quality against budget
are estimated from; or one that may be stopped, or was proposed by a sampler that looks at the others."""

_SIGNIFICANT_DIGITS = 3
"""Of a real number that is drawn: rates that a person can read and copy."""


def role_of(number: int, *, num_starts: int, all_alike: bool) -> Role:
    """Return what a trial is for. The independent ones are the first draw and every second after it, so that a budget
    of any size has them; where nothing is stopped and all are drawn at random (`all_alike`), every draw is one."""
    if number < num_starts:
        return "start"
    return "independent" if all_alike or (number - num_starts) % 2 == 0 else "drawn"


def draw(space: Space, *, seed: int, name: str, number: int) -> Values:
    """Draw values for the trial of this number, evenly in each dimension."""
    generator = np.random.default_rng([seed, number, *name.encode()])
    return {key: value_at(space.dimensions[key], float(generator.random())) for key in sorted(space.dimensions)}


def value_at(dimension: Dimension, share: float) -> JsonValue:
    """Return the value below which this share, from 0 to 1, of a dimension's draws lies."""
    match dimension:
        case Choice():
            return dimension.values[min(int(share * len(dimension.values)), len(dimension.values) - 1)]
        case FloatRange():
            value = _between(dimension.low, dimension.high, share, is_log=dimension.log)
            return min(max(float(f"{value:.{_SIGNIFICANT_DIGITS}g}"), dimension.low), dimension.high)
        case IntRange():
            value = _between(dimension.low - 0.5, dimension.high + 0.5, share, is_log=dimension.log)
            return min(max(round(value), dimension.low), dimension.high)


def _between(low: float, high: float, share: float, *, is_log: bool) -> float:
    if not is_log:
        return low + share * (high - low)
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
