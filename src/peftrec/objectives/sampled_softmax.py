"""Cross-entropy over items that are drawn for a batch (Jean et al., ACL 2015; Bengio and Senecal, 2008)."""

from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.objectives.sampled import SampledObjective

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampledSoftmax(SampledObjective):
    """An estimate of the softmax over the catalogue."""

    corrected: bool = True
    """Subtract log q from every score, the target's too, where q is how often the item is to be expected among the
    candidates: then what is drawn more often counts no more. Evenly drawn items have one q, which changes nothing."""

    @property
    def cosine_temperature(self) -> float | None:
        """What cosines are divided by; null where scores are dot products."""
        return None

    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        from peftrec.models.objectives.sampled_softmax import SampledSoftmaxLoss

        return SampledSoftmaxLoss(
            num_items=num_items,
            negatives=self.negatives,
            by_popularity=self.drawn == "popularity",
            with_batch=self.with_batch,
            corrected=self.corrected,
            temperature=self.cosine_temperature,
        )
