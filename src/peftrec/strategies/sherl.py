"""SHERL (Diao et al., ECCV 2024, arXiv:2407.07523): all lower blocks are read, and the last one runs on what was read.

Equations, and what differs from the authors' code, are in `peftrec.models.side_networks.late_route`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.side_networks.side_layers import reduced_width
from peftrec.models.towers.names import StateForm, TowerName
from peftrec.strategies.base import ReadKind, Stored, Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.side_networks.late_route import LateRoute
    from peftrec.models.towers.tower import Tower
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SHERL(Strategy):
    """About as many parameters as IISAN by default; the authors' BERT runs have 512 of 768 dimensions."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "block_inputs"
    identity_at_start: ClassVar[bool] = True

    reduction: int = Field(default=4, ge=1)
    """The network is as wide as a tower divided by it."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of what the last block reads."""

    @property
    def fewest_blocks(self) -> int:
        return 2

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    @property
    def stored_form(self) -> StateForm:
        return "tokens"

    def stored(self, depths: Mapping[TowerName, int]) -> Stored:
        """Return what enters every block; the last one runs on it."""
        return Stored(form=self.stored_form, layers={name: tuple(range(depth)) for name, depth in depths.items()})

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import BesideTowersEncoder

        for tower in towers.present().values():
            tower.require_blocks()
        beside = {name: self._beside(tower) for name, tower in towers.present().items()}
        return BesideTowersEncoder(towers, beside, embedding_dim=embedding_dim)

    def _beside(self, tower: "Tower") -> "LateRoute":
        from peftrec.models.side_networks.late_route import LateRoute

        inner = reduced_width(tower.width, self.reduction, tower=tower.name)
        if tower.num_blocks < self.fewest_blocks:
            raise SettingsError(
                f"towers.{tower.name}: one block, and SHERL reads those below the last; take a deeper tower"
            )
        return LateRoute(tower.width, num_blocks=tower.num_blocks, inner=inner, dropout=self.dropout)
