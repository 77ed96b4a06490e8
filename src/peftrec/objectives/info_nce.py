"""InfoNCE on cosines (van den Oord et al., 2018, arXiv:1807.03748), as HSTU trains (Zhai et al., 2024)."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.objectives.sampled_softmax import SampledSoftmax

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InfoNCE(SampledSoftmax):
    """Sampled softmax of cosines over a temperature. Item embeddings have length 1 wherever they are used, in the
    histories that the user encoder reads too; a state's length decides no rank, so that states are only divided by
    theirs in the loss."""

    negatives: int = Field(default=128, ge=1)
    """Items drawn for each batch."""
    temperature: float = Field(default=0.05, gt=0)
    """What cosines are divided by."""

    @property
    def cosine_temperature(self) -> float:
        return self.temperature

    def item_norm(self) -> "nn.Module | None":
        from peftrec.models.objectives.unit_norm import UnitNorm

        return UnitNorm()
