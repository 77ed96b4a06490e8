"""Cross-entropy over the whole catalogue, in bounded memory.

    L = - mean [ s_u+ - log sum over all items j  e^s_uj ]

Positions of padding are not scored. Scores of all others against all items may not fit into memory; those of a few
positions at a time do, where the backward pass computes them again.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from peftrec.models.objectives.inputs import ObjectiveInputs


class FullSoftmaxLoss(nn.Module):
    """The loss; it has no parameters."""

    def __init__(self, *, max_logit_bytes: int) -> None:
        super().__init__()
        self.max_logit_bytes = max_logit_bytes

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        positions = inputs.valid_positions()
        targets = inputs.sequences[:, 1:].flatten()[positions]
        # An embedding look-up: unlike fancy indexing its backward pass is deterministic on every device.
        states = nn.functional.embedding(positions, inputs.states.flatten(0, 1))
        row_bytes = len(inputs.embeddings) * states.element_size()
        number = math.ceil(len(states) * row_bytes / self.max_logit_bytes)
        parts = zip(states.chunk(number), targets.chunk(number), strict=True)
        if number == 1:
            losses = [_losses(inputs.embeddings, *part) for part in parts]
        else:
            losses = [checkpoint(_losses, inputs.embeddings, *part, use_reentrant=False) for part in parts]
        return torch.cat(losses).mean()


def _losses(
    embeddings: Float[Tensor, "item dim"], states: Float[Tensor, "position dim"], targets: Int[Tensor, " position"]
) -> Float[Tensor, " position"]:
    return nn.functional.cross_entropy(states @ embeddings.T, targets, reduction="none")
