"""Every test user ranked by the item embeddings of the group that the user is in."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from peftrec.data.split import Split
from peftrec.training.run.restored_ranks import rank_over
from peftrec.training.run.scoring import UserRanks, encoded_candidates
from peftrec.user_groups.clusters import NONE, Groups
from peftrec.user_groups.part import Part


@dataclass(frozen=True, kw_only=True)
class RankedByGroup:
    """The test users in the order of the run's cases, and what encoding the catalogue took."""

    ranks: UserRanks
    encodings: int
    """Of the whole catalogue: one a group, and the run's own where users are in no group."""
    seconds: float
    """Of one encoding, the median."""


def rank_by_group(
    part: Part, groups: Groups, splits: Sequence[Split], folders: Sequence[Path], of_run: UserRanks
) -> RankedByGroup:
    """Rank each test user once, by the weights in the folder of the user's group; those in none stay where the run's
    own embeddings rank them."""
    group_of_user = groups.of(part.run.split.test.histories.users)
    ranks, is_unreachable = of_run.ranks.copy(), of_run.is_unreachable.copy()
    seconds = []
    for group, (split, folder) in enumerate(zip(splits, folders, strict=True)):
        module = part.load(folder)
        started = time.perf_counter()
        catalogue = encoded_candidates(module)
        if part.run.device.type == "cuda":
            torch.cuda.synchronize(part.run.device)
        seconds.append(time.perf_counter() - started)
        if len(split.test):
            ranked = rank_over(part.run, split.test, catalogue)
            ranks[group_of_user == group], is_unreachable[group_of_user == group] = ranked.ranks, ranked.is_unreachable
    return RankedByGroup(
        ranks=UserRanks(ranks=ranks, is_unreachable=is_unreachable),
        encodings=len(groups) + bool(np.any(group_of_user == NONE)),
        seconds=statistics.median(seconds),
    )
