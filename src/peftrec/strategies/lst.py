"""Ladder Side-Tuning (LST; Sung, Cho & Bansal, NeurIPS 2022, arXiv:2206.06522) on hidden states of frozen towers.

A second decoupled strategy beside IISAN. How the ladder differs from the published one is in
`peftrec.models.side_networks.ladder`. The published code has a side layer for every block (`layers=all`); its T5-base
runs leave out every fourth, the lowest first: `layers=[2,3,4,6,7,8,10,11,12]`.
"""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.side_networks.side_layers import reduced_width
from peftrec.models.towers.names import TowerName
from peftrec.strategies.beside_states import BesideStates

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LST(BesideStates):
    """The paper's reduction by default."""

    reduction: int = Field(default=8, ge=1)
    """r: the ladder is as wide as a tower divided by it."""

    def beside(self, width: int, *, num_layers: int, tower: TowerName) -> "nn.Module":
        from peftrec.models.side_networks.ladder import Ladder

        side = reduced_width(width, self.reduction, tower=tower)
        return Ladder(width, side=side, num_layers=num_layers)
