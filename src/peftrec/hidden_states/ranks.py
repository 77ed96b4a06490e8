"""Who builds a store together: the ranks of one job, which share its folder."""

from collections.abc import Callable
from dataclasses import dataclass


def _alone() -> None:
    """Wait for nobody."""


def _at_once(action: Callable[[], None]) -> None:
    action()


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those of its job; a process of its own by default.

    All ranks open or build the same stores in the same order, and see the same folder. They must be patient with each
    other: rank 0 may wait for another job that builds the store, and the others for the slowest.
    """

    rank: int = 0
    world_size: int = 1
    barrier: Callable[[], None] = _alone
    """Returns when all ranks have called it."""
    in_first: Callable[[Callable[[], None]], None] = _at_once
    """Runs an action in rank 0 and returns in all ranks afterwards; what it raises, all raise."""

    def has(self, chunk: int) -> bool:
        """Say whether `chunk` is this rank's to compute; that never depends on what is computed already."""
        return chunk % self.world_size == self.rank


ALONE = Ranks()
