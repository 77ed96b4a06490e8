"""IISAN-Versa (arXiv:2411.02992): IISAN's side network on two towers of different widths and depths.

Group layer-dropping brings towers of any depth to one block a group; the inter branch pairs blocks from the top, at
the narrower tower's width. With `states=store` the states are computed once, as in all of the paper's runs.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.side_networks.options import (
    SIDE_GROUPS,
    Activation,
    BlockOptions,
    Branch,
    Branches,
    Layers,
    Mixing,
)
from peftrec.models.side_networks.side_layers import branches_over, checked_layers, last_layers_of_groups
from peftrec.models.towers.names import Modality
from peftrec.strategies.base import ReadKind, Reads, Strategy

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.side_networks.side_network import SideNetwork, SideTower
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IISANVersa(Strategy, BlockOptions):
    """The published setting by default: six groups, three branches, gates, dense blocks of bottleneck 64."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "pooled_states"
    identity_at_start: ClassVar[bool] = True
    finer_groups: ClassVar[tuple[str, ...]] = SIDE_GROUPS

    num_groups: int = Field(default=6, ge=1)
    """Groups that each tower's blocks are split into; the last state of each is read, and the embedding layer's.
    A tower of at most as many blocks keeps them all."""
    text_layers: Layers | None = None
    """Hidden states of the text tower to read in place of those of the groups: a rule by name, or a list, strictly
    increasing, in which 0 is the embedding layer's and k the k-th block's."""
    image_layers: Layers | None = None
    """The same for the image tower."""
    text_bottleneck: int = Field(default=64, ge=1)
    """Width of the inner layer of the text branch's blocks."""
    image_bottleneck: int = Field(default=64, ge=1)
    """The same for the image branch."""
    inter_bottleneck: int | None = Field(default=None, ge=1)
    """Null takes that of the narrower tower, and of the text tower where both are as wide (published code)."""
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

    def reads(self, depths: Mapping[Modality, int]) -> Reads:
        chosen: dict[Modality, Layers | None] = {"image": self.image_layers, "text": self.text_layers}
        for name, layers in chosen.items():
            if layers is not None and name not in depths:
                raise SettingsError(f"strategy.{name}_layers: there is no {name} tower; set it to null")
        indices: dict[Modality, tuple[int, ...]] = {}
        for name, num_blocks in depths.items():
            layers = chosen[name]
            indices[name] = checked_layers(
                f"strategy.{name}_layers",
                last_layers_of_groups(num_blocks, self.num_groups) if layers is None else layers,
                modality=name,
                num_blocks=num_blocks,
                starts_from_embedding=self.starts_from_embedding,
            )
        return Reads(kind=self.read_kind, layers=indices)

    def _network(
        self, widths: dict[Modality, int], indices: Mapping[Modality, tuple[int, ...]], embedding_dim: int
    ) -> "SideNetwork":
        from peftrec.models.side_networks.side_alignment import StateAlignment
        from peftrec.models.side_networks.side_network import SideNetwork

        num_blocks = {name: len(states) - int(self.starts_from_embedding) for name, states in indices.items()}
        branches = self._branches(widths, num_blocks, embedding_dim)
        is_unequal = len(set(widths.values())) > 1
        return SideNetwork(
            branches,
            embedding_dim=embedding_dim,
            starts_from_embedding=self.starts_from_embedding,
            alignment=(
                StateAlignment(widths, num_steps=min(num_blocks.values()))
                if is_unequal and "inter" in branches
                else None
            ),
        )

    def _branches(
        self, widths: dict[Modality, int], num_blocks: dict[Modality, int], embedding_dim: int
    ) -> "dict[Branch, SideTower]":
        """Build the branches; intra ones narrow in their first output layer, inter in its second (published code)."""
        from peftrec.models.side_networks.side_blocks import layer_builder
        from peftrec.models.side_networks.side_network import SideBlock, SideTower

        bottlenecks: dict[Modality, int] = {"image": self.image_bottleneck, "text": self.text_bottleneck}
        build = partial(SideTower, embedding_dim=embedding_dim, mixing=self.mixing)
        block = partial(SideBlock, activation=self.activation, layer=layer_builder(self))
        towers: dict[Branch, SideTower] = {}
        for branch in branches_over(list(widths), self.branches):
            if branch == "inter":
                narrower: Modality = "image" if widths["image"] < widths["text"] else "text"
                towers[branch] = build(
                    widths[narrower],
                    num_blocks=min(num_blocks.values()),
                    block=partial(block, bottleneck=self.inter_bottleneck or bottlenecks[narrower]),
                )
            else:
                towers[branch] = build(
                    widths[branch],
                    num_blocks=num_blocks[branch],
                    block=partial(block, bottleneck=bottlenecks[branch]),
                    out_dim=embedding_dim,
                )
        return towers
