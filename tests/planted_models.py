"""User encoders and objectives that break one law each, beside ones that keep them all."""

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.data.choices import Competitors
from peftrec.errors import SettingsError
from peftrec.models.objectives.inputs import ObjectiveInputs
from peftrec.objectives.base import Objective
from peftrec.user_encoders.base import UserEncoder


class Mean(nn.Module):
    """The mean of the items so far, through a layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.output = nn.Linear(dim, dim)

    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        return self.output(self.weights(mask, times) @ embeddings)

    def weights(self, mask: Tensor, times: Tensor | None) -> Tensor:
        seen = mask[:, None, :] & torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool).tril()
        return seen / seen.sum(dim=-1, keepdim=True).clamp(min=1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LawAbidingEncoder(UserEncoder):
    @property
    def draws_in_training(self) -> bool:
        return False

    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return Mean(dim)


class SeesAll(Mean):
    def weights(self, mask: Tensor, times: Tensor | None) -> Tensor:
        return (mask / mask.sum(dim=-1, keepdim=True).clamp(min=1))[:, None, :].expand(-1, mask.shape[1], -1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SeesTheFuture(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return SeesAll(dim)


class SeesPadding(Mean):
    def weights(self, mask: Tensor, times: Tensor | None) -> Tensor:
        return super().weights(torch.ones_like(mask), times)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadsPadding(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return SeesPadding(dim)


class Undivided(Mean):
    def weights(self, mask: Tensor, times: Tensor | None) -> Tensor:
        return super().weights(mask, times) / mask.any(dim=1)[:, None, None]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DividesByNothing(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return Undivided(dim)


class FewSteps(Mean):
    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        return super().forward(embeddings, mask, times)[:, -1:]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GivesTheLastStateAlone(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return FewSteps(dim)


class AcrossUsers(Mean):
    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        states = super().forward(embeddings, mask, times)
        return states - states.mean(dim=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparesUsers(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return AcrossUsers(dim)


class Counting(Mean):
    def forward(self, embeddings: Tensor, mask: Tensor, times: Tensor | None = None) -> Tensor:
        longest = int(mask.sum(dim=1).max().item())
        return super().forward(embeddings, mask, times) if longest else embeddings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AsksForANumber(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return Counting(dim)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DropsUndeclared(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        mean = Mean(dim)
        mean.register_forward_hook(lambda module, _, output: nn.functional.dropout(output, 0.5, module.training))
        return mean


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DropsNothing(LawAbidingEncoder):
    @property
    def draws_in_training(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HasAnIdleLayer(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        mean = Mean(dim)
        mean.idle = nn.Linear(dim, dim)
        return mean


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RefusesLate(LawAbidingEncoder):
    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        if dim % 2:
            raise SettingsError(f"embedding_dim: {dim} is odd")
        return Mean(dim)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForgetsTimes(LawAbidingEncoder):
    reads_times = True


class SinceTheLast(Mean):
    def weights(self, mask: Tensor, times: Tensor | None) -> Tensor:
        assert times is not None
        ages = (times.amax(dim=1, keepdim=True) - times) / 86_400
        return super().weights(mask, times) * torch.exp(-ages)[:, None, :]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SeesLaterTimes(LawAbidingEncoder):
    reads_times = True

    def build(self, *, dim: int, sequence_length: int) -> nn.Module:
        return SinceTheLast(dim)


class CrossEntropy(nn.Module):
    def forward(self, inputs: ObjectiveInputs) -> Tensor:
        return nn.functional.cross_entropy(*self.scored(inputs))

    def scored(self, inputs: ObjectiveInputs) -> tuple[Tensor, Tensor]:
        positions = inputs.valid_positions()
        states = nn.functional.embedding(positions, inputs.states.flatten(0, 1))
        return states @ inputs.embeddings.T, inputs.sequences[:, 1:].flatten()[positions]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LawAbidingObjective(Objective):
    @property
    def draws_in_training(self) -> bool:
        return False

    def competitors(self) -> Competitors:
        return Competitors(kind="sampled", number=5)

    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return CrossEntropy()


class ByPosition(CrossEntropy):
    def forward(self, inputs: ObjectiveInputs) -> Tensor:
        return nn.functional.cross_entropy(*self.scored(inputs), reduction="none")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GivesManyNumbers(LawAbidingObjective):
    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return ByPosition()


class Everywhere(CrossEntropy):
    def scored(self, inputs: ObjectiveInputs) -> tuple[Tensor, Tensor]:
        return inputs.states.flatten(0, 1) @ inputs.embeddings.T, inputs.sequences[:, 1:].flatten()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CountsPadding(LawAbidingObjective):
    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return Everywhere()


class Summed(CrossEntropy):
    def forward(self, inputs: ObjectiveInputs) -> Tensor:
        return nn.functional.cross_entropy(*self.scored(inputs), reduction="sum")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SumsUp(LawAbidingObjective):
    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return Summed()


class OwnItems(CrossEntropy):
    def scored(self, inputs: ObjectiveInputs) -> tuple[Tensor, Tensor]:
        scores, targets = super().scored(inputs)
        return scores[:, : int(targets.max()) + 1], targets


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IgnoresWhatItAskedFor(LawAbidingObjective):
    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return OwnItems()


class Searching(CrossEntropy):
    def scored(self, inputs: ObjectiveInputs) -> tuple[Tensor, Tensor]:
        is_valid = inputs.mask[:, :-1]
        return inputs.states[is_valid] @ inputs.embeddings.T, inputs.sequences[:, 1:][is_valid]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LooksForItsPositions(LawAbidingObjective):
    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return Searching()


class Noisy(CrossEntropy):
    def scored(self, inputs: ObjectiveInputs) -> tuple[Tensor, Tensor]:
        scores, targets = super().scored(inputs)
        return scores + torch.rand_like(scores), targets


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AddsNoiseUndeclared(LawAbidingObjective):
    def build(self, *, dim: int, num_items: int) -> nn.Module:
        return Noisy()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HasAnIdleParameter(LawAbidingObjective):
    def build(self, *, dim: int, num_items: int) -> nn.Module:
        loss = CrossEntropy()
        loss.idle = nn.Parameter(torch.zeros(()))
        return loss
