"""Adapters (Houlsby et al., ICML 2019, arXiv:1902.00751): two bottlenecks in every block.

adapter(x) = x + W_up relu(W_down x + b_down) + b_up, after the dense layer of the attention output and of the
feed-forward output, before residual and norm.
"""

from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.towers.tower_sites import sites_by_tower
from peftrec.strategies.adapted_blocks import AdaptedBlocks

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adapter(AdaptedBlocks):
    """The paper's setting by default; starts near the identity, not at it."""

    bottleneck: int = Field(default=64, ge=1)
    """Width of an adapter's inner layer."""
    sites: tuple[str, ...] = Field(default=("attention_output", "ffn_output"), min_length=1)
    """Layers that an adapter follows, by names that are the same for every family (docs/strategies.md lists them);
    `text.ffn_output` is asked of the text tower alone."""

    @property
    def draws_in_training(self) -> bool:
        return False

    def refusal_of_int8(self) -> None:
        return None

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import TowerItemEncoder
        from peftrec.models.side_networks.adapters import AdaptedLinear
        from peftrec.models.side_networks.side_network import SideBlock

        towers.requires_grad_(False)
        sites = sites_by_tower(self.sites, towers)
        for name, tower in towers.present().items():
            for path in tower.paths_of(sites[name], self.blocks_of(tower)):
                layer = tower.encoder.get_submodule(path)
                adapter = SideBlock(int(layer.out_features), self.bottleneck)  # type: ignore[arg-type]
                tower.encoder.set_submodule(path, AdaptedLinear(layer, adapter))
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)
