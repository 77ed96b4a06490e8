"""Full fine-tuning: every parameter of every tower trains."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.item_encoder import ItemEncoder, TowerItemEncoder
from peftrec.models.towers.towers import Towers
from peftrec.strategies.base import Strategy


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Full(Strategy):
    """The reference in cost and the strong baseline in quality."""

    identity_at_start: ClassVar[bool] = True

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        return TowerItemEncoder(towers.requires_grad_(True), embedding_dim=embedding_dim)
