"""In-batch debiased cross-entropy (Yi et al., RecSys 2019; the published IISAN loss).

    L = - mean log softmax over the batch's items of  s_ui - log p_i

where p is the item's share of the training interactions. The published columns are occurrences: an item that stands
three times in the batch is three negatives. With distinct items, that is log multiplicity added to the item's logit,
the target's own counted once. Items of the user's own window, other than the target, are no negatives.

Who stands where is found by comparing, not by scattering: deterministic kernels of CUDA sort to scatter, and wait for
the device on the way.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs

REJECTED = -1e4
"""Added to the logit of a column that is no negative; finite, so that float16 survives, as in the published code, which
puts it in the logit's place. The exponential of either is zero."""


class DebiasedCrossEntropyLoss(nn.Module):
    """The loss; it has no parameters."""

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        """Mean over the positions whose input item is not padding."""
        num_users, num_steps, _ = inputs.states.shape
        items = torch.arange(inputs.embeddings.shape[0], device=inputs.sequences.device)
        stands = (inputs.sequences[..., None] == items) & inputs.mask[..., None]
        multiplicity = stands.sum((0, 1)) if inputs.multiplicity is None else inputs.multiplicity
        log_popularity, targets = inputs.log_popularity, inputs.sequences[:, 1:]
        correction = multiplicity.log().to(log_popularity.dtype) - log_popularity
        of_negatives = correction.masked_fill(stands.any(1), REJECTED)[:, None]
        shift = torch.where(stands[:, 1:], -log_popularity, of_negatives)
        logits = torch.matmul(inputs.states, inputs.embeddings.T) + shift
        losses = nn.functional.cross_entropy(
            logits.view(num_users * num_steps, len(items)), targets.reshape(-1), reduction="none"
        )
        valid = inputs.mask[:, :-1].reshape(-1)
        return losses.masked_fill(~valid, 0.0).sum() / valid.sum()
