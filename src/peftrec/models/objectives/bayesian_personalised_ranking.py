"""Bayesian personalised ranking (Rendle et al., UAI 2009).

L = - mean 1/k  sum over k negatives  log sigma(s_u+ - s_uj)
"""

from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.objectives.positions import candidates, mean_over_positions, target_scores


class BayesianPersonalisedRankingLoss(nn.Module):
    """The loss; it has no parameters."""

    def __init__(self, *, with_batch: bool = False) -> None:
        super().__init__()
        self.with_batch = with_batch

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        weights = candidates(inputs, with_batch=self.with_batch).weights(inputs.states.dtype)
        shares = weights / weights.sum(-1, keepdim=True).clamp_min(1)
        above = target_scores(inputs)[..., None] - inputs.states @ inputs.embeddings.T
        losses = nn.functional.softplus(-above) @ shares[..., None]
        return mean_over_positions(losses.squeeze(-1), inputs)
