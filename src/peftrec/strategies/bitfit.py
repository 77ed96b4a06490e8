"""BitFit (Ben Zaken et al., ACL 2022, arXiv:2106.10199): only the towers' bias vectors train."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.strategies.base import Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.tower import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BitFit(Strategy):
    """All biases: linear layers, layer norms, and the patch convolution."""

    identity_at_start: ClassVar[bool] = True

    @property
    def draws_in_training(self) -> bool:
        return False

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import TowerItemEncoder

        for modality, tower in towers.present().items():
            is_bias = {name: name.endswith(".bias") for name, _ in tower.named_parameters()}
            if not any(is_bias.values()):
                raise SettingsError(f"strategy: the {modality} tower has no bias to train; choose another strategy")
            for name, parameter in tower.named_parameters():
                parameter.requires_grad_(is_bias[name])
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)
