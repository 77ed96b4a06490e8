"""Strategies that break one law each, beside one that keeps them all."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.models.item_encoder import FrozenStatesEncoder, ItemEncoder, OutputStateHead, TowerItemEncoder
from peftrec.models.towers.names import OUTPUT, Modality
from peftrec.models.towers.towers import Towers
from peftrec.strategies.base import Reads, Strategy


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LawAbiding(Strategy):
    """Trains the uppermost blocks."""

    identity_at_start: ClassVar[bool] = True

    @property
    def draws_in_training(self) -> bool:
        return False

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        towers.requires_grad_(False)
        for tower in towers.present().values():
            tower.blocks()[-1:].requires_grad_(True)
        return self.spoil(TowerItemEncoder(towers, embedding_dim=embedding_dim))

    def spoil(self, encoder: ItemEncoder) -> ItemEncoder:
        return encoder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LawAbidingReader(LawAbiding):
    """Reads output vectors of frozen towers."""

    keeps_towers_frozen: ClassVar[bool] = True

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        head = OutputStateHead(towers.widths(), embedding_dim=embedding_dim)
        return self.encoder_class()(towers, head, indices=self.reads(towers.depths()).layers)

    def encoder_class(self) -> type[FrozenStatesEncoder]:
        return FrozenStatesEncoder


class ChangedOutput(LawAbiding):
    """Changes what the encoder returns; each of those below says how, so that there is nothing to return here."""

    def spoil(self, encoder: ItemEncoder) -> ItemEncoder:
        encoder.register_forward_hook(lambda module, _, output: self.change(module, output))
        return encoder

    def change(self, module: nn.Module, output: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NotFinite(ChangedOutput):
    def change(self, module: nn.Module, output: Tensor) -> Tensor:
        return output / 0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CentredOnTheBatch(ChangedOutput):
    def change(self, module: nn.Module, output: Tensor) -> Tensor:
        return output - output.mean(dim=0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DrawsWhenScoring(ChangedOutput):
    def change(self, module: nn.Module, output: Tensor) -> Tensor:
        return output if module.training else output + torch.rand(())


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DrawsUndeclared(ChangedOutput):
    def change(self, module: nn.Module, output: Tensor) -> Tensor:
        return nn.functional.dropout(output, 0.5, module.training)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeclaresDraws(LawAbiding):
    @property
    def draws_in_training(self) -> bool:
        return True


class ThawingEncoder(TowerItemEncoder):
    def train(self, mode: bool = True) -> "ThawingEncoder":
        self.towers.requires_grad_(True)
        return super().train(mode)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ThawsLater(LawAbiding):
    """After the optimizer's groups have been made."""

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        towers.requires_grad_(False)
        return ThawingEncoder(towers, embedding_dim=embedding_dim)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeclaresWhatNothingReads(LawAbiding):
    def spoil(self, encoder: ItemEncoder) -> ItemEncoder:
        encoder.unread = nn.Parameter(torch.zeros(3))
        return encoder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MovesWhatIsFrozen(ChangedOutput):
    @torch.no_grad()
    def change(self, module: Any, output: Tensor) -> Tensor:
        next(iter(module.towers.parameters())).mul_(1.01 if module.training else 1.0)
        return output


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainsFrozenTowers(LawAbiding):
    keeps_towers_frozen: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DeclaresNoIdentity(LawAbiding):
    identity_at_start: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StartsElsewhere(LawAbiding):
    @torch.no_grad()
    def spoil(self, encoder: ItemEncoder) -> ItemEncoder:
        for parameter in encoder.towers.parameters():
            parameter.mul_(1.001)
        return encoder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadsOtherLayers(LawAbidingReader):
    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        head = OutputStateHead(towers.widths(), embedding_dim=embedding_dim)
        return FrozenStatesEncoder(towers, head, indices=dict.fromkeys(towers.present(), (0,)))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadsNoTower(LawAbiding):
    def reads(self, depths: Mapping[Modality, int]) -> Reads:
        return Reads(kind="token_states", layers={"text": (OUTPUT,)})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ForgetsABuffer(LawAbiding):
    """What a seed decided, and no checkpoint holds."""

    def spoil(self, encoder: ItemEncoder) -> ItemEncoder:
        factor = torch.rand(())
        encoder.register_forward_hook(lambda _, __, output: output * factor)
        return encoder


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StartsAnywhere(LawAbiding):
    def spoil(self, encoder: Any) -> ItemEncoder:
        with torch.no_grad():
            encoder.head.fusion.bias.fill_(float(np.random.default_rng().random()))
        return encoder


class DoublesLiveStates(FrozenStatesEncoder):
    def states(self, batch: Any) -> dict[Modality, Tensor]:
        factor = 2 if self._reader is None else 1
        return {name: factor * states for name, states in super().states(batch).items()}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OtherFromAStore(LawAbidingReader):
    def encoder_class(self) -> type[FrozenStatesEncoder]:
        return DoublesLiveStates
