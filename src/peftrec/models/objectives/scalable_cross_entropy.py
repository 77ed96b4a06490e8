"""Scalable cross-entropy, SCE (Mezentsev et al., RecSys 2024, arXiv:2409.18721), with the paper's `mix`.

Each step draws n directions B = W X, where X are the states of the batch's P positions, W ~ N(0, 1) / dim^(1/4) and
n = 2 sqrt(P). A bucket holds the n positions and the `bucket_items` items whose dot products with its direction are
largest. A position's loss in a bucket is its cross-entropy over the bucket's items and its target; of several buckets
it has the largest loss, and a position in none has none. The loss is the mean over positions that have one.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.objectives.positions import REJECTED, target_scores


class ScalableCrossEntropyLoss(nn.Module):
    """The loss; it has no parameters."""

    def __init__(self, *, bucket_items: int) -> None:
        super().__init__()
        self.bucket_items = bucket_items

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        valid = inputs.mask[:, :-1].flatten()
        states, targets = inputs.states.flatten(0, 1), inputs.sequences[:, 1:].flatten()
        positions, items = self._buckets(states, inputs.embeddings, valid)
        logits = states[positions] @ inputs.embeddings[items].transpose(1, 2)
        logits = logits.masked_fill(targets[positions][..., None] == items[:, None], REJECTED)
        scores = target_scores(inputs).flatten()[positions]
        losses = torch.logaddexp(scores, torch.logsumexp(logits, -1)) - scores
        return _mean_of_largest(losses, positions, valid)

    @torch.no_grad()
    def _buckets(
        self,
        states: Float[Tensor, "position dim"],
        embeddings: Float[Tensor, "item dim"],
        valid: Bool[Tensor, " position"],
    ) -> tuple[Int[Tensor, "bucket member"], Int[Tensor, "bucket bucket_item"]]:
        """Return the positions and the items of each bucket."""
        num_buckets = min(math.floor(2 * math.sqrt(len(states))), len(states))
        states = states.masked_fill(~valid[:, None], 0.0)  # what stands at padding has no part in a direction
        drawn = torch.randn(num_buckets, len(states), device=states.device, dtype=states.dtype)
        directions = drawn @ states / states.shape[1] ** 0.25
        near = (directions @ states.T).masked_fill(~valid, -torch.inf)
        positions = near.topk(num_buckets, dim=1).indices
        items = (directions @ embeddings.T).topk(min(self.bucket_items, len(embeddings)), dim=1).indices
        return positions, items


def _mean_of_largest(
    losses: Float[Tensor, "bucket member"], positions: Int[Tensor, "bucket member"], valid: Bool[Tensor, " position"]
) -> Float[Tensor, ""]:
    """Return the mean, over the valid positions that are in a bucket, of the largest loss of each."""
    nowhere = losses.new_full((len(losses), len(valid)), -torch.inf)
    largest = nowhere.scatter(1, positions, losses).amax(0)
    has_loss = valid & largest.isfinite()
    return largest.masked_fill(~has_loss, 0.0).sum() / has_loss.sum().clamp_min(1)
