"""The modules of `output_adapter`."""

from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.item_encoder import FusionHead
from peftrec.models.towers.names import TowerName


class AdaptedOutputs(nn.Module):
    """v + up(GELU(down(v))) for each tower's vector v, then the head that strategies on output vectors share."""

    def __init__(self, widths: dict[TowerName, int], *, bottleneck: int, dropout: float, embedding_dim: int) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(width, bottleneck), nn.GELU(), nn.Linear(bottleneck, width), nn.Dropout(dropout)
                )
                for name, width in widths.items()
            }
        )
        self.head = FusionHead(widths, embedding_dim=embedding_dim)

    def forward(self, states: dict[TowerName, Float[Tensor, "item state hidden"]]) -> Float[Tensor, "item dim"]:
        vectors = {name: tensor[:, 0] for name, tensor in states.items()}  # one state of each tower is read
        return self.head({name: vector + self.adapters[name](vector) for name, vector in vectors.items()})
