"""Frozen towers: only the head and the user encoder train, on the towers' output vectors."""

from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.base import Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Frozen(Strategy):
    """What every adaptation must beat; cacheable like IISAN."""

    keeps_towers_frozen: ClassVar[bool] = True
    identity_at_start: ClassVar[bool] = True

    @property
    def draws_in_training(self) -> bool:
        return False

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import FrozenStatesEncoder, OutputStateHead

        head = OutputStateHead(towers.widths(), embedding_dim=embedding_dim)
        return FrozenStatesEncoder(towers, head, indices=self.reads(towers.depths()).layers)
