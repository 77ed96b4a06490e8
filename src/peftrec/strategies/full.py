"""Full fine-tuning: every parameter of every tower trains, or of its upper blocks."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.adapted_blocks import ALL, AdaptedBlocks

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Full(AdaptedBlocks):
    """The reference in cost and the strong baseline in quality."""

    identity_at_start: ClassVar[bool] = True

    @property
    def draws_in_training(self) -> bool:
        return False

    def refusal_of_int8(self) -> str:
        return "trains the towers' weights, and whole numbers have no gradient"

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import TowerItemEncoder

        for tower in towers.present().values():
            chosen = self.blocks_of(tower)
            tower.requires_grad_(self.blocks == ALL)
            if self.blocks != ALL:
                for _, parameter in tower.open_parameters(chosen):
                    parameter.requires_grad_(True)
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)
