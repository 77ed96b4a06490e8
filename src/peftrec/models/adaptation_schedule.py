"""What an adaptation does besides gradient steps: a term of the loss, and work between two steps."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor


class AdaptationSchedule(ABC):
    """Follows training from the first step to the last; the training loop drives it.

    Whatever it remembers from one step to the next is in its `state_dict`, so that a resumed run goes on as it was.
    """

    @abstractmethod
    def begin(self, *, num_steps: int) -> None:
        """Learn how many optimizer steps the whole run takes at most. Raises SettingsError where they do not do."""

    @abstractmethod
    def penalty(self) -> Float[Tensor, ""]:
        """Return what is added to the loss of every batch."""

    @abstractmethod
    def after_step(self, step: int) -> None:
        """Act after an optimizer step, counted from 1, whose gradients are still there."""

    @contextmanager
    def as_kept(self) -> Iterator[None]:
        """Put the parameters into the state in which an epoch is scored and kept, and back again at the end: training
        goes on as if nobody had looked. By default they are kept as they train."""
        yield

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Return what it remembers, as plain tensors."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Remember what `state_dict` returned."""
