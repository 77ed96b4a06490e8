"""The contract of a user encoder."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, config=STRICT)
class UserEncoder(ABC):
    """Hyper-parameters of a sequence model; `build` makes the module, and imports torch only then."""

    reads_times: ClassVar[bool] = False
    """Whether the module reads when items were taken; batches carry times only then, and the data must have them."""

    @property
    def draws_in_training(self) -> bool:
        """Whether the module draws random numbers in training, as dropout does; several processes then draw each for
        itself, and their number decides the result."""
        return True

    def check(self, *, dim: int) -> None:  # noqa: B027  # an encoder of any width need not say so
        """Raise SettingsError where `build` would refuse that width: known before any data is read, and so asked of
        all jobs of a sweep before the first starts."""

    @abstractmethod
    def build(self, *, dim: int, sequence_length: int) -> "nn.Module":
        """Return a module `(embeddings: Float[user step dim], mask: Bool[user step], times: [user step] | None) ->
        Float[user step dim]`.

        Sequences are padded on the left; `mask` is true where an item stands, and `times` holds when, in the unit of
        the data, where the data knows it. The state at a step sees that step and earlier ones; states at padding are
        arbitrary but finite.
        """

    def item_norm(self) -> "nn.Module | None":
        """Return a norm `Float[item dim] -> Float[item dim]` of item embeddings, which the encoder's inputs and the
        scores share; null where embeddings are taken as they are."""
        return None
