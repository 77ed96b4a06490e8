"""The contract of a training objective."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.choices import Competitors

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Objective(ABC):
    """Hyper-parameters of a loss; `build` makes the module that computes it, and imports torch only then."""

    @property
    def draws_in_training(self) -> bool:
        """Whether the module draws random numbers in training; several processes then draw each for itself, and their
        number decides the result."""
        return True

    def competitors(self) -> Competitors:
        """Return what a positive competes with; the loader puts it into every batch, and the record says it."""
        return Competitors()

    def item_norm(self) -> "nn.Module | None":
        """Return a norm `Float[item dim] -> Float[item dim]` without which its scores would not be those that rank;
        null where embeddings are taken as they are."""
        return None

    @abstractmethod
    def build(self, *, dim: int, num_items: int) -> "nn.Module":
        """Return a module `(inputs: peftrec.models.objectives.inputs.ObjectiveInputs) -> Float[]`: the mean loss over
        the batch's valid positions.

        Parameters of the module train with the recommender's, at their learning rate. `num_items` is the size of the
        catalogue, `dim` the width of item embeddings and user states.
        """
