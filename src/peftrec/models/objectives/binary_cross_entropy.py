"""Binary cross-entropy of a target and its negatives, and its generalisation gBCE (Petrov and Macdonald, RecSys 2023).

    L = - mean 1/(k+1) [ beta log sigma(s_u+) + sum over k negatives  log(1 - sigma(s_uj)) ]

gBCE takes sigma(s_u+) to the power beta = alpha (t (1 - 1/alpha) + 1/alpha) = 1 - t (1 - alpha), where alpha is the
share of the other items that is drawn. The published code turns the target's score into the logit of that power and
needs float64 and bounds for it; the logarithm of a power is a product, which needs neither.
"""

from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.objectives.positions import candidates, mean_over_positions, target_scores


def beta(*, negatives: int, num_items: int, calibration: float) -> float:
    """Return the power of gBCE."""
    return 1 - calibration * (1 - min(1.0, negatives / (num_items - 1)))


class BinaryCrossEntropyLoss(nn.Module):
    """The loss; it has no parameters."""

    def __init__(self, *, with_batch: bool = False, beta: float = 1.0) -> None:
        super().__init__()
        self.with_batch = with_batch
        self.beta = beta

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        weights = candidates(inputs, with_batch=self.with_batch).weights(inputs.states.dtype)
        of_target = self.beta * nn.functional.softplus(-target_scores(inputs))
        of_negatives = nn.functional.softplus(inputs.states @ inputs.embeddings.T) @ weights[..., None]
        number = weights.sum(-1, keepdim=True)
        return mean_over_positions((of_target + of_negatives.squeeze(-1)) / (number + 1), inputs)
