"""The contract of a strategy, the axis under comparison."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.item_encoder import ItemEncoder
from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Strategy(ABC):
    """One way to adapt pretrained towers to recommendation; its fields are its hyper-parameters.

    A strategy may change the item encoder and nothing else: loop, loss, split, user encoder and evaluator are shared.
    """

    reads_content: ClassVar[bool] = True
    """Whether items are encoded from text and images (False: from their ids, without towers)."""

    reads_frozen_towers: ClassVar[bool] = False
    """Whether the towers only serve hidden states: they stay in eval mode under no_grad, and a store can stand in."""

    identity_at_start: ClassVar[bool] = False
    """Whether the adapted towers compute, before the first step, bit for bit what the pretrained ones compute."""

    states: Literal["live", "store"] = "live"
    """`store` reads the hidden states of frozen towers from a store that is built once; needs reads_frozen_towers."""

    def __post_init__(self) -> None:
        if self.states == "store" and not self.reads_frozen_towers:
            raise ValueError("states=store needs a strategy that leaves the towers frozen; use states=live")

    @abstractmethod
    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        """Build the item encoder on `towers`, whose parameters it may train, freeze, wrap or read.

        With `states=store` the towers are on the meta device: they have shapes and no values.
        `num_items` is the size of the catalogue, for encoders that read ids.
        Raises SettingsError where a target matches nothing, or not every block of every tower.
        """
