"""The contract of a training objective."""

from abc import ABC, abstractmethod
from dataclasses import dataclass as plain_dataclass

from jaxtyping import Bool, Float, Int
from pydantic.dataclasses import dataclass
from torch import Tensor

from peftrec.config.strict import STRICT


@plain_dataclass(frozen=True, kw_only=True)
class ObjectiveInputs:
    """What an objective sees of one batch. Sequences hold one more step than states: the last target."""

    states: Float[Tensor, "user step dim"]
    """User states; the state at a step predicts the item one step later."""
    embeddings: Float[Tensor, "item dim"]
    """Embeddings of the batch's distinct items, whoever's they are."""
    sequences: Int[Tensor, "user next_step"]
    """Row of `embeddings` at each place; meaningless where `mask` is false."""
    mask: Bool[Tensor, "user next_step"]
    """True where an item stands."""
    log_popularity: Float[Tensor, " item"]
    """Log of each distinct item's share of the training interactions."""
    multiplicity: Float[Tensor, " item"] | None = None
    """How often each item stands in the batch; null where `sequences` is the whole batch and can be counted."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Objective(ABC):
    """Turns user states and item embeddings into a loss."""

    @abstractmethod
    def __call__(self, inputs: ObjectiveInputs) -> Float[Tensor, ""]:
        """Return the mean loss over the batch's valid positions."""
