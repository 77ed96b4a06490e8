"""Sampled softmax, with a correction for how candidates come about, and with cosines over a temperature.

    L = - mean [ s_u+ - log q_+ - log( e^(s_u+ - log q_+) + sum over negatives j  c_j e^(s_uj - log q_j) ) ]

c_j is how often item j is a candidate of the batch, and q_j how often it is to be expected: n / N for each of n items
that are drawn evenly from N, n p_j by popularity, and B p_j more where the batch's B places are candidates too. (What
is drawn by popularity is drawn without replacement, and so the most popular items a little less often than n p_j.)
Without the correction all q are 1. With no drawn item and those of the batch it is `debiased_cross_entropy`.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.models.objectives.positions import REJECTED, candidates, mean_over_positions, target_scores
from peftrec.models.objectives.unit_norm import UnitNorm


class SampledSoftmaxLoss(nn.Module):
    """The loss; it has no parameters."""

    def __init__(
        self,
        *,
        num_items: int,
        negatives: int,
        by_popularity: bool = False,
        with_batch: bool = False,
        corrected: bool = True,
        temperature: float | None = None,
    ) -> None:
        """Score by dot products; with a temperature by cosines divided by it."""
        super().__init__()
        self.num_items = num_items
        self.negatives = negatives
        self.by_popularity = by_popularity
        self.with_batch = with_batch
        self.corrected = corrected
        self.temperature = temperature
        self.unit = UnitNorm()

    def forward(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        if self.temperature is not None:
            inputs = self._in_cosines(inputs, self.temperature)
        chosen = candidates(inputs, with_batch=self.with_batch)
        log_expected = self._log_expected(inputs)
        of_candidates = chosen.counts.clamp_min(1).log() - log_expected
        shift = of_candidates.masked_fill(~chosen.are_negatives, REJECTED)
        logits = torch.matmul(inputs.states, inputs.embeddings.T) + shift[:, None]
        targets = target_scores(inputs) - log_expected[inputs.sequences[:, 1:]]
        return mean_over_positions(torch.logaddexp(targets, torch.logsumexp(logits, -1)) - targets, inputs)

    def _in_cosines(self, inputs: ObjectiveInputs, temperature: float) -> ObjectiveInputs:
        states = self.unit(inputs.states) / temperature
        return replace(inputs, states=states, embeddings=self.unit(inputs.embeddings))

    def _log_expected(self, inputs: ObjectiveInputs) -> Float[Tensor, " item"]:
        """Return log q of each item."""
        if not self.corrected:
            return torch.zeros_like(inputs.log_popularity)
        # An item that nobody took has no share; the logarithm of its share says 0, for who never meets it.
        log_shares = inputs.log_popularity.masked_fill(inputs.log_popularity == 0, -torch.inf)
        evenly = torch.full_like(log_shares, -math.log(self.num_items))
        number = min(self.negatives, self.num_items)
        found = [math.log(number) + (log_shares if self.by_popularity else evenly)] if number else []
        if self.with_batch:
            places = inputs.mask.sum() if inputs.multiplicity is None else inputs.multiplicity.sum()
            found.append(places.log().to(log_shares.dtype) + log_shares)
        return torch.stack(found).logsumexp(0)
