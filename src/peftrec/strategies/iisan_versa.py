"""IISAN-Versa (arXiv:2411.02992): IISAN's side network on towers of different widths and depths.

Group layer-dropping brings towers of any depth to one block a group; the inter branch pairs blocks from the top, at
the narrowest tower's width. With `states=store` the states are computed once, as in all of the paper's runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.fields import Named
from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.side_networks.options import (
    INTER,
    SIDE_GROUPS,
    Activation,
    BlockOptions,
    Branch,
    Branches,
    BranchOptions,
    Layers,
    Mixing,
    side_groups,
)
from peftrec.models.side_networks.side_layers import branches_over, checked_layers, last_layers_of_groups
from peftrec.models.towers.names import FIRST, TowerName
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
    """Null takes that of the narrowest tower, and of the text tower where it is one of those (published code)."""
    others: Annotated[dict[str, BranchOptions], Named(of="towers")] = field(default_factory=dict)
    """The same of towers beside these two, by their names."""
    branches: Branches = "intra_inter"
    """Which branches there are. With one tower only, `inter` has nothing to fuse and `intra_inter` means `intra`."""
    mixing: Mixing = "gated"
    """`add` replaces the gated mixtures by plain sums."""
    starts_from_embedding: bool = False
    """Start the intra branches at the embedding layer's state instead of zeros, and give it no block."""
    activation: Activation = "relu"
    """What stands between a side block's two matrices."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in FIRST:
            if name in self.others:
                raise ValueError(f"{name}: its keys are {name}_layers and {name}_bottleneck")

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
        chosen: dict[TowerName, Layers | None] = {"image": self.image_layers, "text": self.text_layers}
        for name, layers in chosen.items():
            if layers is not None and name not in depths:
                raise SettingsError(f"strategy.{name}_layers: there is no {name} tower; set it to null")
        for name in self.others:
            if name not in depths:
                raise SettingsError(f"strategy.{name}: there is no {name} tower; leave it out")
        chosen |= {name: self._options_of(name).layers for name in depths if name not in FIRST}
        indices: dict[TowerName, tuple[int, ...]] = {}
        for name, num_blocks in depths.items():
            layers = chosen[name]
            indices[name] = checked_layers(
                f"strategy.{name}_layers" if name in FIRST else f"strategy.{name}.layers",
                last_layers_of_groups(num_blocks, self.num_groups) if layers is None else layers,
                tower=name,
                num_blocks=num_blocks,
                starts_from_embedding=self.starts_from_embedding,
            )
        return Reads(kind=self.read_kind, layers=indices)

    def _network(
        self, widths: dict[TowerName, int], indices: Mapping[TowerName, tuple[int, ...]], embedding_dim: int
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
                StateAlignment(widths, num_steps=min(num_blocks.values())) if is_unequal and INTER in branches else None
            ),
        )

    def _branches(
        self, widths: dict[TowerName, int], num_blocks: dict[TowerName, int], embedding_dim: int
    ) -> "dict[Branch, SideTower]":
        """Build the branches; intra ones narrow in their first output layer, inter in its second (published code)."""
        from peftrec.models.side_networks.side_blocks import layer_builder
        from peftrec.models.side_networks.side_network import SideBlock, SideTower

        bottlenecks: dict[TowerName, int] = {"image": self.image_bottleneck, "text": self.text_bottleneck}
        bottlenecks |= {name: self._options_of(name).bottleneck for name in widths if name not in FIRST}
        build = partial(SideTower, embedding_dim=embedding_dim, mixing=self.mixing)
        block = partial(SideBlock, activation=self.activation, layer=layer_builder(self))
        towers: dict[Branch, SideTower] = {}
        for branch in branches_over(list(widths), self.branches):
            if branch == INTER:
                narrowest = min(widths, key=lambda name: (widths[name], name != "text"))
                towers[branch] = build(
                    widths[narrowest],
                    num_blocks=min(num_blocks.values()),
                    block=partial(block, bottleneck=self.inter_bottleneck or bottlenecks[narrowest]),
                    num_fused=len(widths),
                )
            else:
                towers[branch] = build(
                    widths[branch],
                    num_blocks=num_blocks[branch],
                    block=partial(block, bottleneck=bottlenecks[branch]),
                    out_dim=embedding_dim,
                )
        return towers

    def _options_of(self, name: TowerName) -> BranchOptions:
        return self.others.get(name, BranchOptions())
