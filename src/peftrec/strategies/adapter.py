"""Adapters (Houlsby et al., ICML 2019, arXiv:1902.00751): two bottlenecks in every block.

adapter(x) = x + W_up relu(W_down x + b_down) + b_up, after the dense layer of the attention output and of the
feed-forward output, before residual and norm.
"""

from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.models.item_encoder import ItemEncoder, TowerItemEncoder
from peftrec.models.side_networks.side_network import SideBlock
from peftrec.models.towers.towers import Towers
from peftrec.strategies.base import Strategy


class AdaptedLinear(nn.Module):
    """A pretrained layer followed by an adapter."""

    def __init__(self, layer: nn.Module, adapter: SideBlock) -> None:
        super().__init__()
        self.layer = layer
        self.adapter = adapter

    def forward(self, states: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch out"]:
        return self.adapter(self.layer(states))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adapter(Strategy):
    """The paper's setting by default; starts near the identity, not at it."""

    bottleneck: int = Field(default=64, ge=1)
    sites: tuple[str, ...] = Field(default=("attention_output", "ffn_output"), min_length=1)
    """Generic names of the layers that an adapter follows."""

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        towers.requires_grad_(False)
        for tower in towers.present().values():
            for path in tower.paths_of(self.sites):
                layer = tower.encoder.get_submodule(path)
                adapter = SideBlock(int(layer.out_features), self.bottleneck)  # type: ignore[arg-type]
                tower.encoder.set_submodule(path, AdaptedLinear(layer, adapter))
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)
