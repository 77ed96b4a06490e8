"""DTL and DTL+ (Fu, Zhu & Wu, AAAI 2024, arXiv:2312.07856): a thin network that writes back to the upper blocks.

Equations, and what differs from the authors' code, are in `peftrec.models.side_networks.write_back`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.towers.names import StateForm, TowerName
from peftrec.strategies.base import ReadKind, Stored, Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.side_networks.write_back import WriteBack
    from peftrec.models.towers.tower import Tower
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DTL(Strategy):
    """The published setting for ViT-B/16 by default: rank 2, the upper half of the blocks written to."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "block_inputs"
    identity_at_start: ClassVar[bool] = True

    rank: int = Field(default=2, ge=1)
    """r of the matrices beside each block."""
    first_written: int | None = Field(default=None, ge=0)
    """M: the lowest block, from 0, that is written to. Null is half of a tower's blocks, the published 6 of 12."""
    sharpness: float = Field(default=100.0, gt=0)
    """beta of the activation; at the published 100 it is nearly max(r, 0)."""
    fusion: int = Field(default=0, ge=0)
    """Height and width of the convolution over patches, DTL+; 0 is none. The default of the authors' code is 3."""

    @property
    def draws_in_training(self) -> bool:
        return False

    @property
    def stored_form(self) -> StateForm:
        return "tokens"

    def stored(self, depths: Mapping[TowerName, int]) -> Stored:
        """Return what enters every block up to the first that reads what was written."""
        firsts = {name: self._first_written(name, depth) for name, depth in depths.items()}
        return Stored(form=self.stored_form, layers={name: tuple(range(first + 2)) for name, first in firsts.items()})

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import BesideTowersEncoder

        for tower in towers.present().values():
            tower.require_blocks()
        if self.fusion and not any(tower.modality == "image" for tower in towers.present().values()):
            raise SettingsError(
                "strategy.fusion: there is no image tower, and titles have no grid; set strategy.fusion=0"
            )
        beside = {name: self._beside(tower) for name, tower in towers.present().items()}
        return BesideTowersEncoder(towers, beside, embedding_dim=embedding_dim)

    def _beside(self, tower: "Tower") -> "WriteBack":
        from peftrec.models.side_networks.write_back import WriteBack

        network = WriteBack(
            tower.width,
            num_blocks=tower.num_blocks,
            rank=self.rank,
            first_written=self._first_written(tower.name, tower.num_blocks),
            sharpness=self.sharpness,
            num_prefix_tokens=tower.num_prefix_tokens,
        )
        if self.fusion and tower.modality == "image" and not tower.family.has_grid:
            raise SettingsError(
                f"strategy.fusion: the patches of a {tower.family.model} do not come row by row on one grid; set "
                "strategy.fusion=0"
            )
        if self.fusion and tower.modality == "image":
            network.fuse_patches(tower.width, kernel=self.fusion)
        return network

    def _first_written(self, tower: TowerName, num_blocks: int) -> int:
        first = num_blocks // 2 if self.first_written is None else self.first_written
        if first >= num_blocks:
            raise SettingsError(
                f"strategy.first_written: {first}, and the {tower} tower has blocks 0 to {num_blocks - 1}; take "
                "one of them, or null for the upper half"
            )
        return first
