"""Res-Tuning-Bypass (Jiang et al., NeurIPS 2023, arXiv:2310.19859) on hidden states of frozen towers.

The cheapest of the decoupled strategies: two small bottlenecks a state, and no network as wide as a tower. How it
differs from the published one is in `peftrec.models.side_networks.bypass`.
"""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.towers.names import TowerName
from peftrec.strategies.beside_states import BesideStates

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ResTuning(BesideStates):
    """The bottleneck of the authors' code by default, which pairs every block (`layers=all`)."""

    bottleneck: int = Field(default=10, ge=1)
    """m: what a tuner brings the width of its tower down to; 10 in the authors' code."""

    def beside(self, width: int, *, num_layers: int, tower: TowerName) -> "nn.Module":
        from peftrec.models.side_networks.bypass import Bypass

        return Bypass(width, num_layers=num_layers, bottleneck=self.bottleneck)
