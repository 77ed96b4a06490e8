"""Bayesian personalised ranking (Rendle et al., UAI 2009)."""

from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.objectives.sampled import SampledObjective

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BayesianPersonalisedRanking(SampledObjective):
    """The target above each negative; the paper draws one for each position, here a batch's positions share
    `negatives` of them."""

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.bayesian_personalised_ranking import BayesianPersonalisedRankingLoss

        return BayesianPersonalisedRankingLoss(with_batch=self.with_batch)
