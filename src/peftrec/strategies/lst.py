"""Ladder Side-Tuning (LST; Sung, Cho & Bansal, NeurIPS 2022, arXiv:2206.06522) on hidden states of frozen towers.

A second decoupled strategy beside IISAN. With the same layers both read the same states, so that one store serves both.
How the ladder differs from the published one is in `peftrec.models.side_networks.ladder_network`.
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
class LST(Strategy):
    """The paper's reduction by default, over the states that IISAN reads by default."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "pooled_states"
    identity_at_start: ClassVar[bool] = True

    layers: Layers = "every_second"
    """Hidden states with a side layer: a rule by name, or a list, strictly increasing, in which k is the k-th block's.
    The embedding layer's, 0, starts the ladder and is always read. `all` is the published code's default; its T5-base
    runs leave out every fourth block, the lowest first: [2, 3, 4, 6, 7, 8, 10, 11, 12]."""
    reduction: int = Field(default=8, ge=1)
    """r: the ladder is as wide as a tower divided by it."""

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
        from peftrec.models.side_networks.ladder_network import LadderNetwork

        indices = self.reads(towers.depths()).layers
        network = LadderNetwork(
            towers.widths(),
            {name: len(states) - 1 for name, states in indices.items()},
            reduction=self.reduction,
            embedding_dim=embedding_dim,
        )
        return FrozenStatesEncoder(towers, network, indices=indices, introduced=network.introduced())
