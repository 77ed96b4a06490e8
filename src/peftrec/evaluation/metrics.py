"""HR, NDCG and MRR at k from ranks, one relevant item a user (so HR@k equals Recall@k, and the ideal DCG is 1)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

CUTOFFS = (5, 10, 20)


def ranking_metrics(ranks: npt.NDArray[np.integer[Any]], is_unreachable: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return `hr@k`, `ndcg@k` and `mrr@k` as fractions; an unreachable target is a miss.

    NDCG is 1 / log2(rank + 1), MRR is 1 / rank, both zero beyond k.
    """
    metrics: dict[str, float] = {}
    places = ranks.astype(np.float64)
    for cutoff in CUTOFFS:
        hit = (ranks <= cutoff) & ~is_unreachable
        metrics[f"hr@{cutoff}"] = float(hit.mean())
        metrics[f"ndcg@{cutoff}"] = float(np.where(hit, 1.0 / np.log2(places + 1.0), 0.0).mean())
        metrics[f"mrr@{cutoff}"] = float(np.where(hit, 1.0 / places, 0.0).mean())
    return metrics


class RankCollector(Metric):
    """Ranks of all users, gathered over processes; a user that two processes ranked counts once."""

    full_state_update = False
    users: list[Tensor]
    ranks: list[Tensor]
    is_unreachable: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("users", "ranks", "is_unreachable"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, users: Tensor, ranks: Tensor, is_unreachable: Tensor) -> None:
        """Add a block of users."""
        self.users.append(users)
        self.ranks.append(ranks)
        self.is_unreachable.append(is_unreachable)

    def compute(self) -> tuple[Tensor, Tensor]:
        """Return ranks and unreachable flags in the order of users."""
        users = dim_zero_cat(self.users)
        ranks, is_unreachable = dim_zero_cat(self.ranks), dim_zero_cat(self.is_unreachable)
        _, first = np.unique(users.cpu().numpy(), return_index=True)
        chosen = torch.from_numpy(first).to(ranks.device)
        return ranks[chosen], is_unreachable[chosen]

    def take(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return what `compute` does, over all processes, and forget it; every process must have ranked somebody."""
        ranks, is_unreachable = self.compute()
        self.reset()
        # torchmetrics squeezes what `compute` returns where there is one user alone.
        return ranks.view(-1).cpu().numpy(), is_unreachable.view(-1).cpu().numpy()
