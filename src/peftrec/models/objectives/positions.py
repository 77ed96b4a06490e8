"""Where each position of a batch stands: its target, its user's own items, and what it is scored against."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs

REJECTED = -1e4
"""Added to the logit of a column that is no negative; finite, so that float16 survives, as in the published code, which
puts it in the logit's place. The exponential of either is zero."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The items that positions are scored against besides their targets, as columns of the batch's embeddings."""

    counts: Float[Tensor, " item"]
    """How often each item is a candidate: once where it was drawn, and as often as it stands in the batch where the
    batch's items are."""
    are_negatives: Bool[Tensor, "user item"]
    """Candidates that do not stand in the user's own window."""

    def weights(self, dtype: torch.dtype) -> Float[Tensor, "user item"]:
        """Return how often each item is a negative of each user."""
        return (self.counts * self.are_negatives).to(dtype)


def standing(inputs: ObjectiveInputs) -> Bool[Tensor, "user next_step item"]:
    """Say which item stands where; found by comparing, not by scattering: deterministic kernels of CUDA sort to
    scatter, and wait for the device on the way."""
    items = torch.arange(inputs.embeddings.shape[0], device=inputs.sequences.device)
    return (inputs.sequences[..., None] == items) & inputs.mask[..., None]


def occurrences(inputs: ObjectiveInputs, stands: Bool[Tensor, "user next_step item"]) -> Float[Tensor, " item"]:
    """Return how often each item stands in the whole batch."""
    counted = stands.sum((0, 1)) if inputs.multiplicity is None else inputs.multiplicity
    return counted.float()


def candidates(inputs: ObjectiveInputs, *, with_batch: bool) -> Candidates:
    """Return the drawn items, with those of the batch where they are candidates too."""
    stands = standing(inputs)
    counts = torch.zeros_like(inputs.log_popularity, dtype=torch.float32)
    if inputs.drawn is not None:
        counts = counts + inputs.drawn
    if with_batch:
        counts = counts + occurrences(inputs, stands)
    return Candidates(counts=counts, are_negatives=(counts > 0) & ~stands.any(1))


def target_scores(inputs: ObjectiveInputs) -> Float[Tensor, "user step"]:
    """Return each position's score of its target."""
    # An embedding look-up: unlike fancy indexing its backward pass is deterministic on every device.
    targets = nn.functional.embedding(inputs.sequences[:, 1:], inputs.embeddings)
    return (inputs.states * targets).sum(-1)


def mean_over_positions(losses: Float[Tensor, "user step"], inputs: ObjectiveInputs) -> Float[Tensor, ""]:
    """Return the mean over the positions whose input item is not padding."""
    valid = inputs.mask[:, :-1]
    return losses.masked_fill(~valid, 0.0).sum() / valid.sum()
