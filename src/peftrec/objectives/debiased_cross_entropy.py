"""In-batch debiased cross-entropy (Yi et al., RecSys 2019), the loss of the published IISAN code."""

from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.objectives.base import Objective

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DebiasedCrossEntropy(Objective):
    """The only objective of the paper; it has no hyper-parameters."""

    @property
    def draws_in_training(self) -> bool:
        return False

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss

        return DebiasedCrossEntropyLoss()
