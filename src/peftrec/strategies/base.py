"""The contract of a strategy, the axis under comparison."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.models.towers.names import OUTPUT, Modality

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.tower import Towers

ReadKind = Literal["output_vectors", "pooled_states", "token_states", "block_inputs"]
"""What is taken from a tower: its output vector; hidden states pooled to one vector a layer; the states of all tokens;
or what enters its blocks, which is then written back to as well."""

STORED_KINDS: frozenset[ReadKind] = frozenset({"output_vectors", "pooled_states"})
"""What a hidden-state store can hold. Block inputs are no result of a tower alone: they depend on what is written."""


@plain_dataclass(frozen=True, kw_only=True)
class Reads:
    """What a strategy takes from the towers."""

    kind: ReadKind
    layers: Mapping[Modality, tuple[int, ...]]
    """By tower: 0 is the embedding layer's state, k the k-th block's, OUTPUT the tower's output."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Strategy(ABC):
    """One way to adapt pretrained towers to recommendation; its fields are its hyper-parameters.

    A strategy may change the item encoder and nothing else: loop, loss, split, user encoder and evaluator are shared.
    """

    reads_content: ClassVar[bool] = True
    """Whether items are encoded from text and images (False: from their ids, without towers)."""

    keeps_towers_frozen: ClassVar[bool] = False
    """Whether pretrained weights stay as they are: the towers are then in eval mode, and no gradient enters them."""

    read_kind: ClassVar[ReadKind] = "output_vectors"
    """What is taken from the towers. With `keeps_towers_frozen` it decides whether a store can stand in for them."""

    identity_at_start: ClassVar[bool] = False
    """Whether the adapted towers compute, before the first step, bit for bit what the pretrained ones compute."""

    fewest_blocks: ClassVar[int] = 1
    """Of the shallowest tower that it can adapt."""

    finer_groups: ClassVar[tuple[str, ...]] = ()
    """Names of groups of parameters that may have learning rates of their own (`learning_rates.finer`); those that a
    variant has, with their parameters, are its encoder's `finer_groups()`."""

    states: Literal["live", "store"] = "live"
    """`store` reads what frozen towers compute from a store that is built once."""

    display_name: Place[str | None] = None
    """What tables for papers call it; null makes words of the yaml's name."""

    def __post_init__(self) -> None:
        if self.states == "store" and not (self.keeps_towers_frozen and self.read_kind in STORED_KINDS):
            raise ValueError(
                "states=store needs a strategy that leaves the towers frozen and reads their vectors; use states=live"
            )

    @property
    def draws_in_training(self) -> bool:
        """Whether what is added to the towers draws random numbers in training, as dropout does; several processes
        then draw each for itself, and their number decides the result. Towers that train say so themselves."""
        return True

    def reads(self, depths: Mapping[Modality, int]) -> Reads:
        """Return what is taken from towers of so many blocks; by default the output vector of each.

        Raises SettingsError for layers that a tower does not have.
        """
        return Reads(kind=self.read_kind, layers=dict.fromkeys(depths, (OUTPUT,)))

    @abstractmethod
    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        """Build the item encoder on `towers`, whose parameters it may train, freeze, wrap or read.

        With `states=store` the towers are on the meta device: they have shapes and no values.
        `num_items` is the size of the catalogue, for encoders that read ids.
        Raises SettingsError where a target matches nothing, or not every block of every tower.
        """
