"""Recommendations to many users, a block of them at a time, each as if the user had been asked about alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from peftrec.data.interactions import Interactions
from peftrec.errors import DataError, shortlist
from peftrec.profiles.base import NO_ITEM
from peftrec.serving.best_for_users import best_for_users
from peftrec.serving.best_items import BestItems
from peftrec.serving.catalogue import ServedCatalogue
from peftrec.training.run.restored_run import RestoredRun

SCORE_BYTES = 2**26
"""Memory for the scores of a block; its size decides no answer."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Answers to some users."""

    rows: Int[np.ndarray, " user"]
    """Of the histories that were asked about."""
    best: BestItems


def recommend_in_blocks(
    run: RestoredRun,
    catalogue: ServedCatalogue,
    histories: Interactions,
    rows: Int[np.ndarray, " user"],
    k: int,
    *,
    keeps_seen: bool,
) -> Iterator[Served]:
    """Yield the best `k` items of each user, in the order of `rows`; without those of the history, unless it keeps
    them.

    Raises DataError for users to whom fewer than `k` items are left, and what `best_for_users` does.
    """
    size = max(1, SCORE_BYTES // (len(catalogue.ids) * catalogue.embeddings.itemsize))
    for start in range(0, len(rows), size):
        own = rows[start : start + size]
        seen = (np.zeros(0, dtype=np.int64),) * 2 if keeps_seen else _seen(histories, own)
        best = best_for_users(run, catalogue, histories, own, k, excluded=seen)
        _refuse_short(best, k, [histories.users[row] for row in own.tolist()])
        yield Served(rows=own, best=best)


def _seen(
    histories: Interactions, rows: Int[np.ndarray, " user"]
) -> tuple[Int[np.ndarray, " seen"], Int[np.ndarray, " seen"]]:
    """Return each item of each history, with the place of its user among `rows`."""
    own = [histories[row].astype(np.int64) for row in rows.tolist()]
    return np.repeat(np.arange(len(own)), [len(each) for each in own]), np.concatenate(own)


def _refuse_short(best: BestItems, k: int, users: Sequence[str]) -> None:
    left = (best.items != NO_ITEM).sum(axis=1)
    if short := [user for user, number in zip(users, left.tolist(), strict=True) if number < k]:
        raise DataError(
            f"k={k}: only {left.min():,} items are left to recommend to {shortlist(map(repr, short), len(short))}; "
            "lower k, or set seen=true"
        )
