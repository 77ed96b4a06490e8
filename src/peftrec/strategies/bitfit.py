"""BitFit (Ben Zaken et al., ACL 2022, arXiv:2106.10199): only the towers' bias vectors train."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.strategies.adapted_blocks import ALL, AdaptedBlocks

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BitFit(AdaptedBlocks):
    """All biases: linear layers, layer norms, and the patch convolution. Of chosen blocks, theirs, and that of the norm
    after the last block."""

    identity_at_start: ClassVar[bool] = True

    @property
    def draws_in_training(self) -> bool:
        return False

    def refusal_of_int8(self) -> None:
        return None

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import TowerItemEncoder

        for name, tower in towers.present().items():
            chosen = self.blocks_of(tower)
            among = tower.named_parameters() if self.blocks == ALL else tower.open_parameters(chosen)
            biases = [parameter for name, parameter in among if name.endswith(".bias")]
            if not biases:
                raise SettingsError(f"strategy: the {name} tower has no bias to train; choose another strategy")
            tower.requires_grad_(False)
            for bias in biases:
                bias.requires_grad_(True)
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)
