"""VQT, Visual Query Tuning (Tu, Mai & Chao, CVPR 2023, arXiv:2212.03220): prompts ask every frozen block what it sees.

Equations, and what differs from the authors' code, are in `peftrec.models.side_networks.query_prompts`.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.towers.names import OUTPUT, StateForm, TowerName
from peftrec.strategies.base import ReadKind, Reads, Stored, Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.side_networks.query_prompts import QueryPrompts
    from peftrec.models.towers.tower import Tower
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VQT(Strategy):
    """One prompt a block by default, as in most of the authors' runs; the head reads the answers of all blocks."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "token_states"
    identity_at_start: ClassVar[bool] = True

    num_prompts: int = Field(default=1, ge=1)
    """T: prompts of each block. The head reads (1 + blocks x T) times as many numbers as a tower is wide."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of the prompts, in training."""

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    @property
    def stored_form(self) -> StateForm:
        return "tokens"

    def reads(self, depths: Mapping[TowerName, int]) -> Reads:
        layers = {name: (*range(depth), OUTPUT) for name, depth in depths.items()}
        return Reads(kind=self.read_kind, layers=layers)

    def stored(self, depths: Mapping[TowerName, int]) -> Stored:
        """Return all states, of which keys, values and the tower's vector are made; prompts still pass its blocks."""
        layers = {name: tuple(range(depth + 1)) for name, depth in depths.items()}
        return Stored(form=self.stored_form, layers=layers, keeps_blocks=True)

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import BesideTowersEncoder

        beside = {name: self._beside(tower) for name, tower in towers.present().items()}
        widths = {name: prompts.out_width() for name, prompts in beside.items()}
        return BesideTowersEncoder(towers, beside, embedding_dim=embedding_dim, widths=widths)

    def _beside(self, tower: "Tower") -> "QueryPrompts":
        from peftrec.models.side_networks.query_prompts import SITES, QueryPrompts

        tower.require_blocks()
        if tower.family.attends_by_position:
            raise SettingsError(
                f"towers.{tower.name}: a {tower.family.model} weighs tokens by where they stand from each other, "
                "and a prompt of VQT stands nowhere; take another tower, or strategy=unipt, which reads all tokens too"
            )
        tower.paths_of(SITES)  # it has them all, or says which it lacks
        return QueryPrompts(
            tower.width,
            num_blocks=tower.num_blocks,
            num_prompts=self.num_prompts,
            patch_values=_patch_values(tower),
            dropout=self.dropout,
        )


def _patch_values(tower: "Tower") -> int:
    """Return how many numbers a patch has; a title has none, and its tower's width stands in (see the module)."""
    from peftrec.models.towers.configs import COLOURS, sides_of

    return tower.width if tower.modality == "text" else COLOURS * math.prod(sides_of(tower.encoder.config.patch_size))
