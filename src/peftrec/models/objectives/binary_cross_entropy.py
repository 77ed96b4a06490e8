"""Binary cross-entropy of a target and its negatives (SASRec: Kang and McAuley, ICDM 2018), and its generalisation gBCE
(Petrov and Macdonald, RecSys 2023).

    BCE    L = - mean 1/2 [ log sigma(s_u+) + 1/k sum over k negatives  log(1 - sigma(s_uj)) ]
    gBCE   L = - mean 1/(k+1) [ beta log sigma(s_u+) + sum over k negatives  log(1 - sigma(s_uj)) ]

SASRec draws one negative for each position. With the mean over negatives that positions share, BCE is what that is on
average. In gBCE k negatives count k times as much as the target, and the first steps bring all scores down to the share
of targets, 1 in k + 1: 30 epochs of 12 steps on the built-in data end at the loss of that share alone (BENCHMARKS,
"Objectives").

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
    """BCE; it has no parameters."""

    def __init__(self, *, with_batch: bool = False) -> None:
        super().__init__()
        self.with_batch = with_batch

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        of_target, of_negatives, number = _parts(inputs, with_batch=self.with_batch)
        return mean_over_positions((of_target + of_negatives / number.clamp(min=1)) / 2, inputs)


class GeneralisedBinaryCrossEntropyLoss(nn.Module):
    """gBCE; it has no parameters."""

    def __init__(self, *, beta: float, with_batch: bool = False) -> None:
        super().__init__()
        self.with_batch = with_batch
        self.beta = beta

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        of_target, of_negatives, number = _parts(inputs, with_batch=self.with_batch)
        return mean_over_positions((self.beta * of_target + of_negatives) / (number + 1), inputs)


def _parts(
    inputs: ObjectiveInputs, *, with_batch: bool
) -> tuple[Float[Tensor, "user step"], Float[Tensor, "user step"], Float[Tensor, "user 1"]]:
    """Return what the target and what all negatives add to a position's loss, and how many negatives a user has."""
    weights = candidates(inputs, with_batch=with_batch).weights(inputs.states.dtype)
    of_negatives = nn.functional.softplus(inputs.states @ inputs.embeddings.T) @ weights[..., None]
    return nn.functional.softplus(-target_scores(inputs)), of_negatives.squeeze(-1), weights.sum(-1, keepdim=True)
