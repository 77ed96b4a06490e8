"""A network on hidden states beside each tower, and the fusion head of the embedded methods over what they make."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.item_encoder import FusionHead
from peftrec.models.towers.names import TowerName


class StatesNetwork(nn.Module):
    """What stands beside each tower makes a vector of its states, which stands in for the tower's."""

    def __init__(
        self, beside: Mapping[TowerName, nn.Module], widths: dict[TowerName, int], *, embedding_dim: int
    ) -> None:
        super().__init__()
        self.beside = nn.ModuleDict({str(name): network for name, network in beside.items()})
        self.head = FusionHead(widths, embedding_dim=embedding_dim)

    def introduced(self) -> list[nn.Parameter]:
        """Return the parameters beside the towers; the head's are the recommender's."""
        return list(self.beside.parameters())

    def image_projection(self) -> nn.Linear | None:
        """Return the head's."""
        return self.head.image_projection()

    def forward(self, states: dict[TowerName, Float[Tensor, "item state hidden"]]) -> Float[Tensor, "item dim"]:
        return self.head({name: self.beside[name](tensor) for name, tensor in states.items()})
