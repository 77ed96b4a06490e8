"""What strategies have in common whose network climbs beside each frozen tower, over its pooled states from the
embedding layer's up. With the same layers they read the same states, so that one store serves them."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.side_networks.options import Layers
from peftrec.models.side_networks.side_layers import checked_layers
from peftrec.models.towers.names import OUTPUT, TowerName
from peftrec.strategies.base import ReadKind, Reads, Strategy

if TYPE_CHECKING:
    from torch import nn

    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BesideStates(Strategy):
    """Over the states that IISAN reads by default."""

    keeps_towers_frozen: ClassVar[bool] = True
    read_kind: ClassVar[ReadKind] = "pooled_states"
    identity_at_start: ClassVar[bool] = True

    reads_vector: ClassVar[bool] = False
    """Whether the network reads the tower's output vector too, behind the states."""

    layers: Layers = "every_second"
    """Hidden states that the network climbs over: a rule by name, or a list, strictly increasing, in which k is the
    k-th block's. The embedding layer's, 0, is where it starts, and always read. `all` takes every block's."""

    @property
    def draws_in_training(self) -> bool:
        return False

    def reads(self, depths: Mapping[TowerName, int]) -> Reads:
        behind = (OUTPUT,) if self.reads_vector else ()
        return Reads(
            kind=self.read_kind, layers={name: self._layers(name, depth) + behind for name, depth in depths.items()}
        )

    def _layers(self, tower: TowerName, num_blocks: int) -> tuple[int, ...]:
        return checked_layers(
            "strategy.layers", self.layers, tower=tower, num_blocks=num_blocks, starts_from_embedding=True
        )

    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        from peftrec.models.item_encoder import FrozenStatesEncoder
        from peftrec.models.side_networks.states_network import StatesNetwork

        beside = {
            name: self.beside(tower.width, num_layers=len(self._layers(name, tower.num_blocks)) - 1, tower=name)
            for name, tower in towers.present().items()
        }
        network = StatesNetwork(beside, towers.widths(), embedding_dim=embedding_dim)
        indices = self.reads(towers.depths()).layers
        return FrozenStatesEncoder(towers, network, indices=indices, introduced=network.introduced())

    @abstractmethod
    def beside(self, width: int, *, num_layers: int, tower: TowerName) -> "nn.Module":
        """Build what stands beside one tower: from its states, `Float[item state hidden]`, the embedding layer's, those
        of `num_layers` blocks, and the tower's vector where it is read, it makes what takes the place of that vector,
        `Float[item hidden]`.

        Raises SettingsError where an option does not fit the width.
        """
