"""In-batch debiased cross-entropy (Yi et al., RecSys 2019; the published IISAN loss).

    L = - mean log softmax over the batch's items of  s_ui - log p_i

where p is the item's share of the training interactions. The published columns are occurrences: an item that stands
three times in the batch is three negatives. With distinct items, that is log multiplicity added to the item's logit,
the target's own counted once. Items of the user's own window, other than the target, are no negatives.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.objectives.positions import REJECTED, mean_over_positions, occurrences, standing


class DebiasedCrossEntropyLoss(nn.Module):
    """The loss; it has no parameters."""

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        """Mean over the positions whose input item is not padding."""
        stands = standing(inputs)
        log_popularity, targets = inputs.log_popularity, inputs.sequences[:, 1:]
        correction = occurrences(inputs, stands).log().to(log_popularity.dtype) - log_popularity
        of_negatives = correction.masked_fill(stands.any(1), REJECTED)[:, None]
        shift = torch.where(stands[:, 1:], -log_popularity, of_negatives)
        logits = torch.matmul(inputs.states, inputs.embeddings.T) + shift
        losses = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return mean_over_positions(losses.view(targets.shape), inputs)
