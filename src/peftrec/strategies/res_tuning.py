"""Res-Tuning-Bypass (Jiang et al., NeurIPS 2023, arXiv:2310.19859) on hidden states of frozen towers.

The cheapest of the decoupled strategies: two small bottlenecks a state, and no network as wide as a tower. It reads the
states that a ladder reads, so that one store serves both. How it differs from the published one is in
`peftrec.models.side_networks.bypass_network`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.side_networks.options import Layers
from peftrec.models.side_networks.side_layers import checked_layers
from peftrec.models.towers.names import Modality
from peftrec.strategies.base import ReadKind, Reads, Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ResTuning(Strategy):
    """The bottleneck of the authors' code by default, over the states that IISAN reads by default."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "pooled_states"
    identity_at_start: ClassVar[bool] = True

    layers: Layers = "every_second"
    """Hidden states with a pair of tuners: a rule by name, or a list, strictly increasing, in which k is the k-th
    block's. The embedding layer's, 0, starts the bypass and is always read. `all` pairs every block."""
    bottleneck: int = Field(default=10, ge=1)
    """m: what a tuner brings the width of its tower down to; 10 in the authors' code."""

    def reads(self, depths: Mapping[Modality, int]) -> Reads:
        layers = {
            name: checked_layers(
                "strategy.layers", self.layers, modality=name, num_blocks=depth, starts_from_embedding=True
            )
            for name, depth in depths.items()
        }
        return Reads(kind=self.read_kind, layers=layers)

    @property
    def draws_in_training(self) -> bool:
        return False

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import FrozenStatesEncoder
        from peftrec.models.side_networks.bypass_network import BypassNetwork

        indices = self.reads(towers.depths()).layers
        network = BypassNetwork(
            towers.widths(),
            {name: len(states) - 1 for name, states in indices.items()},
            bottleneck=self.bottleneck,
            embedding_dim=embedding_dim,
        )
        return FrozenStatesEncoder(towers, network, indices=indices, introduced=network.introduced())
