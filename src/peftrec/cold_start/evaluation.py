"""Recall, precision and NDCG at k for users who have several right items among the candidates.

Per user, with hits h_1..h_k in {0, 1} and n right candidates: recall = sum h / n, precision = sum h / k,
NDCG = (sum h_r / log2(r + 1)) / (sum_{r <= min(n, k)} 1 / log2(r + 1)); then the mean over users. Nothing is sampled,
ties count against the right item, and a user without a right item among the candidates is left out, as published.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from peftrec.cold_start.pairs import Pairs
from peftrec.errors import DataError
from peftrec.evaluation.ranking import NonFiniteScoresError, users_per_block

CUTOFFS = (20, 50, 100)
MAX_SCORE_BYTES = 16 * 2**20  # one block of users' scores; twice that while ties are decided


@runtime_checkable
class Scorer(Protocol):
    """A trained method."""

    def scores(self, users: Int[Tensor, " user"], items: Int[Tensor, " candidate"]) -> Float[Tensor, "user candidate"]:
        """Score candidates for users; larger is better."""
        ...


@torch.inference_mode()
def evaluate(scorer: Scorer, pairs: Pairs, candidates: npt.NDArray[np.int64]) -> dict[str, float]:
    """Return `recall@k`, `precision@k` and `ndcg@k` as fractions, and `num_users`.

    Raises NonFiniteScoresError, and DataError where no user has a right item among the candidates.
    """
    reachable = np.isin(pairs.items, candidates)
    users, rows = np.unique(pairs.users[reachable], return_inverse=True)
    if not len(users):
        raise DataError("no pair that is evaluated has its item among the candidates: see pairs.candidates")
    columns = np.searchsorted(candidates, pairs.items[reachable])
    is_right = torch.zeros(len(users), len(candidates), dtype=torch.bool)
    is_right[torch.from_numpy(rows), torch.from_numpy(columns)] = True
    items = torch.from_numpy(candidates)
    totals: dict[str, float] = {}
    for block in torch.arange(len(users)).split(users_per_block(len(candidates), MAX_SCORE_BYTES)):
        scores = scorer.scores(torch.from_numpy(users)[block], items)
        for name, values in per_user(scores, is_right[block]).items():
            totals[name] = totals.get(name, 0.0) + float(values.sum())
    return {name: total / len(users) for name, total in totals.items()} | {"num_users": float(len(users))}


def per_user(
    scores: Float[Tensor, "user candidate"], is_right: Bool[Tensor, "user candidate"]
) -> dict[str, Float[Tensor, " user"]]:
    """Return each metric of each user. Raises NonFiniteScoresError."""
    if not bool(torch.isfinite(scores).all()):
        raise NonFiniteScoresError("a score is not finite; lower training.learning_rate")
    # In double precision the next number is far below any difference of single ones, so that it decides ties alone.
    exact = scores.double()
    ahead = torch.where(is_right, exact, torch.nextafter(exact, torch.tensor(torch.inf, dtype=exact.dtype)))
    depth = min(max(CUTOFFS), scores.shape[1])
    hits = is_right.gather(1, ahead.topk(depth, dim=1).indices).double()
    discounts = 1.0 / torch.log2(torch.arange(2, max(CUTOFFS) + 2, dtype=torch.float64))
    ideal = torch.cumsum(discounts, dim=0)
    num_right = is_right.sum(dim=1)
    metrics = {}
    for cutoff in CUTOFFS:
        found = hits[:, :cutoff]
        metrics[f"recall@{cutoff}"] = found.sum(dim=1) / num_right
        metrics[f"precision@{cutoff}"] = found.sum(dim=1) / cutoff
        gain = (found * discounts[: found.shape[1]]).sum(dim=1)
        metrics[f"ndcg@{cutoff}"] = gain / ideal[num_right.clamp(max=cutoff) - 1]
    return metrics


def selection_score(metrics: dict[str, float]) -> float:
    """Return what chooses an epoch: the sum of the recalls, as published."""
    return sum(metrics[f"recall@{cutoff}"] for cutoff in CUTOFFS)
