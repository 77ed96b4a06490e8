"""Frozen towers: only the head and the user encoder train, on the towers' output vectors."""

from typing import ClassVar

from jaxtyping import Float
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.models.item_encoder import FrozenStatesEncoder, FusionHead, ItemEncoder
from peftrec.models.towers.towers import OUTPUT, Modality, Towers
from peftrec.strategies.base import Strategy


class OutputStateHead(nn.Module):
    """The fusion head on the one state that is read."""

    def __init__(self, widths: dict[Modality, int], *, embedding_dim: int) -> None:
        super().__init__()
        self.head = FusionHead(widths, embedding_dim=embedding_dim)

    def forward(self, states: dict[Modality, Float[Tensor, "item state hidden"]]) -> Float[Tensor, "item dim"]:
        return self.head({name: tensor[:, 0] for name, tensor in states.items()})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Frozen(Strategy):
    """The floor that every adaptation must beat; cacheable like IISAN."""

    reads_frozen_towers: ClassVar[bool] = True
    identity_at_start: ClassVar[bool] = True

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        head = OutputStateHead(towers.widths(), embedding_dim=embedding_dim)
        return FrozenStatesEncoder(towers, head, indices=dict.fromkeys(towers.present(), (OUTPUT,)))
