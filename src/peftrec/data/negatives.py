"""The mean number of negatives per positive: what batch size, and processes that do not share, decide."""

import itertools

import numpy as np
import numpy.typing as npt

from peftrec.data.competing import Competition
from peftrec.data.interactions import Interactions
from peftrec.data.loading import EpochOrder, pad_left

_BATCHES = 100  # the mean over so many is within a per cent of the epoch's, and costs milliseconds


def negatives_per_positive(
    windows: Interactions,
    order: EpochOrder,
    *,
    length: int,
    num_pools: int = 1,
    competition: Competition | None = None,
) -> float:
    """Return the mean number of distinct items that a valid position is scored against besides its own window's.

    The mean is over the positions of the first batches of the first epoch, so it is a function of data, seed and
    batch size, and of what is put beside a batch. `num_pools` is the number of processes among which a batch's users
    are divided without gathering.
    """
    competition = competition or Competition()
    order.set_epoch(0)
    negatives = positions = 0
    for rows in itertools.islice(order, _BATCHES):
        items, mask = pad_left(windows, rows, length)
        beside = competition.beside(rows)
        for users in np.array_split(np.arange(len(rows)), num_pools):
            valid = mask[users, :-1].sum(axis=1)
            if competition.is_batch_apart:
                own = (items[users][..., None] == beside) & mask[users][..., None]
                negatives += int((valid * (len(beside) - own.any(1).sum(axis=1))).sum())
            else:
                pool = len(np.unique(np.concatenate([items[users][mask[users]], beside])))
                negatives += int((valid * (pool - _num_distinct(items[users], mask[users]))).sum())
            positions += int(valid.sum())
    return negatives / positions


def _num_distinct(items: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Count each row's distinct items."""
    if not len(items):
        return np.zeros(0, dtype=np.int64)
    ordered = np.sort(np.where(mask, items, -1), axis=1)
    is_new = np.diff(ordered, axis=1, prepend=-1) != 0
    return is_new.sum(axis=1)
