"""Successive halving, one trial after another (ASHA: Li et al., MLSys 2020, arXiv:1810.05934): after a quarter of the
epochs, and after a half, a trial goes on if it is in the better half of all that came so far.

What is compared is the best validation figure up to there, and with trials of lower number alone: for one trial at a
time the answer is then the same however often it is asked, also after the tuner was killed.
"""

import math
from collections.abc import Sequence

REDUCTION = 2
"""One in so many goes on."""
_SHARE_BEFORE_FIRST = 4


def rungs_of(max_epochs: int) -> tuple[int, ...]:
    """Return after how many epochs a trial may be stopped."""
    rungs = []
    epochs = max(1, max_epochs // _SHARE_BEFORE_FIRST)
    while epochs < max_epochs:
        rungs.append(epochs)
        epochs *= REDUCTION
    return tuple(rungs)


def goes_on(own: Sequence[float], others: Sequence[Sequence[float]], rung: int) -> bool:
    """Say whether a trial goes on, by its validation figures and those of the trials before it, an epoch each."""
    reached = [max(values[:rung]) for values in others if len(values) >= rung]
    better = sum(value > max(own[:rung]) for value in reached)
    return better < math.ceil((len(reached) + 1) / REDUCTION)
