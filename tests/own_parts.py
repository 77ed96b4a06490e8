"""Parts as users write them: a user encoder that reads times, and an objective with a parameter and more negatives."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Shaped
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.data.choices import Competitors
from peftrec.objectives.base import Objective
from peftrec.user_encoders.base import UserEncoder

if TYPE_CHECKING:
    from peftrec.models.objectives.inputs import ObjectiveInputs


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RecencyEncoder(UserEncoder):
    """A mean of the items so far, each weighted by how long ago it was taken."""

    reads_times = True

    @property
    def draws_in_training(self) -> bool:
        return False

    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return Recency(dim)


class Recency(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(1.0))
        self.output = nn.Linear(dim, dim)

    def forward(
        self,
        embeddings: Float[Tensor, "user step dim"],
        mask: Bool[Tensor, "user step"],
        times: Shaped[Tensor, "user step"] | None = None,
    ) -> Float[Tensor, "user step dim"]:
        assert times is not None
        moments = times.to(embeddings.dtype)
        ages = (moments[:, :, None] - moments[:, None, :]) / 1e6
        steps = torch.arange(mask.shape[1], device=mask.device)
        is_seen = (mask[:, None, :] & (steps[:, None] >= steps)) | torch.eye(len(steps), dtype=torch.bool)
        weights = torch.softmax((-self.rate * ages).masked_fill(~is_seen, -torch.inf), dim=-1)
        return self.output(weights @ embeddings)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TemperedCrossEntropy(Objective):
    """Cross-entropy over the batch's items and others that are drawn, with a learned temperature."""

    kind: str = "sampled"
    number: int = Field(default=20, ge=0)
    by_popularity: bool = False

    @property
    def draws_in_training(self) -> bool:
        return False

    def competitors(self) -> Competitors:
        return Competitors(kind=self.kind, number=self.number, by_popularity=self.by_popularity)  # type: ignore[arg-type]

    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return TemperedCrossEntropyLoss()


class TemperedCrossEntropyLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.seen: list[int] = []
        """Candidates of each batch so far."""

    def forward(self, inputs: "ObjectiveInputs") -> Float[Tensor, ""]:
        self.seen.append(len(inputs.embeddings))
        is_valid = inputs.mask[:, :-1]
        scores = inputs.states[is_valid] @ inputs.embeddings.T / self.temperature
        return nn.functional.cross_entropy(scores, inputs.sequences[:, 1:][is_valid])
