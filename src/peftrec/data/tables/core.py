"""The k-core: the largest part of the interactions in which every user and every item has at least k of them."""

from dataclasses import replace

import numpy as np

from peftrec.data.tables.tables import HistoryTable
from peftrec.errors import DataError


def in_core(table: HistoryTable, core: int) -> HistoryTable:
    """Remove users and items with fewer than `core` interactions until none is left, and count what was removed.

    Raises DataError where nothing remains.
    """
    interactions = table.interactions
    users, items = interactions.owners(), interactions.items
    is_kept = np.ones(len(items), dtype=np.bool_)
    while True:
        of_user = np.bincount(users[is_kept], minlength=len(interactions))
        of_item = np.bincount(items[is_kept], minlength=int(items.max(initial=-1)) + 1)
        stays = is_kept & (of_user[users] >= core) & (of_item[items] >= core)
        if stays.sum() == is_kept.sum():
            break
        is_kept = stays
    if not is_kept.any():
        raise DataError(
            f"{table.file}: nobody is left in the {core}-core of {len(items)} interactions: lower data.core, or set it "
            "to null"
        )
    has_items = of_user > 0
    counts = {
        "users_dropped_core": int((~has_items).sum()),
        "items_dropped_core": len(interactions.occurring()) - int((of_item > 0).sum()),
        "interactions_dropped_core": int((~is_kept).sum()),
    }
    kept = replace(table, interactions=interactions.where(is_kept), counts={**table.counts, **counts})
    return kept.of_users(has_items)
