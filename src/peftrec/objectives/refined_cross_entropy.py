"""In-batch cross-entropy with the refined correction for popularity (arXiv:2507.09331)."""

from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.objectives.base import Objective

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RefinedCrossEntropy(Objective):
    """As `debiased_cross_entropy`, but that the target is no candidate that was drawn; it has no hyper-parameters."""

    @property
    def draws_in_training(self) -> bool:
        return False

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.refined_cross_entropy import RefinedCrossEntropyLoss

        return RefinedCrossEntropyLoss()
