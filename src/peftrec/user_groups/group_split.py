"""What of a run's data belongs to one group: the same candidates, and its users' windows and targets alone."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from peftrec.data.interactions import Interactions
from peftrec.data.split import RankingCases, Split
from peftrec.errors import DataError
from peftrec.settings.run import Settings
from peftrec.training.building.loaders import mean_negatives
from peftrec.user_groups.clusters import Groups, newest_windows


def group_splits(split: Split, groups: Groups, settings: Settings) -> list[Split]:
    """Return the part of each group. Raises DataError where one has nothing to train or to choose an epoch by."""
    parts = [group_split(split, groups, group) for group in range(len(groups))]
    for group, part in enumerate(parts):
        size = f"group {group + 1} of {len(groups)} has {groups.sizes[group]:,} users"
        remedy = "take fewer groups (number=1 has everybody), or other clusters (seed=2)"
        if not len(part.validation):
            raise DataError(f"{size} and none of them in validation, so that no epoch can be chosen: {remedy}")
        if not mean_negatives(settings, part, 1):
            raise DataError(
                f"{size}, and beside those of its own window no position has an item to be told from: {remedy}"
            )
    return parts


def group_split(split: Split, groups: Groups, group: int) -> Split:
    """Return the part of one group. Popularity is counted anew: batches are drawn from these windows, and the loss
    corrects for how often an item comes up in them."""
    windows = split.windows.of_users(groups.of(split.windows.users) == group)
    return replace(
        split,
        windows=windows,
        validation=cases_of(split.validation, groups.of(split.validation.histories.users) == group),
        test=cases_of(split.test, groups.of(split.test.histories.users) == group),
        train_counts=training_counts(windows, len(split.items)),
    )


def cases_of(cases: RankingCases, is_in: Bool[np.ndarray, " user"]) -> RankingCases:
    """Return some users of a part of the split, in their order."""
    return RankingCases(histories=cases.histories.of_users(is_in), targets=cases.targets[is_in])


def training_counts(windows: Interactions, num_items: int) -> Int[np.ndarray, " candidate"]:
    """Count how often each item trains. Windows of one user overlap by an item, the first of the newer one."""
    has_older = np.append(~newest_windows(windows)[1:], False)
    repeated = windows.items[windows.offsets[:-1][has_older]]
    return np.bincount(windows.items, minlength=num_items) - np.bincount(repeated, minlength=num_items)
