"""Cross-entropy over the whole catalogue."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.roles import Cost
from peftrec.config.strict import STRICT
from peftrec.data.choices import Competitors
from peftrec.objectives.base import Objective

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FullSoftmax(Objective):
    """Every item competes, and is encoded in every step, so that items must come from a store or be ids."""

    max_logit_bytes: Cost[int] = Field(default=64 * 2**20, ge=2**16)
    """Scores of as many positions as fit are computed at once, and again in the backward pass where all do not."""

    @property
    def draws_in_training(self) -> bool:
        return False

    def competitors(self) -> Competitors:
        return Competitors(kind="catalogue")

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.full_softmax import FullSoftmaxLoss

        return FullSoftmaxLoss(max_logit_bytes=self.max_logit_bytes)
