"""UniPT (Diao et al., CVPR 2024, arXiv:2308.14316): a reader beside frozen towers, of all tokens of all states.

Equations, and what differs from the authors' code, are in `peftrec.models.side_networks.token_reader`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.side_networks.side_layers import reduced_width
from peftrec.models.towers.names import StateForm, TowerName
from peftrec.strategies.base import ReadKind, Reads, Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UniPT(Strategy):
    """About as many parameters as IISAN by default; the authors' CLIP runs keep the whole width (reduction 1)."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "token_states"
    identity_at_start: ClassVar[bool] = True

    reduction: int = Field(default=4, ge=1)
    """The reader is as wide as a tower divided by it."""

    def reads(self, depths: Mapping[TowerName, int]) -> Reads:
        return Reads(kind=self.read_kind, layers={name: tuple(range(depth + 1)) for name, depth in depths.items()})

    @property
    def stored_form(self) -> StateForm:
        return "tokens"

    @property
    def draws_in_training(self) -> bool:
        return False

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import BesideTowersEncoder
        from peftrec.models.side_networks.token_reader import TokenReader

        for tower in towers.present().values():
            tower.require_blocks()
        readers = {
            name: TokenReader(
                tower.width,
                num_states=tower.num_blocks + 1,
                inner=reduced_width(tower.width, self.reduction, tower=name),
            )
            for name, tower in towers.present().items()
        }
        return BesideTowersEncoder(towers, readers, embedding_dim=embedding_dim)
