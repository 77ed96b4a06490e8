"""In-batch cross-entropy with the refined correction for popularity (arXiv:2507.09331).

    L = - mean sg(1 - p_u) [ s_u+ - log sum over negatives j  e^(s_uj - log q_j) ]        q_j = p_j / (1 - p_+)

The target is no item that was drawn, so that it is neither corrected nor among the negatives, and what is drawn beside
it is drawn from the others. p_u is the softmax of the target's score against the mean of the negatives' terms; no
gradient passes it (sg). Columns are occurrences, as in `debiased_cross_entropy`, and items of the user's own window no
negatives.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.objectives.positions import REJECTED, candidates, mean_over_positions, target_scores


class RefinedCrossEntropyLoss(nn.Module):
    """The loss; it has no parameters."""

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        chosen = candidates(inputs, with_batch=True)
        of_candidates = chosen.counts.clamp_min(1).log() - inputs.log_popularity
        shift = of_candidates.masked_fill(~chosen.are_negatives, REJECTED)
        logits = torch.matmul(inputs.states, inputs.embeddings.T) + shift[:, None]
        log_others = torch.log1p(-inputs.log_popularity.exp())[inputs.sequences[:, 1:]]
        of_negatives = torch.logsumexp(logits, -1) + log_others
        number = chosen.weights(torch.float32).sum(-1, keepdim=True).clamp_min(1)
        targets = target_scores(inputs)
        doubt = torch.sigmoid(of_negatives - number.log() - targets).detach()  # 1 - p_u
        return mean_over_positions(doubt * (of_negatives - targets), inputs)
