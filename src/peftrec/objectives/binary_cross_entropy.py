"""Binary cross-entropy against drawn items (SASRec: Kang and McAuley, ICDM 2018), and gBCE (Petrov and Macdonald,
RecSys 2023)."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.objectives.sampled import SampledObjective

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BinaryCrossEntropy(SampledObjective):
    """The target against 1 and each negative against 0. SASRec draws one negative for each position; here a batch's
    positions share `negatives` of them, which together count as much as the target."""

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.binary_cross_entropy import BinaryCrossEntropyLoss

        return BinaryCrossEntropyLoss(with_batch=self.with_batch)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GeneralisedBinaryCrossEntropy(BinaryCrossEntropy):
    """gBCE: each negative counts as much as the target, whose probability is taken to the power beta, which undoes the
    confidence that few negatives teach."""

    calibration: float = Field(default=0.75, ge=0, le=1)
    """t of the paper: 0 leaves the probability as it is, 1 makes beta the share of the catalogue that is drawn."""

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.binary_cross_entropy import GeneralisedBinaryCrossEntropyLoss, beta

        power = beta(negatives=self.negatives, num_items=num_items, calibration=self.calibration)
        return GeneralisedBinaryCrossEntropyLoss(with_batch=self.with_batch, beta=power)
