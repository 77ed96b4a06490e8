"""In-batch debiased cross-entropy (Yi et al., RecSys 2019; the published IISAN loss).

    L = - mean log softmax over the batch's items of  s_ui - log p_i

where p is the item's share of the training interactions. The published columns are occurrences: an item that stands
three times in the batch is three negatives. With distinct items, that is log multiplicity added to the item's logit,
the target's own counted once. Items of the user's own window, other than the target, are no negatives.
"""

import torch
from jaxtyping import Bool, Float, Int
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.strict import STRICT
from peftrec.training.objectives.base import Objective, ObjectiveInputs

REJECTED = -1e4
"""Logit of a column that is no negative (published code; finite, so that float16 survives)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DebiasedCrossEntropy(Objective):
    """The only objective of the paper; it has no hyper-parameters."""

    def __call__(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        """Mean over the positions whose input item is not padding."""
        num_users, num_steps, _ = inputs.states.shape
        num_items = inputs.embeddings.shape[0]
        own = own_items(inputs.sequences, inputs.mask, num_items)
        multiplicity = inputs.multiplicity
        if multiplicity is None:
            multiplicity = count_items(inputs.sequences, inputs.mask, num_items)
        correction = multiplicity.log().to(inputs.log_popularity.dtype) - inputs.log_popularity
        logits = torch.matmul(inputs.states, inputs.embeddings.T)
        negatives = (logits + correction).masked_fill(own[:, None, :], REJECTED)
        targets = inputs.sequences[:, 1:]
        target_logits = logits.gather(2, targets[..., None]) - inputs.log_popularity[targets][..., None]
        logits = negatives.scatter(2, targets[..., None], target_logits)
        losses = nn.functional.cross_entropy(
            logits.view(num_users * num_steps, num_items), targets.reshape(-1), reduction="none"
        )
        valid = inputs.mask[:, :-1].reshape(-1)
        return losses.masked_fill(~valid, 0.0).sum() / valid.sum()


def own_items(
    sequences: Int[Tensor, "user next_step"], mask: Bool[Tensor, "user next_step"], num_items: int
) -> Bool[Tensor, "user item"]:
    """Say which of the batch's items stand in each user's window."""
    counts = torch.zeros(sequences.shape[0], num_items, dtype=torch.int32, device=sequences.device)
    return counts.scatter_add(1, sequences, mask.to(torch.int32)) > 0


def count_items(
    sequences: Int[Tensor, "user next_step"], mask: Bool[Tensor, "user next_step"], num_items: int
) -> Float[Tensor, " item"]:
    """Count how often each item stands in the windows."""
    counts = torch.zeros(num_items, device=sequences.device)
    return counts.scatter_add(0, sequences.reshape(-1), mask.reshape(-1).to(counts.dtype))
