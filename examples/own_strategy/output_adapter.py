"""A bottleneck on the output vector of each frozen tower, live or stored."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.strategies.base import Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OutputAdapter(Strategy):
    """The towers stay as they are, so that what they say of an item can be computed once and stored."""

    keeps_towers_frozen: ClassVar[bool] = True
    identity_at_start: ClassVar[bool] = True

    bottleneck: int = Field(default=16, ge=1)
    """Width between the two layers of an adapter."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of what is added to a vector."""

    @property
    def draws_in_training(self) -> bool:
        return self.dropout > 0

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from output_adapter_network import AdaptedOutputs

        from peftrec.models.item_encoder import FrozenStatesEncoder

        network = AdaptedOutputs(
            towers.widths(), bottleneck=self.bottleneck, dropout=self.dropout, embedding_dim=embedding_dim
        )
        layers = self.reads(towers.depths()).layers
        return FrozenStatesEncoder(towers, network, indices=layers, introduced=network.adapters.parameters())
