"""QST, Quantized Side Tuning (Zhang et al., ACL 2024, arXiv:2401.07159): a thin ladder on states of frozen towers.

What it computes, and how it differs from the published one, is in `peftrec.models.side_networks.low_rank_ladder`. The
paper's towers are quantised, to four bits; here they are where `towers.text.weights=int8` says so. It reads the tower's
vector beside the states that `lst` reads.
"""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.side_networks.side_layers import reduced_width
from peftrec.models.towers.names import TowerName
from peftrec.strategies.beside_states import BesideStates

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QST(BesideStates):
    """The authors' reduction and rank by default; they have a side layer for every block (`layers=all`)."""

    reads_vector: ClassVar[bool] = True

    reduction: int = Field(default=16, ge=1)
    """r: the ladder is as wide as a tower divided by it."""
    rank: int = Field(default=16, ge=1)
    """m: what a rung brings the width of its tower down to, before it reaches the ladder's."""

    def beside(self, width: int, *, num_layers: int, tower: TowerName) -> "nn.Module":
        from peftrec.models.side_networks.low_rank_ladder import LowRankLadder

        side = reduced_width(width, self.reduction, tower=tower)
        return LowRankLadder(width, side=side, rank=self.rank, num_layers=num_layers)
