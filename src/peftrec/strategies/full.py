"""Full fine-tuning: every parameter of every tower trains."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.base import Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.tower import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Full(Strategy):
    """The reference in cost and the strong baseline in quality."""

    identity_at_start: ClassVar[bool] = True

    @property
    def draws_in_training(self) -> bool:
        return False

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import TowerItemEncoder

        return TowerItemEncoder(towers.requires_grad_(True), embedding_dim=embedding_dim)
