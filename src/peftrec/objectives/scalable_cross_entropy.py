"""Scalable cross-entropy, SCE (Mezentsev et al., RecSys 2024, arXiv:2409.18721)."""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.choices import Competitors
from peftrec.objectives.base import Objective

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScalableCrossEntropy(Objective):
    """Cross-entropy over the items that score highest, found by directions that are drawn in each step: positions and
    items near a direction meet in its bucket. Every item is encoded in every step, so that items must come from a store
    or be ids."""

    bucket_items: int = Field(default=256, ge=1)
    """Items of each bucket; the published configurations take 64 to 1,024."""

    def competitors(self) -> Competitors:
        return Competitors(kind="catalogue")

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.scalable_cross_entropy import ScalableCrossEntropyLoss

        return ScalableCrossEntropyLoss(bucket_items=self.bucket_items)
