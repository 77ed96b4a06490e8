"""Ranks of targets among all candidates, by counting: no sampling, no sorting, memory independent of the catalogue.

Sampled metrics are inconsistent with exact ones (Krichene & Rendle, KDD 2020), so there is no option for them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from peftrec.errors import UserError

HistoryMask = Literal["all", "all_but_target", "none"]


class NonFiniteScoresError(UserError):
    """A score is NaN or infinite; a NaN target would rank first under a descending sort, so the run must fail."""


@dataclass(frozen=True, kw_only=True)
class Histories:
    """Items that a block of users has seen, flat: `items[i]` was seen by the block's user `users[i]`."""

    users: Int[Tensor, " seen"]
    items: Int[Tensor, " seen"]

    @classmethod
    def from_flat(cls, items: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> "Histories":
        """Take flat histories with offsets."""
        users = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        return cls(users=torch.from_numpy(users), items=torch.from_numpy(items.astype(np.int64)))

    def to(self, device: torch.device) -> "Histories":
        """Copy to a device."""
        return Histories(users=self.users.to(device), items=self.items.to(device))


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Outcome for a block of users."""

    ranks: Int[Tensor, " user"]
    """1 is best; one past the last candidate where the target is unreachable."""
    is_unreachable: Bool[Tensor, " user"]
    """The mask excludes the target itself, because the history holds it."""


def users_per_block(num_candidates: int, max_score_bytes: int) -> int:
    """Return how many users' float32 scores fit into `max_score_bytes`."""
    return max(1, max_score_bytes // (4 * num_candidates))


def rank_by_embedding(
    states: Float[Tensor, "user dim"],
    embeddings: Float[Tensor, "candidate dim"],
    targets: Int[Tensor, " user"],
    seen: Histories,
    mask_history: HistoryMask,
) -> Ranked:
    """Score by dot product in float32 and rank; see `rank_targets`."""
    scores = torch.matmul(states.float(), embeddings.float().T)
    return rank_targets(scores, targets, seen, mask_history)


def rank_targets(
    scores: Float[Tensor, "user candidate"],
    targets: Int[Tensor, " user"],
    seen: Histories,
    mask_history: HistoryMask,
) -> Ranked:
    """Rank each target among the candidates that the mask leaves; ties count against the target. Overwrites `scores`.

    Raises NonFiniteScoresError.
    """
    if not bool(torch.isfinite(scores.sum(dim=1)).all()):
        raise NonFiniteScoresError(
            "a score is not finite: the weights, or what they make of the items, are too large or no numbers; lower "
            "the learning rates, or set trainer.precision=32-true"
        )
    rows = torch.arange(len(targets), device=scores.device)
    target_scores = scores[rows, targets].clone()
    is_unreachable = torch.zeros_like(targets, dtype=torch.bool)
    if mask_history != "none":
        scores[seen.users, seen.items] = -torch.inf
    if mask_history == "all":
        is_unreachable[seen.users[seen.items == targets[seen.users]]] = True
    scores[rows, targets] = -torch.inf
    ranks = 1 + torch.count_nonzero(scores >= target_scores[:, None], dim=1)
    return Ranked(ranks=ranks.masked_fill(is_unreachable, scores.shape[1] + 1), is_unreachable=is_unreachable)
