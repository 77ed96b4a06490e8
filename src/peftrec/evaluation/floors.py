"""What no training reaches: popularity and chance, on the same users, candidates and mask as every method."""

import numpy as np
import numpy.typing as npt
import torch

from peftrec.evaluation.metrics import ranking_metrics
from peftrec.evaluation.ranking import Histories, HistoryMask, rank_targets, users_per_block


def popularity_floor(
    train_counts: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int32],
    history_items: npt.NDArray[np.int32],
    history_offsets: npt.NDArray[np.int64],
    mask_history: HistoryMask,
    *,
    max_score_bytes: int,
) -> dict[str, float]:
    """Rank every user's candidates by training count."""
    block = users_per_block(len(train_counts), max_score_bytes)
    ranks, unreachable = [], []
    for start in range(0, len(targets), block):
        end = min(start + block, len(targets))
        offsets = history_offsets[start : end + 1]
        seen = Histories.from_flat(history_items[offsets[0] : offsets[-1]], offsets - offsets[0])
        scores = torch.from_numpy(train_counts.astype(np.float32)).repeat(end - start, 1)
        ranked = rank_targets(scores, torch.from_numpy(targets[start:end].astype(np.int64)), seen, mask_history)
        ranks.append(ranked.ranks.numpy())
        unreachable.append(ranked.is_unreachable.numpy())
    return ranking_metrics(np.concatenate(ranks), np.concatenate(unreachable))


def random_floor(num_candidates: int, is_unreachable: npt.NDArray[np.bool_], *, seed: int) -> dict[str, float]:
    """Draw each target's rank uniformly; history items are so few that the candidates left are taken as all."""
    ranks = np.random.default_rng(seed).integers(1, num_candidates + 1, size=len(is_unreachable))
    return ranking_metrics(ranks, is_unreachable)
