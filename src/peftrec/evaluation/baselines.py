"""Untrained baselines: popularity, item-kNN and random, on the same users, candidates and mask as every method."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.evaluation.item_knn import UNTUNED, ItemKnn, UserItemMatrix, neighbours_of, score_users
from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.ranking import Histories, HistoryMask, rank_targets, users_per_block


@dataclass(frozen=True, kw_only=True)
class BaselineCases:
    """Whom the baselines rank for, and how: flat histories with offsets, each before its target."""

    targets: npt.NDArray[np.int32]
    history_items: npt.NDArray[np.int32]
    history_offsets: npt.NDArray[np.int64]
    num_candidates: int
    mask_history: HistoryMask
    max_score_bytes: int

    def histories(self, start: int, end: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return the histories of users `start` to `end` alone, flat with offsets."""
        offsets = self.history_offsets[start : end + 1]
        return self.history_items[offsets[0] : offsets[-1]], offsets - offsets[0]


def popularity_baseline(train_counts: npt.NDArray[np.int64], cases: BaselineCases) -> dict[str, float]:
    """Rank every user's candidates by training count."""
    counts = torch.from_numpy(train_counts.astype(np.float32))
    return _rank(cases, lambda start, end: counts.repeat(end - start, 1))


def item_knn_baseline(training: UserItemMatrix, cases: BaselineCases, method: ItemKnn = UNTUNED) -> dict[str, float]:
    """Rank every user's candidates by their similarity to the items of the history; see `peftrec.evaluation.item_knn`.

    `training` holds a 1 where a user interacted with an item in training. A candidate that is no neighbour of the
    history scores 0, as many others do: ties count against the target.
    """
    neighbours = neighbours_of(training, method)

    def scores(start: int, end: int) -> Float[Tensor, "user candidate"]:
        return torch.from_numpy(score_users(neighbours, *cases.histories(start, end)))

    return _rank(cases, scores)


def random_baseline(num_candidates: int, is_unreachable: npt.NDArray[np.bool_], *, seed: int) -> dict[str, float]:
    """Draw each target's rank uniformly; history items are so few that the candidates left are taken as all."""
    ranks = np.random.default_rng(seed).integers(1, num_candidates + 1, size=len(is_unreachable))
    return ranking_metrics(ranks, is_unreachable)


def _rank(cases: BaselineCases, score: Callable[[int, int], Float[Tensor, "user candidate"]]) -> dict[str, float]:
    block = users_per_block(cases.num_candidates, cases.max_score_bytes)
    ranks, unreachable = [], []
    for start in range(0, len(cases.targets), block):
        end = min(start + block, len(cases.targets))
        targets = torch.from_numpy(cases.targets[start:end].astype(np.int64))
        seen = Histories.from_flat(*cases.histories(start, end))
        ranked = rank_targets(score(start, end), targets, seen, cases.mask_history)
        ranks.append(ranked.ranks.numpy())
        unreachable.append(ranked.is_unreachable.numpy())
    return ranking_metrics(np.concatenate(ranks), np.concatenate(unreachable))
