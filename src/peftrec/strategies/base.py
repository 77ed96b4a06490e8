"""The contract of a strategy, the axis under comparison."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.towers.names import OUTPUT, StateForm, TowerName

if TYPE_CHECKING:
    from peftrec.models.item_encoder import ItemEncoder
    from peftrec.models.towers.towers import Towers

ReadKind = Literal["output_vectors", "pooled_states", "token_states", "block_inputs"]
"""What is taken from a tower: its output vector; hidden states pooled to one vector a layer; the states of all tokens;
or what enters its blocks, which is then written back to as well."""

_VECTOR_KINDS: frozenset[ReadKind] = frozenset({"output_vectors", "pooled_states"})


@plain_dataclass(frozen=True, kw_only=True)
class Reads:
    """What a strategy takes from the towers."""

    kind: ReadKind
    layers: Mapping[TowerName, tuple[int, ...]]
    """By tower: 0 is the embedding layer's state, k the k-th block's, OUTPUT the tower's output."""


@plain_dataclass(frozen=True, kw_only=True)
class Stored:
    """What a hidden-state store holds for a strategy: what no training step changes."""

    form: StateForm
    layers: Mapping[TowerName, tuple[int, ...]]
    """By tower, as of `Reads`. The last of token states is what enters the lowest block that runs in training; a tower
    of so many blocks runs none."""
    keeps_blocks: bool = False
    """Whether blocks whose tokens are stored stay in the tower, for rows of the strategy's own that pass them."""


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
    """What is taken from the towers."""

    identity_at_start: ClassVar[bool] = False
    """Whether the adapted towers compute, before the first step, bit for bit what the pretrained ones compute."""

    finer_groups: ClassVar[tuple[str, ...]] = ()
    """Names of groups of parameters that may have learning rates of their own (`learning_rates.finer`); those that a
    variant has, with their parameters, are its encoder's `finer_groups()`."""

    states: Literal["live", "store"] = "live"
    """`store` reads what frozen towers, or frozen blocks below those that are adapted, compute from a store that is
    built once."""

    display_name: Place[str | None] = None
    """What tables for papers call it; null makes words of the yaml's name."""

    def __post_init__(self) -> None:
        if self.states == "store" and self.stored_form is None:
            raise ValueError(f"states=store: {self._why_nothing_is_stored()}")

    def finer_groups_over(self, towers: Iterable[TowerName]) -> tuple[str, ...]:
        """Return the names of such groups over towers of these names; those above, where names change nothing."""
        return self.finer_groups

    @property
    def stored_form(self) -> StateForm | None:
        """What a store can hold in place of the towers, or of their lower blocks; None where nothing of them is the
        same in every step."""
        return "pooled" if self.keeps_towers_frozen and self.read_kind in _VECTOR_KINDS else None

    def _why_nothing_is_stored(self) -> str:
        return "it needs a strategy that leaves towers, or their lower blocks, frozen; use states=live"

    @property
    def fewest_blocks(self) -> int:
        """Blocks of the shallowest tower that it can adapt."""
        return 1

    @property
    def draws_in_training(self) -> bool:
        """Whether what is added to the towers draws random numbers in training, as dropout does; several processes
        then draw each for itself, and their number decides the result. Towers that train say so themselves."""
        return True

    def refusal_of_int8(self) -> str | None:
        """Say why it takes no towers whose weights are int8 (`towers.text.weights`); None where it neither trains these
        weights nor reads their values, which of a strategy that leaves the towers frozen is certain."""
        is_certain = self.keeps_towers_frozen or not self.reads_content
        return None if is_certain else "may train the towers' weights, and whole numbers have no gradient"

    def reads(self, depths: Mapping[TowerName, int]) -> Reads:
        """Return what is taken from towers of so many blocks; by default the output vector of each.

        Raises SettingsError for layers that a tower does not have.
        """
        return Reads(kind=self.read_kind, layers=dict.fromkeys(depths, (OUTPUT,)))

    def stored(self, depths: Mapping[TowerName, int]) -> Stored:
        """Return what `states=store` reads of towers of so many blocks; by default what the strategy reads.

        Raises SettingsError as `reads`, and where `stored_form` is None.
        """
        if self.stored_form is None:
            raise SettingsError(f"strategy.states: {self._why_nothing_is_stored()}")
        return Stored(form=self.stored_form, layers=self.reads(depths).layers)

    @abstractmethod
    def adapt(self, towers: "Towers", *, embedding_dim: int, num_items: int) -> "ItemEncoder":
        """Build the item encoder on `towers`, whose parameters it may train, freeze, wrap or read.

        With `states=store` the towers hold what the store does not: where it holds pooled states they are on the meta
        device, with shapes and no values; where it holds token states, what lies below the last of them is left out.
        `num_items` is the size of the catalogue, for encoders that read ids.
        Raises SettingsError where a target matches nothing, or not every block of every tower.
        """
