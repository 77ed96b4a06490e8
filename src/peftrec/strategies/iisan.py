"""IISAN (Fu et al., SIGIR 2024, arXiv:2404.02059): a side network on hidden states of frozen towers.

With `states=store` this is the paper's cached variant: the same network over states computed once.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.side_networks.options import (
    INTER,
    SIDE_GROUPS,
    Activation,
    BlockOptions,
    Branches,
    Layers,
    Mixing,
    side_groups,
)
from peftrec.models.side_networks.side_layers import branches_over, checked_layers
from peftrec.models.towers.names import TowerName
from peftrec.strategies.base import ReadKind, Reads, Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.side_networks.side_network import SideNetwork
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IISAN(Strategy, BlockOptions):
    """The paper's setting by default: every second state, three branches, gates, dense blocks of bottleneck 64."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "pooled_states"
    identity_at_start: ClassVar[bool] = True
    finer_groups: ClassVar[tuple[str, ...]] = SIDE_GROUPS

    layers: Layers | None = None
    """Hidden states that the blocks read: a rule by name, or a list, strictly increasing, in which 0 is the embedding
    layer's and k the k-th block's. Null is every_second, LayerDrop of the paper."""
    bottleneck: int = Field(default=64, ge=1)
    """Width of a side block's inner layer."""
    branches: Branches = "intra_inter"
    """Which branches there are. With one tower only, `inter` has nothing to fuse and `intra_inter` means `intra`."""
    mixing: Mixing = "gated"
    """`add` replaces the gated mixtures by plain sums."""
    starts_from_embedding: bool = False
    """Start the intra branches at the embedding layer's state instead of zeros, and give it no block."""
    activation: Activation = "relu"
    """What stands between a side block's two matrices."""

    @property
    def draws_in_training(self) -> bool:
        return False

    def finer_groups_over(self, towers: Iterable[TowerName]) -> tuple[str, ...]:
        return side_groups(towers)

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import FrozenStatesEncoder

        indices = self.reads(towers.depths()).layers
        network = self._network(towers.widths(), indices, embedding_dim)
        return FrozenStatesEncoder(
            towers,
            network,
            indices=indices,
            introduced=network.introduced(),
            finer_groups=network.finer_groups(),
        )

    def reads(self, depths: Mapping[TowerName, int]) -> Reads:
        return Reads(kind=self.read_kind, layers={name: self._layers(name, depth) for name, depth in depths.items()})

    def _layers(self, tower: TowerName, num_blocks: int) -> tuple[int, ...]:
        return checked_layers(
            "strategy.layers",
            "every_second" if self.layers is None else self.layers,
            tower=tower,
            num_blocks=num_blocks,
            starts_from_embedding=self.starts_from_embedding,
        )

    def _network(
        self, widths: dict[TowerName, int], indices: Mapping[TowerName, tuple[int, ...]], embedding_dim: int
    ) -> "SideNetwork":
        from peftrec.models.side_networks.side_blocks import layer_builder
        from peftrec.models.side_networks.side_network import SideBlock, SideNetwork, SideTower

        if len(set(widths.values())) > 1 or len({len(chosen) for chosen in indices.values()}) > 1:
            raise SettingsError(
                f"towers: this side network needs towers of one width and depth, these have widths {widths} and "
                f"{ {name: len(chosen) for name, chosen in indices.items()} } states; "
                "take strategy=iisan_versa (or iisan_versa_cached), or choose other towers"
            )
        hidden = next(iter(widths.values()))
        num_states = len(next(iter(indices.values())))
        block = partial(SideBlock, bottleneck=self.bottleneck, activation=self.activation, layer=layer_builder(self))
        towers = {
            branch: SideTower(
                hidden,
                num_blocks=num_states - int(self.starts_from_embedding),
                block=block,
                embedding_dim=embedding_dim,
                mixing=self.mixing,
                num_fused=len(widths) if branch == INTER else 1,
            )
            for branch in branches_over(list(widths), self.branches)
        }
        return SideNetwork(towers, embedding_dim=embedding_dim, starts_from_embedding=self.starts_from_embedding)
